// SPDX-License-Identifier: Apache-2.0
// Checks of what DSR mode is told: backends answer clients themselves, so each has to know from
// the packet alone whose answer it gives.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/check_mode.h"
#include "config/draft.h"

// The first frontend of a pool, or NULL.
struct user {
	const struct config_frontend *frontend;
};

// A backend and the first frontend of its pool.
struct answer {
	const struct config_backend *backend;
	const struct config_frontend *frontend;
};

static const char *const method_names[] = {
	[DSR_NAT] = "nat",
	[DSR_L2] = "l2",
	[DSR_IPIP] = "ipip",
};

// An address that a client could have; that no host has it only the network knows.
static void check_source(const struct draft *draft, const yaml_node_t *node)
{
	char text[IP_ADDR_TEXT_MAX];
	struct ip_addr addr;
	if (node->type != YAML_SCALAR_NODE || !ip_addr_parse(node_text(node), &addr))
		return; // it has been reported
	ip_addr_format(&addr, text);
	if (!config_is_client_addr(&addr))
		report_add(draft->report, node_position(node),
			   "check_source: %s is no address that a client can have; write one "
			   "of a network that this host is in, which no host has",
			   text);
	for (size_t i = 0; i < draft->config->n_frontends; i++) {
		const struct config_frontend *frontend = &draft->config->frontends[i];
		if (!ip_addr_equal(&frontend->endpoint.addr, &addr))
			continue;
		report_add(draft->report, node_position(node),
			   "check_source: %s is the address of frontend \"%s\" (line %u); write "
			   "one that no host has",
			   text, frontend->name, frontend->line);
		return;
	}
}

static void check_listed_source(const struct draft *draft, const char *key, const yaml_node_t *list,
				size_t index)
{
	struct ip_addr addr;
	struct ip_addr first;
	const yaml_node_t *node = list_item(draft->document, list, index);
	check_source(draft, node);
	if (index == 0 || node->type != YAML_SCALAR_NODE || !ip_addr_parse(node_text(node), &addr))
		return;
	const yaml_node_t *other = list_item(draft->document, list, 0);
	if (other->type == YAML_SCALAR_NODE && ip_addr_parse(node_text(other), &first) &&
	    ip_addr_is_v4(&first) == ip_addr_is_v4(&addr))
		report_add(draft->report, node_position(node),
			   "%s: %s is of the same family as %s; write one address of each family",
			   key, node_text(node), node_text(other));
}

static void check_sources(const struct draft *draft, struct entry section)
{
	struct entry found;
	if (table_find(draft->document, section.value, "check_source", &found))
		check_source(draft, found.value);
	draft_check_list(draft, section.value, "check_source", CONFIG_MAX_CHECK_SOURCES,
			 check_listed_source);
}

void draft_check_dsr(const struct draft *draft)
{
	struct entry section;
	const struct config_dsr *dsr = &draft->config->dsr;
	const yaml_node_t *root = yaml_document_get_root_node(draft->document);
	if (!table_find(draft->document, root, "dsr", &section))
		return;
	check_sources(draft, section);
	if (dsr->mss_clamp > 0 && dsr->method != DSR_IPIP)
		report_add(draft->report, draft_position(draft, section, "mss_clamp"),
			   "mss_clamp: %d is for method \"ipip\", which makes packets longer, and "
			   "not for \"%s\"; take it out, or choose that method",
			   dsr->mss_clamp, method_names[dsr->method]);
}

static struct position backend_position(const struct config_backend *backend)
{
	return (struct position){backend->line, backend->column};
}

// Packets reach the backend as the client sent them, to the VIP and its port.
static void check_unchanged(const struct config_frontend *frontend,
			    const struct config_backend *backend, enum dsr_method method,
			    struct report *report)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	if (ip_addr_equal(&frontend->endpoint.addr, &backend->endpoint.addr)) {
		report_add(report, backend_position(backend),
			   "addr: %s has the virtual address of frontend \"%s\" (line %u), and "
			   "method \"%s\" finds a backend by an address of its own; write that one",
			   config_backend_format(backend, text), frontend->name, frontend->line,
			   method_names[method]);
		return;
	}
	if (frontend->endpoint.port_be == backend->endpoint.port_be)
		return;
	report_add(report, backend_position(backend),
		   "addr: %s has another port than frontend \"%s\" (line %u), and method \"%s\" "
		   "does not change the port of a packet; let the backend serve port %u, or "
		   "choose method \"nat\"",
		   config_backend_format(backend, text), frontend->name, frontend->line,
		   method_names[method], ntohs(frontend->endpoint.port_be));
}

static void check_unchanged_pools(const struct config *config, struct report *report)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		const struct config_pool *pool = &config->pools[frontend->pool];
		for (size_t j = 0; j < pool->n_backends && !report->is_full; j++)
			check_unchanged(frontend, &pool->backends[j], config->dsr.method, report);
	}
}

// By endpoint, then in the order of the file. No pool has an endpoint twice.
static int compare_answers(const void *left, const void *right)
{
	const struct answer *a = left;
	const struct answer *b = right;
	int order =
		memcmp(&a->backend->endpoint, &b->backend->endpoint, sizeof(a->backend->endpoint));
	if (order != 0)
		return order;
	return (a->frontend->pool > b->frontend->pool) - (a->frontend->pool < b->frontend->pool);
}

static void report_shared(struct answer *answers, size_t n_answers, struct report *report)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	qsort(answers, n_answers, sizeof(*answers), compare_answers);
	for (size_t i = 1; i < n_answers; i++) {
		const struct answer *first = &answers[i - 1];
		const struct answer *again = &answers[i];
		if (!endpoint_equal(&first->backend->endpoint, &again->backend->endpoint))
			continue;
		report_add(report, backend_position(again->backend),
			   "addr: %s serves frontend \"%s\" already (line %u), and with method "
			   "\"nat\" a backend cannot tell for which of two it answers; give it "
			   "another port here, or choose method \"l2\" or \"ipip\"",
			   config_backend_format(again->backend, text), first->frontend->name,
			   first->backend->line);
	}
}

static void find_users(const struct config *config, struct user *users, struct report *report)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		const struct config_frontend *first = users[frontend->pool].frontend;
		if (!first) {
			users[frontend->pool].frontend = frontend;
			continue;
		}
		report_add(report, (struct position){frontend->line, frontend->column},
			   "frontend \"%s\" shares pool \"%s\" with frontend \"%s\" (line %u), and "
			   "with method \"nat\" a backend cannot tell for which of two it answers; "
			   "write a pool with other ports for one of them, or choose method \"l2\" "
			   "or \"ipip\"",
			   frontend->name, config->pools[frontend->pool].name, first->name,
			   first->line);
	}
}

static size_t list_answers(const struct config *config, const struct user *users,
			   struct answer *answers)
{
	size_t n_answers = 0;
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		const struct config_frontend *frontend = users[i].frontend;
		for (size_t j = 0; j < pool->n_backends && frontend; j++) {
			if (!pool->backends[j].unix_path)
				answers[n_answers++] =
					(struct answer){&pool->backends[j], frontend};
		}
	}
	return n_answers;
}

// The egress of a backend is told one VIP and port for each endpoint that answers.
static void check_nat(const struct config *config, struct report *report)
{
	size_t n_backends = 0;
	for (size_t i = 0; i < config->n_pools; i++)
		n_backends += config->pools[i].n_backends;
	struct user *users = calloc(config->n_pools + 1, sizeof(*users));
	struct answer *answers = calloc(n_backends + 1, sizeof(*answers));
	if (users && answers) {
		find_users(config, users, report);
		report_shared(answers, list_answers(config, users, answers), report);
	} else {
		report->code = -ENOMEM;
	}
	free(users);
	free(answers);
}

// The tunnel's own packets are IPv4 (RFC 2003).
static void check_tunnel_family(const struct config *config, struct report *report)
{
	char text[ENDPOINT_TEXT_MAX];
	for (size_t i = 0; i < config->n_frontends && !report->is_full; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		if (!ip_addr_is_v4(&frontend->endpoint.addr))
			report_add(
				report, (struct position){frontend->line, frontend->column},
				"listen_addr: %s is IPv6, and method \"ipip\" carries IPv4 only; "
				"choose method \"nat\" or \"l2\"",
				endpoint_format(&frontend->endpoint, text));
	}
}

// Once for a family.
static void check_ready_sources(const struct config *config, struct report *report)
{
	bool is_said[2] = {false, false};
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		bool is_v4 = ip_addr_is_v4(&frontend->endpoint.addr);
		if (is_said[is_v4] || config_check_source(config, is_v4))
			continue;
		is_said[is_v4] = true;
		report_add(
			report, (struct position){0},
			"require_ready: there is no %s check_source, so no backend of frontend "
			"\"%s\" could be checked and none would be used; write it in the section "
			"dsr: an address of the clients' network that no host has",
			is_v4 ? "IPv4" : "IPv6", frontend->name);
	}
}

// One that is not ready answers nobody, however few others there are.
static void check_ready_panic(const struct config *config, struct report *report)
{
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		if (pool->panic_threshold == 0)
			continue;
		report_add(report, (struct position){pool->line, pool->column},
			   "panic_threshold of pool \"%s\" would use backends that have not passed "
			   "the readiness check, and dsr.require_ready forbids that; take one of "
			   "them out",
			   pool->name);
	}
}

void check_mode_dsr(const struct config *config, struct report *report)
{
	if (config->dsr.require_ready) {
		check_ready_sources(config, report);
		check_ready_panic(config, report);
	}
	if (config->passthrough.mss_clamp != MSS_CLAMP_AUTO)
		report_add(report,
			   (struct position){config->passthrough.mss_clamp_at.line,
					     config->passthrough.mss_clamp_at.column},
			   "mss_clamp: that of the section passthrough is for that mode alone, and "
			   "mode dsr would ignore it; take it out (the section dsr has a key of "
			   "that name, for method \"ipip\")");
	if (config->dsr.method == DSR_IPIP)
		check_tunnel_family(config, report);
	if (config->dsr.method == DSR_NAT)
		check_nat(config, report);
	else
		check_unchanged_pools(config, report);
}
