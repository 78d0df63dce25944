// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scene.h"

// Pools and frontends in a few words, such as "web=a:10.2.0.1,b:10.2.0.2*3 @10.1.0.1>web": pools
// with their backends at port 80, a weight behind a star; frontends at port 80, with their pool.
// Pools come first.
void scene_add_words(struct scene *scene, const char *words);
