// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

#include "culvert/base/err.h"

// `err` is what the TOML parser says of `text`, with line and column. Where that is a word without
// quotes, or a time with a unit, *err says so instead, and at its beginning. A secret is not
// quoted.
void toml_hint(const char *text, size_t length, struct err *err);
