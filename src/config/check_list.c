// SPDX-License-Identifier: Apache-2.0
// Checks of the items of a list, each at its own place in the file.
#include "config/draft.h"

void draft_check_list(const struct draft *draft, const yaml_node_t *section, const char *key,
		      size_t max, draft_check_item_fn check_item)
{
	struct entry found;
	if (!table_find(draft->document, section, key, &found) ||
	    found.value->type != YAML_SEQUENCE_NODE)
		return;
	size_t n_items = list_size(found.value);
	for (size_t i = 0; i < n_items && i < max; i++)
		check_item(draft, key, found.value, i);
}

static bool read_addr(const yaml_node_t *item, struct ip_addr *addr)
{
	return item->type == YAML_SCALAR_NODE && ip_addr_parse(node_text(item), addr);
}

void draft_check_source_addr(const struct draft *draft, const char *key, const yaml_node_t *list,
			     size_t index)
{
	const yaml_node_t *item = list_item(draft->document, list, index);
	struct ip_addr addr;
	if (!read_addr(item, &addr))
		return; // it has been reported
	if (ip_addr_is_unspecified(&addr) || !addr_is_unicast(&addr) ||
	    ip_addr_is_link_local(&addr)) {
		report_add(draft->report, node_position(item),
			   "%s: %s is no source address; write addresses that this host has, or "
			   "leave %s out",
			   key, node_text(item), key);
		return;
	}
	for (size_t i = 0; i < index; i++) {
		const yaml_node_t *other = list_item(draft->document, list, i);
		struct ip_addr other_addr;
		if (!read_addr(other, &other_addr) || !ip_addr_equal(&addr, &other_addr))
			continue;
		report_add(draft->report, node_position(item),
			   "%s: %s is already in line %u; take one out", key, node_text(item),
			   node_position(other).line);
		return;
	}
}
