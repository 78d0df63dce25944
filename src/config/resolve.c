// SPDX-License-Identifier: Apache-2.0
#include "config/draft.h"

#include <netinet/in.h>
#include <string.h>

#include "culvert/base/suggest.h"

const yaml_node_t *draft_section(const struct draft *draft, const char *key)
{
	struct entry found;
	const yaml_node_t *root = yaml_document_get_root_node(draft->document);
	return table_find(draft->document, root, key, &found) ? found.value : NULL;
}

struct entry draft_entry(const struct draft *draft, const yaml_node_t *table, size_t index)
{
	return table_entry(draft->document, table, index);
}

struct position draft_position(const struct draft *draft, struct entry entry, const char *key)
{
	struct entry found;
	if (table_find(draft->document, entry.value, key, &found))
		return node_position(found.value);
	return node_position(entry.key);
}

bool addr_is_unicast(const struct ip_addr *addr)
{
	if (ip_addr_is_v4(addr))
		return addr->bytes[12] < 224;
	return addr->bytes[0] != 0xff;
}

static bool find_pool(const struct config *config, const char *name, size_t *pool)
{
	for (size_t i = 0; i < config->n_pools; i++) {
		if (strcmp(config->pools[i].name, name) == 0) {
			*pool = i;
			return true;
		}
	}
	return false;
}

static void report_no_pool(const struct draft *draft, const yaml_node_t *name)
{
	if (draft->report->is_full)
		return;
	char quoted[REPORT_QUOTE_MAX];
	struct suggestion near = {.wanted = node_text(name)};
	for (size_t i = 0; i < draft->config->n_pools; i++)
		suggest_offer(&near, draft->config->pools[i].name);
	node_quote(name, quoted);
	if (near.best)
		report_add(draft->report, node_position(name),
			   "backend: there is no pool \"%s\"; did you mean \"%s\"?", quoted,
			   near.best);
	else
		report_add(draft->report, node_position(name),
			   "backend: there is no pool \"%s\"; define it in a section backends.%s",
			   quoted, quoted);
}

// The first frontend that names the pool, which it has if its protocol is set.
static const struct config_frontend *first_user(const struct config *config, size_t pool)
{
	const struct config_frontend *frontend = config->frontends;
	while (frontend->pool != pool)
		frontend++;
	return frontend;
}

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_UDP ? "udp" : "tcp";
}

static void resolve_pool(const struct draft *draft, struct config_frontend *frontend,
			 const yaml_node_t *name)
{
	size_t index;
	if (name->type != YAML_SCALAR_NODE || node_kind(name) == NODE_EMPTY)
		return;
	if (!find_pool(draft->config, node_text(name), &index)) {
		report_no_pool(draft, name);
		return;
	}
	frontend->pool = index;
	struct config_pool *pool = &draft->config->pools[index];
	uint8_t proto = frontend->endpoint.proto;
	if (pool->proto == 0)
		pool->proto = proto;
	if (pool->proto == proto)
		return;
	const struct config_frontend *other = first_user(draft->config, index);
	report_add(draft->report, node_position(name),
		   "backend: pool \"%s\" serves %s for frontend \"%s\" (line %u), so it cannot "
		   "serve %s here; define two pools, one for each protocol",
		   pool->name, proto_name(pool->proto), other->name, other->line,
		   proto_name(proto));
}

static struct config_place place_of(const struct draft *draft, struct entry entry, const char *key)
{
	struct position at = draft_position(draft, entry, key);
	return (struct config_place){at.line, at.column};
}

static void resolve_frontends(const struct draft *draft)
{
	const yaml_node_t *section = draft_section(draft, "frontends");
	for (size_t i = 0; i < draft->config->n_frontends; i++) {
		struct config_frontend *frontend = &draft->config->frontends[i];
		struct entry entry = draft_entry(draft, section, i);
		struct position at = draft_position(draft, entry, "listen_addr");
		struct entry name;
		frontend->line = at.line;
		frontend->column = at.column;
		frontend->max_connections_at = place_of(draft, entry, "max_connections");
		frontend->accept_proxy_at = place_of(draft, entry, "accept_proxy");
		frontend->pool = SIZE_MAX;
		if (table_find(draft->document, entry.value, "backend", &name))
			resolve_pool(draft, frontend, name.value);
	}
}

static void resolve_backends(const struct draft *draft, struct config_pool *pool,
			     struct entry entry)
{
	struct entry servers;
	if (!table_find(draft->document, entry.value, "servers", &servers))
		return;
	for (size_t i = 0; i < pool->n_backends; i++) {
		struct config_backend *backend = &pool->backends[i];
		struct entry server = draft_entry(draft, servers.value, i);
		struct position at = draft_position(draft, server, "addr");
		backend->line = at.line;
		backend->column = at.column;
		if (!backend->unix_path)
			backend->endpoint.proto = pool->proto;
	}
}

static void resolve_health(const struct draft *draft, struct config_pool *pool, struct entry entry)
{
	struct entry found;
	if (pool->proto == IPPROTO_UDP &&
	    !table_find(draft->document, entry.value, "health_check", &found))
		pool->health_check = HEALTH_NONE;
	if (pool->health_check_timeout_ms > pool->health_check_interval_ms &&
	    !table_find(draft->document, entry.value, "health_check_timeout", &found))
		pool->health_check_timeout_ms = pool->health_check_interval_ms;
}

static void resolve_pools(const struct draft *draft)
{
	const yaml_node_t *section = draft_section(draft, "backends");
	for (size_t i = 0; i < draft->config->n_pools; i++) {
		struct config_pool *pool = &draft->config->pools[i];
		struct entry entry = draft_entry(draft, section, i);
		struct position at = node_position(entry.key);
		pool->line = at.line;
		pool->column = at.column;
		pool->send_proxy_at = place_of(draft, entry, "send_proxy");
		if (pool->proto == 0)
			pool->proto = IPPROTO_TCP;
		resolve_backends(draft, pool, entry);
		resolve_health(draft, pool, entry);
	}
}

void draft_resolve(const struct draft *draft)
{
	struct entry found;
	struct config_passthrough *passthrough = &draft->config->passthrough;
	draft->config->has_mode = draft_section(draft, "mode") != NULL;
	resolve_frontends(draft);
	resolve_pools(draft);
	if (table_find(draft->document, draft_section(draft, "passthrough"), "nat_ports", &found)) {
		struct position at = node_position(found.value);
		passthrough->nat_ports_line = at.line;
		passthrough->nat_ports_column = at.column;
	}
	if (table_find(draft->document, draft_section(draft, "passthrough"), "mss_clamp", &found)) {
		struct position at = node_position(found.value);
		passthrough->mss_clamp_at = (struct config_place){at.line, at.column};
	}
}
