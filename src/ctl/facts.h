// SPDX-License-Identifier: Apache-2.0
// A list of facts for people: a dim label on the left, what it says on the right.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "ctl/paint.h"

struct table;

struct table *facts_create(void); // for table_print() and table_destroy()

// One fact. `label` "" goes on with the one before.
__attribute__((format(printf, 4, 5))) void facts_add(struct table *facts, const char *label,
						     enum paint paint, const char *format, ...);
