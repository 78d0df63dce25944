// SPDX-License-Identifier: Apache-2.0
// What slots are called, for whoever writes about flows on another thread than control's: copies,
// in which a slot keeps its name until another one has it.
#pragma once

#include "culvert/balance/registry.h"

struct flow_name {
	char *name; // owned; NULL: the slot has never been used
	char *pool; // owned
};

struct flow_names {
	struct flow_name *frontends; // owned; by slot
	struct flow_name *backends;  // owned; by slot
	uint32_t n_frontends;
	uint32_t n_backends;
};

// Follow the registry. Begins with zeros. 0, or -ENOMEM: some names may be those of before.
// Called by: control.
int flow_names_update(struct flow_names *names, const struct registry *registry);
void flow_names_fini(struct flow_names *names);
