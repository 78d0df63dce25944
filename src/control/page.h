// SPDX-License-Identifier: Apache-2.0
// The live page: files that `make` has built from web/ and put into the binary. They hold nothing
// that is anybody's secret; what they show they ask the API for.
// Called by: control.
#pragma once

#include <stdbool.h>

struct api;
struct api_route;

void page_add_routes(struct api *api);

// Does it lead to a file of the page? `route` may be NULL.
bool page_has_route(const struct api_route *route);
