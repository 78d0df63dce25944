// SPDX-License-Identifier: Apache-2.0
// Checks of what proxy mode is told.
#include <string.h>

#include "config/draft.h"

// True when every backend is known and none is reached over that family.
static bool is_family_unused(const struct config_pool *pools, size_t n_pools, bool is_v4)
{
	size_t n_backends = 0;
	for (size_t i = 0; i < n_pools; i++) {
		n_backends += pools[i].n_backends;
		for (size_t j = 0; j < pools[i].n_backends; j++) {
			const struct config_backend *backend = &pools[i].backends[j];
			bool is_known = backend->unix_path || backend->endpoint.port_be != 0;
			bool has_family = ip_addr_is_v4(&backend->endpoint.addr) == is_v4;
			if (!is_known || (!backend->unix_path && has_family))
				return false;
		}
	}
	return n_backends > 0;
}

static void check_source_family(const struct draft *draft, const char *key, const yaml_node_t *list,
				size_t index)
{
	const yaml_node_t *item = list_item(draft->document, list, index);
	struct ip_addr addr;
	if (item->type != YAML_SCALAR_NODE || !ip_addr_parse(node_text(item), &addr) ||
	    ip_addr_is_unspecified(&addr) || !addr_is_unicast(&addr))
		return; // it has been reported
	bool is_v4 = ip_addr_is_v4(&addr);
	if (is_family_unused(draft->config->pools, draft->config->n_pools, is_v4))
		report_add(draft->report, node_position(item),
			   "%s: %s is %s, and no backend is reached over that; take it out", key,
			   node_text(item), is_v4 ? "IPv4" : "IPv6");
}

static bool is_repeated(const struct config_frontend *frontend, size_t index, size_t *first)
{
	const struct ip_network *networks = frontend->accept_proxy;
	for (size_t i = 0; i < index; i++) {
		if (memcmp(&networks[i], &networks[index], sizeof(*networks)) == 0) {
			*first = i;
			return true;
		}
	}
	return false;
}

static void check_networks(const struct draft *draft, const struct config_frontend *frontend,
			   struct entry entry)
{
	struct entry list;
	size_t first;
	// With fewer networks than items, something has been reported and indices do not match.
	if (!table_find(draft->document, entry.value, "accept_proxy", &list) ||
	    list.value->type != YAML_SEQUENCE_NODE ||
	    list_size(list.value) != frontend->n_accept_proxy)
		return;
	for (size_t i = 0; i < frontend->n_accept_proxy; i++) {
		const yaml_node_t *item = list_item(draft->document, list.value, i);
		if (!is_repeated(frontend, i, &first))
			continue;
		const yaml_node_t *other = list_item(draft->document, list.value, first);
		report_add(draft->report, node_position(item),
			   "accept_proxy: %s is already in line %u; take one out", node_text(item),
			   node_position(other).line);
	}
}

void draft_check_proxy(const struct draft *draft)
{
	const yaml_node_t *proxy = draft_section(draft, "proxy");
	const yaml_node_t *frontends = draft_section(draft, "frontends");
	for (size_t i = 0; i < draft->config->n_frontends; i++)
		check_networks(draft, &draft->config->frontends[i],
			       draft_entry(draft, frontends, i));
	draft_check_list(draft, proxy, "source_addrs", CONFIG_MAX_SOURCE_ADDRS,
			 draft_check_source_addr);
	draft_check_list(draft, proxy, "source_addrs", CONFIG_MAX_SOURCE_ADDRS,
			 check_source_family);
}
