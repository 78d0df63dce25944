// SPDX-License-Identifier: Apache-2.0
// The firewall's table in the language of nft: first without any element of its sets, then what
// elements they get and lose. So rules whose sets change stay the rules that they are.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "culvert/control/firewall.h"

enum firewall_set { FIREWALL_FRONTENDS, FIREWALL_BACKENDS, FIREWALL_SNAT, N_FIREWALL_SETS };

// What is to be in the sets of both families: sorted, each once; of addresses the rest is zero.
struct firewall_elements {
	struct endpoint *lists[N_FIREWALL_SETS]; // owned
	size_t n[N_FIREWALL_SETS];
};

// 0 or -ENOMEM. Addresses of zeros are left out: they stand for none.
int firewall_elements_init(struct firewall_elements *elements, const struct firewall_plan *plan);
void firewall_elements_fini(struct firewall_elements *elements);

// What the table has rules for, by family (false: IPv6). It only grows, so that a family which goes
// and comes leaves its rules alone.
struct firewall_scope {
	bool has_requests[2];
	bool has_replies[2];
};

void firewall_scope_add(struct firewall_scope *scope, const struct firewall_elements *elements);

struct firewall_table {
	const char *name;
	bool is_owned;               // it goes with this process
	int priority;                // of its hook among those of the same link
	unsigned lapse_s;            // 0: elements stay
	struct firewall_scope scope; // of which some is true
};

// A table that is not there, and is empty.
void firewall_write_table(FILE *out, const struct firewall_plan *plan,
			  const struct firewall_table *table);

// From the elements that the table has to those that it is to have; nothing if they are the same.
void firewall_write_changes(FILE *out, const struct firewall_table *table,
			    const struct firewall_elements *before,
			    const struct firewall_elements *after);
