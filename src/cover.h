// SPDX-License-Identifier: Apache-2.0
// Whose packets are culvert's and not the kernel's: what the capture filter and the firewall are
// made from. They are made wide enough before the packet path serves somebody, and narrow again
// after it has ceased to, so that no packet in between meets the kernel. Called by: control.
#pragma once

#include "culvert/balance/snapshot.h"

struct cover {
	struct endpoint *vips; // owned, as the next
	size_t n_vips;
	struct endpoint *backends;
	size_t n_backends;
};

// What `snapshot` serves, and `also` (NULL: nobody) besides. 0 or -ENOMEM.
int cover_make(struct cover *cover, const struct snapshot *snapshot, const struct cover *also);
void cover_fini(struct cover *cover);
