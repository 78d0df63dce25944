// SPDX-License-Identifier: Apache-2.0
// Which address the readiness check speaks from. Called by: control.
#pragma once

#include "culvert/control/dsr_check.h"

struct dsr_source {
	bool is_local;    // an address of this host: the kernel answers ARP for it
	unsigned ifindex; // else the link to whose network it belongs
};

// Whether dsr.check_source can be it; every backend is tracked from then on. 0, or -errno with what
// to do in `err`.
int dsr_source_find(const struct dsr_check_params *params, struct dsr_source *source,
		    struct err *err);
