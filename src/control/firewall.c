// SPDX-License-Identifier: Apache-2.0
// The nftables table that hides culvert's packets from the kernel's own stack. The rules are
// written as one script of the nft language and run by libnftables as one transaction.
// Thread: control. Fed by: app, with the plan it derives from the configuration.
// Invariant: a table that does not lapse belongs to the netlink socket inside `nft`, so it lives
// exactly as long as that, and no other process can change it. One that lapses has sets whose
// elements time out. Frontends and backends are hash sets: the cost per packet does not grow with
// their number.
#include "culvert/control/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAPSING_TABLE "culvert_restart"

enum {
	TABLE_NAME_MAX = 32,
	FRAGMENTED_MAX = 65536, // datagrams in fragments, of a family, that are under way at once
	FRAGMENTED_S = 5, // from a first fragment to the last; senders use their numbers again
};

struct firewall {
	struct nft_ctx *nft; // owned; holds the socket that owns the table
	char table[TABLE_NAME_MAX];
	bool is_lapsing;
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

static bool has_endpoint(const struct endpoint *list, size_t count, bool is_v4)
{
	for (size_t i = 0; i < count; i++) {
		if (ip_addr_is_v4(&list[i].addr) == is_v4)
			return true;
	}
	return false;
}

static bool has_addr(const struct ip_addr *list, size_t count, bool is_v4)
{
	for (size_t i = 0; i < count; i++) {
		if (ip_addr_is_v4(&list[i]) == is_v4)
			return true;
	}
	return false;
}

struct endpoint_set {
	const char *name;
	const struct endpoint *list; // borrowed
	size_t count;
	unsigned lapse_s; // 0: it stays
};

static void write_endpoint_set(FILE *out, const struct family *family,
			       const struct endpoint_set *set)
{
	const struct endpoint *list = set->list;
	const char *separator = "";
	char addr[IP_ADDR_TEXT_MAX];
	fprintf(out, "\tset %s%s {\n\t\ttype %s . inet_proto . inet_service;\n", set->name,
		family->suffix, family->addr_type);
	if (set->lapse_s)
		fprintf(out, "\t\tflags timeout;\n\t\ttimeout %us;\n", set->lapse_s);
	fputs("\t\telements = { ", out);
	for (size_t i = 0; i < set->count; i++) {
		if (ip_addr_is_v4(&list[i].addr) != family->is_v4)
			continue;
		fprintf(out, "%s%s . %u . %u", separator, ip_addr_format(&list[i].addr, addr),
			list[i].proto, ntohs(list[i].port_be));
		separator = ",\n\t\t\t";
	}
	fputs(" };\n\t}\n", out);
}

static void write_addr_set(FILE *out, const char *name, const struct family *family,
			   const struct ip_addr *list, size_t count)
{
	const char *separator = "";
	char addr[IP_ADDR_TEXT_MAX];
	fprintf(out, "\tset %s%s {\n\t\ttype %s;\n\t\telements = { ", name, family->suffix,
		family->addr_type);
	for (size_t i = 0; i < count; i++) {
		if (ip_addr_is_v4(&list[i]) != family->is_v4)
			continue;
		fprintf(out, "%s%s", separator, ip_addr_format(&list[i], addr));
		separator = ", ";
	}
	fputs(" };\n\t}\n", out);
}

// nft has no empty element list and would refuse a set that is never filled.
static bool has_requests(const struct firewall_plan *plan, const struct family *family)
{
	return has_endpoint(plan->frontends, plan->n_frontends, family->is_v4);
}

static bool has_replies(const struct firewall_plan *plan, const struct family *family)
{
	return has_endpoint(plan->backends, plan->n_backends, family->is_v4) &&
	       has_addr(plan->snat_addrs, plan->n_snat_addrs, family->is_v4);
}

static void write_fragmented_set(FILE *out, const struct family *family)
{
	fprintf(out,
		"\tset fragmented%s {\n\t\ttypeof %s;\n\t\tsize %d;\n"
		"\t\tflags dynamic, timeout;\n\t\ttimeout %ds;\n\t}\n",
		family->suffix, family->datagram, FRAGMENTED_MAX, FRAGMENTED_S);
}

static void write_sets(FILE *out, const struct firewall_plan *plan, const struct family *family)
{
	struct endpoint_set frontends = {"frontends", plan->frontends, plan->n_frontends,
					 plan->lapse_s};
	struct endpoint_set backends = {"backends", plan->backends, plan->n_backends,
					plan->lapse_s};
	if (has_requests(plan, family))
		write_endpoint_set(out, family, &frontends);
	if (has_requests(plan, family) || has_replies(plan, family))
		write_fragmented_set(out, family);
	if (has_replies(plan, family)) {
		write_endpoint_set(out, family, &backends);
		write_addr_set(out, "snat", family, plan->snat_addrs, plan->n_snat_addrs);
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
static void write_drop(FILE *out, const struct firewall_plan *plan, const struct family *family)
{
	if (!has_requests(plan, family) && !has_replies(plan, family))
		return;
	fprintf(out,
		"\tchain ours%s {\n\t\t%s update @fragmented%s { %s }\n"
		"\t\tcounter drop\n\t}\n",
		family->suffix, family->is_first, family->suffix, family->datagram);
}

static void write_rules(FILE *out, const struct firewall_plan *plan, const struct family *family)
{
	if (has_requests(plan, family))
		fprintf(out, "\t\t%s%s daddr . meta l4proto . th dport @frontends%s goto ours%s\n",
			family->has_ports, family->header, family->suffix, family->suffix);
	if (has_replies(plan, family))
		write_reply_rule(out, plan, family);
	if (has_requests(plan, family) || has_replies(plan, family))
		fprintf(out,
			"\t\t%s delete @fragmented%s { %s }\n"
			"\t\t%s %s @fragmented%s counter drop\n",
			family->is_others, family->suffix, family->datagram, family->is_later,
			family->datagram, family->suffix);
}

// A frame of a VLAN comes again at the interface of that VLAN, with rules of its own there if it is
// captured on; here it is not ours. A tag without a VLAN, for priority only, changes nothing.
static void write_chains(FILE *out, const struct firewall_plan *plan)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		write_drop(out, plan, &families[i]);
	fputs("\tchain ingress {\n\t\ttype filter hook ingress devices = { ", out);
	for (size_t i = 0; i < plan->n_links; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", plan->links[i]);
	fputs(" } priority -500; policy accept;\n", out);
	// Link 112: the tag of the frame, wherever the kernel keeps it; 0xfff: its VLAN.
	fputs("\t\tether type { 8021q, 8021ad } @ll,112,16 & 0xfff != 0 accept\n", out);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		write_rules(out, plan, &families[i]);
	fputs("\t}\n", out);
}

// The script as a new string for free(), or NULL when memory is short.
static char *write_script(const struct firewall *firewall, const struct firewall_plan *plan,
			  bool replaces)
{
	const char *table = firewall->table;
	char *script = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&script, &size);
	if (!out)
		return NULL;
	// A table is made before it is deleted when it may not be there.
	if (firewall->is_lapsing)
		fprintf(out, "table netdev %s\n", table);
	if (replaces || firewall->is_lapsing)
		fprintf(out, "delete table netdev %s\n", table);
	fprintf(out, "table netdev %s {\n%s", table,
		firewall->is_lapsing ? "" : "\tflags owner;\n");
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		write_sets(out, plan, &families[i]);
	write_chains(out, plan);
	fputs("}\n", out);
	bool is_complete = !ferror(out);
	if (fclose(out) == 0 && is_complete)
		return script;
	free(script);
	return NULL;
}

// A link name is put between quotes; a mark that nft reads otherwise would change the meaning.
static bool is_plain_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (*c == '"' || *c == '*' || *c == '\\')
			return false;
	}
	return true;
}

// Checked here because nft's own words for the same do not name the link.
static int check_plan(const struct firewall_plan *plan, struct err *err)
{
	if (plan->n_links == 0)
		return err_set(err, -EINVAL, "firewall: no link to protect");
	for (size_t i = 0; i < plan->n_links; i++) {
		if (!is_plain_name(plan->links[i]))
			return err_set(err, -EINVAL, "firewall: unusable link name '%s'",
				       plan->links[i]);
		if (!if_nametoindex(plan->links[i]))
			return err_sys(err, -errno, "firewall: link %s", plan->links[i]);
	}
	if (plan->nat_port_min > plan->nat_port_max)
		return err_set(err, -EINVAL, "firewall: NAT ports %u-%u are no range",
			       plan->nat_port_min, plan->nat_port_max);
	return 0;
}

// The reason out of nft's error text, which is several lines with a place in the script first.
static int fail_with_nft_text(struct err *err, const char *text)
{
	const char *mark = "Error: ";
	const char *reason = text ? strstr(text, mark) : NULL;
	reason = reason ? reason + strlen(mark) : "nft gave no reason";
	int length = (int)strcspn(reason, "\n");
	int code = strstr(reason, "Operation not permitted") ? -EPERM : -EIO;
	return err_set(err, code, "firewall: cannot install the nftables rules: %.*s%s", length,
		       reason,
		       code == -EPERM ? " (run as root, or set [firewall] manage = false)" : "");
}

static int install(struct firewall *firewall, const struct firewall_plan *plan, bool replaces,
		   struct err *err)
{
	int code = check_plan(plan, err);
	if (code)
		return code;
	char *script = write_script(firewall, plan, replaces);
	if (!script)
		return err_sys(err, -ENOMEM, "firewall");
	if (nft_run_cmd_from_buffer(firewall->nft, script) != 0)
		code = fail_with_nft_text(err, nft_ctx_get_error_buffer(firewall->nft));
	free(script);
	return code;
}

// nft_ctx_new() ends the process when it is set-user-id or the kernel has no nfnetlink; find out
// first.
static int check_host(struct err *err)
{
	if (getuid() != geteuid())
		return err_set(err, -EPERM, "firewall: nftables refuses set-user-id programs");
	struct mnl_socket *probe = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!probe)
		return err_sys(err, -errno, "firewall: this kernel offers no nftables");
	mnl_socket_close(probe);
	return 0;
}

static int open_context(struct firewall *firewall, struct err *err)
{
	int code = check_host(err);
	if (code)
		return code;
	firewall->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!firewall->nft)
		return err_sys(err, -ENOMEM, "firewall");
	// Left to itself the library prints to standard output and standard error.
	if (nft_ctx_buffer_output(firewall->nft) || nft_ctx_buffer_error(firewall->nft))
		return err_sys(err, -ENOMEM, "firewall");
	if (firewall->is_lapsing)
		snprintf(firewall->table, sizeof(firewall->table), LAPSING_TABLE);
	else
		snprintf(firewall->table, sizeof(firewall->table), "culvert_%ld", (long)getpid());
	return 0;
}

static void destroy(struct firewall *firewall)
{
	if (firewall->nft)
		nft_ctx_free(firewall->nft);
	free(firewall);
}

int firewall_open(struct firewall **firewall, const struct firewall_plan *plan, struct err *err)
{
	struct firewall *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "firewall");
	opened->is_lapsing = plan->lapse_s != 0;
	int code = open_context(opened, err);
	if (code == 0)
		code = install(opened, plan, false, err);
	if (code) {
		destroy(opened);
		return code;
	}
	*firewall = opened;
	return 0;
}

int firewall_update(struct firewall *firewall, const struct firewall_plan *plan, struct err *err)
{
	return install(firewall, plan, true, err);
}

void firewall_close(struct firewall *firewall)
{
	if (!firewall)
		return;
	// The table goes with the socket. It is also deleted by name, in case a child process has
	// inherited that socket and keeps it open.
	char command[TABLE_NAME_MAX + 32];
	snprintf(command, sizeof(command), "delete table netdev %s", firewall->table);
	if (!firewall->is_lapsing)
		(void)nft_run_cmd_from_buffer(firewall->nft, command);
	destroy(firewall);
}

int firewall_remove_lapsing(struct err *err)
{
	struct firewall firewall = {.is_lapsing = true};
	int code = open_context(&firewall, err);
	if (!code && nft_run_cmd_from_buffer(firewall.nft, "table netdev " LAPSING_TABLE "\n"
							   "delete table netdev " LAPSING_TABLE))
		code = fail_with_nft_text(err, nft_ctx_get_error_buffer(firewall.nft));
	if (firewall.nft)
		nft_ctx_free(firewall.nft);
	return code;
}
