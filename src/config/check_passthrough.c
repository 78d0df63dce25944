// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "config/draft.h"

static void check_interface(const struct draft *draft, const char *key, const yaml_node_t *list,
			    size_t index)
{
	const yaml_node_t *item = list_item(draft->document, list, index);
	for (size_t i = 0; i < index && item->type == YAML_SCALAR_NODE; i++) {
		const yaml_node_t *other = list_item(draft->document, list, i);
		if (other->type != YAML_SCALAR_NODE ||
		    strcmp(node_text(item), node_text(other)) != 0)
			continue;
		char quoted[REPORT_QUOTE_MAX];
		report_add(draft->report, node_position(item),
			   "%s: \"%s\" is already in line %u; take one out", key,
			   node_quote(item, quoted), node_position(other).line);
		return;
	}
}

static bool is_prime(uint32_t number)
{
	for (uint32_t divisor = 2; divisor <= number / divisor; divisor++) {
		if (number % divisor == 0)
			return false;
	}
	return number >= 2;
}

static void check_maglev(const struct draft *draft, struct entry section)
{
	uint32_t table_size = draft->config->passthrough.maglev_table_size;
	struct position at = draft_position(draft, section, "maglev_table_size");
	uint32_t prime = table_size;
	while (!is_prime(prime))
		prime++;
	if (prime != table_size)
		report_add(draft->report, at,
			   "maglev_table_size: %u is not a prime; write %u, the next that is",
			   table_size, prime);
	for (size_t i = 0; i < draft->config->n_pools; i++) {
		const struct config_pool *pool = &draft->config->pools[i];
		if (pool->n_backends < table_size)
			continue;
		report_add(draft->report, at,
			   "maglev_table_size: %u has no room for the %zu backends of pool \"%s\"; "
			   "write a prime above 100 times that number",
			   table_size, pool->n_backends, pool->name);
		return;
	}
}

void draft_check_passthrough(const struct draft *draft)
{
	struct entry section;
	const struct config_passthrough *passthrough = &draft->config->passthrough;
	const yaml_node_t *root = yaml_document_get_root_node(draft->document);
	if (!table_find(draft->document, root, "passthrough", &section))
		return;
	draft_check_list(draft, section.value, "snat_addrs", CONFIG_MAX_SNAT_ADDRS,
			 draft_check_source_addr);
	draft_check_list(draft, section.value, "interfaces", CONFIG_MAX_INTERFACES,
			 check_interface);
	check_maglev(draft, section);

	int n_ports = passthrough->nat_port_max - passthrough->nat_port_min + 1;
	if (n_ports < passthrough->workers)
		report_add(draft->report, draft_position(draft, section, "nat_ports"),
			   "nat_ports: %u-%u are fewer than the %d workers, each of which needs "
			   "ports of its own; write a wider range",
			   passthrough->nat_port_min, passthrough->nat_port_max,
			   passthrough->workers);
}
