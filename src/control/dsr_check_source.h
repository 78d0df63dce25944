// SPDX-License-Identifier: Apache-2.0
// Which address the readiness check speaks from. Called by: control.
#pragma once

#include "culvert/control/dsr_check.h"

struct dsr_source {
	struct ip_addr addr;
	bool is_local;    // an address of this host: the kernel answers for it
	unsigned ifindex; // else the link to whose network it belongs
};

// Whether the member of dsr.check_sources of one family can be it; every backend of that family is
// tracked from then on. 0, or -errno with what to do in `err`. -ENOENT: no frontend needs any.
int dsr_source_find(const struct dsr_check_params *params, bool is_v4, struct dsr_source *source,
		    struct err *err);
