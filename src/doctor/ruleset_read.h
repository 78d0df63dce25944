// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <jansson.h>

#include "doctor/ruleset.h"

struct ruleset {
	json_t *items; // owned: an array of objects, with one key each
	json_t *owned; // owned: names of tables that belong to a process, as "inet filter"
};
