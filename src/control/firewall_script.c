// SPDX-License-Identifier: Apache-2.0
// Frontends and backends are hash sets: the cost per packet does not grow with their number.
#include "control/firewall_script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FRAGMENTED_MAX = 65536, // datagrams in fragments, of a family, that are under way at once
	FRAGMENTED_S = 5, // from a first fragment to the last; senders use their numbers again
};

struct family {
	bool is_v4;
	const char *header;    // how nft calls the header
	const char *addr_type; // and its addresses
	const char *has_ports; // match that keeps later fragments, which have no ports, away
	const char *is_first;  // of several fragments; behind has_ports
	const char *is_others; // a first fragment, behind the rules for those that are ours
	const char *is_later;  // a fragment after the first
	const char *datagram;  // what all fragments of a datagram have in common
	const char *suffix;    // of our set names
};

static const struct family families[] = {
	{true, "ip", "ipv4_addr", "ip frag-off & 0x1fff == 0 ", "ip frag-off & 0x2000 != 0",
	 "ip frag-off & 0x3fff == 0x2000", "ip frag-off & 0x1fff != 0",
	 "ip saddr . ip daddr . ip protocol . ip id", "4"},
	// In IPv6 the offset is in an extension header. The kernel takes no port from a later
	// fragment, so the rule cannot match one.
	{false, "ip6", "ipv6_addr", "", "frag more-fragments 1",
	 "frag frag-off 0 frag more-fragments 1", "frag frag-off != 0",
	 "ip6 saddr . ip6 daddr . frag id", "6"},
};

enum { N_FAMILIES = sizeof(families) / sizeof(families[0]) };

static const char *const set_names[N_FIREWALL_SETS] = {
	[FIREWALL_FRONTENDS] = "frontends",
	[FIREWALL_BACKENDS] = "backends",
	[FIREWALL_SNAT] = "snat",
};

// ---- elements ----------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct endpoint));
}

static size_t sort_and_unite(struct endpoint *list, size_t n)
{
	size_t n_kept = 0;
	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0; i < n; i++) {
		if (n_kept == 0 || compare(&list[n_kept - 1], &list[i]) != 0)
			list[n_kept++] = list[i];
	}
	return n_kept;
}

static int take_endpoints(struct firewall_elements *elements, enum firewall_set set,
			  const struct endpoint *from, size_t n)
{
	struct endpoint *list = calloc(n + 1, sizeof(*list));
	elements->lists[set] = list;
	if (!list)
		return -ENOMEM;
	if (n)
		memcpy(list, from, n * sizeof(*list));
	elements->n[set] = sort_and_unite(list, n);
	return 0;
}

static int take_addrs(struct firewall_elements *elements, const struct ip_addr *from, size_t n)
{
	struct endpoint *list = calloc(n + 1, sizeof(*list));
	size_t n_taken = 0;
	elements->lists[FIREWALL_SNAT] = list;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!ip_addr_is_unspecified(&from[i]))
			list[n_taken++].addr = from[i];
	}
	elements->n[FIREWALL_SNAT] = sort_and_unite(list, n_taken);
	return 0;
}

int firewall_elements_init(struct firewall_elements *elements, const struct firewall_plan *plan)
{
	struct firewall_elements made = {0};
	int code = take_endpoints(&made, FIREWALL_FRONTENDS, plan->frontends, plan->n_frontends);
	if (!code)
		code = take_endpoints(&made, FIREWALL_BACKENDS, plan->backends, plan->n_backends);
	if (!code)
		code = take_addrs(&made, plan->snat_addrs, plan->n_snat_addrs);
	if (code)
		firewall_elements_fini(&made);
	else
		*elements = made;
	return code;
}

void firewall_elements_fini(struct firewall_elements *elements)
{
	for (int set = 0; set < N_FIREWALL_SETS; set++)
		free(elements->lists[set]);
	*elements = (struct firewall_elements){0};
}

static bool has_any(const struct firewall_elements *elements, enum firewall_set set, bool is_v4)
{
	for (size_t i = 0; i < elements->n[set]; i++) {
		if (ip_addr_is_v4(&elements->lists[set][i].addr) == is_v4)
			return true;
	}
	return false;
}

void firewall_scope_add(struct firewall_scope *scope, const struct firewall_elements *elements)
{
	for (int is_v4 = 0; is_v4 < 2; is_v4++) {
		scope->has_requests[is_v4] |= has_any(elements, FIREWALL_FRONTENDS, is_v4);
		scope->has_replies[is_v4] |= has_any(elements, FIREWALL_BACKENDS, is_v4) &&
					     has_any(elements, FIREWALL_SNAT, is_v4);
	}
}

// ---- the table ---------------------------------------------------------------------------------

static bool has_requests(const struct firewall_table *table, const struct family *family)
{
	return table->scope.has_requests[family->is_v4];
}

static bool has_replies(const struct firewall_table *table, const struct family *family)
{
	return table->scope.has_replies[family->is_v4];
}

static bool has_rules(const struct firewall_table *table, const struct family *family)
{
	return has_requests(table, family) || has_replies(table, family);
}

static void write_set(FILE *out, const struct firewall_table *table, const struct family *family,
		      enum firewall_set set)
{
	bool is_of_addrs = set == FIREWALL_SNAT;
	fprintf(out, "\tset %s%s {\n\t\ttype %s%s;\n", set_names[set], family->suffix,
		family->addr_type, is_of_addrs ? "" : " . inet_proto . inet_service");
	if (table->lapse_s && !is_of_addrs)
		fprintf(out, "\t\tflags timeout;\n\t\ttimeout %us;\n", table->lapse_s);
	fputs("\t}\n", out);
}

static void write_fragmented_set(FILE *out, const struct family *family)
{
	fprintf(out,
		"\tset fragmented%s {\n\t\ttypeof %s;\n\t\tsize %d;\n"
		"\t\tflags dynamic, timeout;\n\t\ttimeout %ds;\n\t}\n",
		family->suffix, family->datagram, FRAGMENTED_MAX, FRAGMENTED_S);
}

static void write_sets(FILE *out, const struct firewall_table *table, const struct family *family)
{
	if (has_requests(table, family))
		write_set(out, table, family, FIREWALL_FRONTENDS);
	if (has_rules(table, family))
		write_fragmented_set(out, family);
	if (has_replies(table, family)) {
		write_set(out, table, family, FIREWALL_BACKENDS);
		write_set(out, table, family, FIREWALL_SNAT);
	}
}

static void write_reply_rule(FILE *out, const struct firewall_plan *plan,
			     const struct family *family)
{
	fprintf(out, "\t\t%s%s saddr . meta l4proto . th sport @backends%s %s daddr @snat%s ",
		family->has_ports, family->header, family->suffix, family->header, family->suffix);
	// nft refuses a range of one port.
	if (plan->nat_port_min == plan->nat_port_max)
		fprintf(out, "th dport %u goto ours%s\n", plan->nat_port_min, family->suffix);
	else
		fprintf(out, "th dport %u-%u goto ours%s\n", plan->nat_port_min, plan->nat_port_max,
			family->suffix);
}

// What is ours is dropped. The kernel would keep later fragments, which no rule can tell by their
// ports, for half a minute in the memory that it has for those of all services: so what a first
// fragment says about the others is remembered, until a first fragment of another service has the
// same identification.
static void write_drop(FILE *out, const struct family *family)
{
	fprintf(out,
		"\tchain ours%s {\n\t\t%s update @fragmented%s { %s }\n"
		"\t\tcounter drop\n\t}\n",
		family->suffix, family->is_first, family->suffix, family->datagram);
}

static void write_rules(FILE *out, const struct firewall_plan *plan,
			const struct firewall_table *table, const struct family *family)
{
	if (has_requests(table, family))
		fprintf(out, "\t\t%s%s daddr . meta l4proto . th dport @frontends%s goto ours%s\n",
			family->has_ports, family->header, family->suffix, family->suffix);
	if (has_replies(table, family))
		write_reply_rule(out, plan, family);
	if (has_rules(table, family))
		fprintf(out,
			"\t\t%s delete @fragmented%s { %s }\n"
			"\t\t%s %s @fragmented%s counter drop\n",
			family->is_others, family->suffix, family->datagram, family->is_later,
			family->datagram, family->suffix);
}

// A frame of a VLAN comes again at the interface of that VLAN, with rules of its own there if it is
// captured on; here it is not ours. A tag without a VLAN, for priority only, changes nothing.
static void write_chains(FILE *out, const struct firewall_plan *plan,
			 const struct firewall_table *table)
{
	for (size_t i = 0; i < N_FAMILIES; i++) {
		if (has_rules(table, &families[i]))
			write_drop(out, &families[i]);
	}
	fputs("\tchain ingress {\n\t\ttype filter hook ingress devices = { ", out);
	for (size_t i = 0; i < plan->n_links; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", plan->links[i]);
	fprintf(out, " } priority %d; policy accept;\n", table->priority);
	// Link 112: the tag of the frame, wherever the kernel keeps it; 0xfff: its VLAN.
	fputs("\t\tether type { 8021q, 8021ad } @ll,112,16 & 0xfff != 0 accept\n", out);
	for (size_t i = 0; i < N_FAMILIES; i++)
		write_rules(out, plan, table, &families[i]);
	fputs("\t}\n", out);
}

void firewall_write_table(FILE *out, const struct firewall_plan *plan,
			  const struct firewall_table *table)
{
	fprintf(out, "table netdev %s {\n%s", table->name,
		table->is_owned ? "\tflags owner;\n" : "");
	for (size_t i = 0; i < N_FAMILIES; i++)
		write_sets(out, table, &families[i]);
	write_chains(out, plan, table);
	fputs("}\n", out);
}

// ---- changes -----------------------------------------------------------------------------------

struct difference {
	const char *verb; // for what of `these` is not among the others
	const struct firewall_table *table;
	const struct firewall_elements *these;
	const struct firewall_elements *others;
};

static void write_element(FILE *out, enum firewall_set set, const struct endpoint *element)
{
	char addr[IP_ADDR_TEXT_MAX];
	fputs(ip_addr_format(&element->addr, addr), out);
	if (set != FIREWALL_SNAT)
		fprintf(out, " . %u . %u", element->proto, ntohs(element->port_be));
}

// nft has no empty list of elements.
static void write_difference(FILE *out, const struct difference *difference, enum firewall_set set,
			     const struct family *family)
{
	const struct endpoint *these = difference->these->lists[set];
	const struct endpoint *others = difference->others->lists[set];
	size_t n_others = difference->others->n[set];
	bool is_any = false;
	size_t k = 0;
	for (size_t i = 0; i < difference->these->n[set]; i++) {
		while (k < n_others && compare(&others[k], &these[i]) < 0)
			k++;
		bool is_in_both = k < n_others && compare(&others[k], &these[i]) == 0;
		if (is_in_both || ip_addr_is_v4(&these[i].addr) != family->is_v4)
			continue;
		if (is_any)
			fputs(", ", out);
		else
			fprintf(out, "%s element netdev %s %s%s { ", difference->verb,
				difference->table->name, set_names[set], family->suffix);
		is_any = true;
		write_element(out, set, &these[i]);
	}
	if (is_any)
		fputs(" }\n", out);
}

static void write_differences(FILE *out, const struct difference *difference)
{
	for (size_t i = 0; i < N_FAMILIES; i++) {
		if (has_requests(difference->table, &families[i]))
			write_difference(out, difference, FIREWALL_FRONTENDS, &families[i]);
		if (!has_replies(difference->table, &families[i]))
			continue;
		write_difference(out, difference, FIREWALL_BACKENDS, &families[i]);
		write_difference(out, difference, FIREWALL_SNAT, &families[i]);
	}
}

void firewall_write_changes(FILE *out, const struct firewall_table *table,
			    const struct firewall_elements *before,
			    const struct firewall_elements *after)
{
	const struct difference gone = {"delete", table, before, after};
	const struct difference come = {"add", table, after, before};
	write_differences(out, &gone);
	write_differences(out, &come);
}
