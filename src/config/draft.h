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

// The parts of it for single sections.
void draft_check_proxy(const struct draft *draft);
void draft_check_passthrough(const struct draft *draft);
void draft_check_dsr(const struct draft *draft);
void draft_check_stats(const struct draft *draft);
// What a pool says about its health checks; `entry` is the pool's.
void draft_check_health(const struct draft *draft, const struct config_pool *pool,
			struct entry entry);

typedef void (*draft_check_item_fn)(const struct draft *draft, const char *key,
				    const yaml_node_t *list, size_t index);

// Check each item of the list that a section has by the name `key`, the first `max` of them.
void draft_check_list(const struct draft *draft, const yaml_node_t *section, const char *key,
		      size_t max, draft_check_item_fn check_item);

// An item that is an address this host could speak from, and is so for the first time.
void draft_check_source_addr(const struct draft *draft, const char *key, const yaml_node_t *list,
			     size_t index);

// False for multicast, reserved and broadcast addresses, which name no one host (RFC 1112 section
// 4, RFC 4291 section 2.7).
bool addr_is_unicast(const struct ip_addr *addr);
