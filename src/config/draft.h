// SPDX-License-Identifier: Apache-2.0
// A configuration between the walk and its end: filled, and its document still at hand, so that
// what is found wrong later can be placed in the file.
#pragma once

#include "config/node.h"
#include "config/report.h"
#include "culvert/config/config.h"

struct draft {
	yaml_document_t *document; // borrowed, as the others
	struct config *config;
	struct report *report;
};

// The value of a key of the root, or NULL.
const yaml_node_t *draft_section(const struct draft *draft, const char *key);

// The entry of a table of names that element `index` of the config's array was made from.
struct entry draft_entry(const struct draft *draft, const yaml_node_t *table, size_t index);

// Where `key` of the entry has its value; where the entry has its name when it has no such key.
struct position draft_position(const struct draft *draft, struct entry entry, const char *key);

// Turn names into indices; fill in protocols, defaults that depend on others, and the places in the
// file that *config keeps.
void draft_resolve(const struct draft *draft);

// The checks that look at more than one value. Comes after draft_resolve(). 0 or -ENOMEM.
int draft_check(const struct draft *draft);
void draft_check_passthrough(const struct draft *draft); // the part of it for that section

// False for multicast, reserved and broadcast addresses, which name no one host (RFC 1112 section
// 4, RFC 4291 section 2.7).
bool addr_is_unicast(const struct ip_addr *addr);
