// SPDX-License-Identifier: Apache-2.0
// Large numbers as people read them. Pure. Any thread.
#pragma once

#include <stdint.h>

enum { DIGITS_TEXT_MAX = 28 }; // of 2^64 - 1, with commas and the final zero

// "1,234,567". Returns `text`.
const char *digits_group(uint64_t number, char text[DIGITS_TEXT_MAX]);
