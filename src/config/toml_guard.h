// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

#include "config/report.h"

enum { TOML_MAX_DOTS = 64 }; // in one line, outside strings and comments

// Refuse what toml++ does not bear: see toml_guard.c. Returns 0 or -EINVAL.
int toml_guard_check(const char *text, size_t length, struct report *report);
