// SPDX-License-Identifier: Apache-2.0
// How many connections there may be: by configuration, and by the descriptors that this process
// gets. Called by: control.
#pragma once

#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"

struct proxy;
struct snapshot;

// Once, at the start: for how many there can ever be room. 0 or -errno.
int limits_find(struct proxy *proxy, const struct config *config, struct err *err);

// Could the configuration be served? 0 or -errno.
int limits_check(const struct proxy *proxy, const struct config *config, struct err *err);

// Let those of the snapshot's configuration, which has been checked, hold from now on. What there
// is beyond them stays until it ends.
void limits_follow(struct proxy *proxy, const struct snapshot *snapshot);
