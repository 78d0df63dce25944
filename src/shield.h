// SPDX-License-Identifier: Apache-2.0
// What keeps the kernel out of the packet path's business: the capture filter and the guard, which
// follow from snapshot to snapshot whom there is to cover.
// Called by: control.
#pragma once

#include "guard.h"

struct engine;

struct shield {
	const struct topology *topology; // borrowed
	struct engine *engine;           // borrowed; to be set before the first shield_widen()
	struct cover cover;              // of the filter and the guard
	struct guard guard;
	struct ip_addr own[CONFIG_MAX_SNAT_ADDRS]; // source addresses that the engine's scope knows
	uint32_t n_own;
	bool is_unsure; // the last change failed halfway: the next one says all anew
};

// Before there is an engine. A failure leaves what shield_close() undoes.
int shield_open(struct shield *shield, const struct topology *topology,
		const struct snapshot *snapshot, struct err *err);
void shield_close(struct shield *shield);

// The filter for capturing what is covered: for free(), or NULL when memory is short.
char *shield_make_filter(const struct shield *shield);

// The engine's scope, for the first time: whose packets may come by a shorter way. 0 or -errno.
int shield_tell_scope(struct shield *shield, const struct snapshot *snapshot, struct err *err);

// Before the snapshot is published: what it serves for the first time is kept from the kernel. 0 or
// -errno; then the firewall has the rules of before or these, and the next of these calls puts the
// rest right.
int shield_widen(struct shield *shield, const struct snapshot *snapshot, struct err *err);
// After it: what it serves no more is the kernel's again. `exact` is the snapshot's cover, and is
// taken over. 0 or -errno, likewise.
int shield_narrow(struct shield *shield, struct cover *exact, const struct snapshot *snapshot,
		  struct err *err);
