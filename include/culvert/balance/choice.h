// SPDX-License-Identifier: Apache-2.0
// What a client is to a consistent hash: the number that Maglev decides by.
#pragma once

#include "culvert/config/config.h"
#include "culvert/net/addr.h"

// Everything that steers a connection to its backend, in a form that no run and no table size
// changes: several balancers, and one after a restart, choose alike. `dst` is what the client has
// connected to. Any thread.
uint32_t choice_hash(enum hash_kind kind, const struct endpoint *src, const struct endpoint *dst);
