// SPDX-License-Identifier: Apache-2.0
// Where in the configuration a walk stands, for what it has to say about keys.
#pragma once

#include "config/node.h"
#include "config/schema.h"

// The table being read, within its parents.
struct scope {
	const struct scope *parent; // borrowed; NULL: the root
	const char *name;           // borrowed
	struct position at;         // of the name
	void *base;                 // the struct that the table's keys fill
};

void scope_report_unknown(const struct scope *scope, const struct schema_table *schema,
			  const yaml_node_t *key, struct report *report);
void scope_report_missing(const struct scope *scope, const struct schema_key *key,
			  struct report *report);
