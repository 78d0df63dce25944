// SPDX-License-Identifier: Apache-2.0
// XXH3 compiled into who calls it, for keys of a length that is known there: a few multiplications
// are left of it. The library finds out the length at every call. The numbers are the same.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>
