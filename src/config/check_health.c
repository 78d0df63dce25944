// SPDX-License-Identifier: Apache-2.0
// What a pool says about its health checks: do the keys fit the kind of check and each other?
#include <string.h>

#include "config/draft.h"

// Keys that only one kind of check has a use for.
static const struct {
	const char *key;
	enum health_kind kind;
} keys_of_kinds[] = {
	{"health_check_method", HEALTH_HTTP}, {"health_check_path", HEALTH_HTTP},
	{"health_check_host", HEALTH_HTTP},   {"health_check_status", HEALTH_HTTP},
	{"health_check_body", HEALTH_HTTP},   {"health_check_send", HEALTH_UDP},
	{"health_check_expect", HEALTH_UDP},
};

static const char *kind_name(enum health_kind kind)
{
	static const char *const names[] = {
		[HEALTH_TCP] = "tcp",
		[HEALTH_HTTP] = "http",
		[HEALTH_UDP] = "udp",
		[HEALTH_NONE] = "none",
	};
	return names[kind];
}

static void check_kind(const struct draft *draft, const struct config_pool *pool,
		       struct entry entry)
{
	struct entry found;
	for (size_t i = 0; i < sizeof(keys_of_kinds) / sizeof(keys_of_kinds[0]); i++) {
		const char *key = keys_of_kinds[i].key;
		if (keys_of_kinds[i].kind == pool->health_check ||
		    !table_find(draft->document, entry.value, key, &found))
			continue;
		report_add(draft->report, node_position(found.value),
			   "%s: health_check \"%s\" would ignore it; take it out, or choose "
			   "health_check = \"%s\"",
			   key, kind_name(pool->health_check), kind_name(keys_of_kinds[i].kind));
	}
	// Down, such a backend would never come up again.
	if (pool->health_check == HEALTH_NONE && pool->passive_checks &&
	    table_find(draft->document, entry.value, "passive_checks", &found))
		report_add(draft->report, node_position(found.value),
			   "passive_checks: without health checks nothing would bring a backend up "
			   "again; take it out, or choose another health_check than \"none\"");
}

static void check_times(const struct draft *draft, const struct config_pool *pool,
			struct entry entry)
{
	if (pool->health_check_timeout_ms > pool->health_check_interval_ms)
		report_add(draft->report, draft_position(draft, entry, "health_check_timeout"),
			   "health_check_timeout: %g s is longer than the health_check_interval "
			   "of %g s; write a shorter timeout or a longer interval",
			   pool->health_check_timeout_ms / 1000.0,
			   pool->health_check_interval_ms / 1000.0);
}

// What goes into the request's first lines as it is, where a blank would end it.
static void check_word(const struct draft *draft, struct entry entry, const char *key,
		       const char *text)
{
	if (text && strchr(text, ' '))
		report_add(draft->report, draft_position(draft, entry, key),
			   "%s: there is a blank in it; write it percent-encoded, as %%20", key);
}

static void check_http(const struct draft *draft, const struct config_pool *pool,
		       struct entry entry)
{
	const struct config_check *check = &pool->check;
	if (pool->health_check != HEALTH_HTTP)
		return;
	check_word(draft, entry, "health_check_path", check->path);
	check_word(draft, entry, "health_check_host", check->host);
	if (check->path && check->path[0] != '/')
		report_add(draft->report, draft_position(draft, entry, "health_check_path"),
			   "health_check_path: a path begins with \"/\"; write \"/%s\"",
			   check->path);
	if (check->body && check->method == HTTP_HEAD)
		report_add(draft->report, draft_position(draft, entry, "health_check_body"),
			   "health_check_body: an answer to HEAD has no body; choose "
			   "health_check_method = \"GET\", or take the text out");
}

static void check_unix_backend(const struct draft *draft, const struct config_pool *pool,
			       const struct config_backend *backend)
{
	struct position at = {backend->line, backend->column};
	if (!backend->unix_path)
		return;
	if (pool->check.port || backend->check_port)
		report_add(draft->report, at,
			   "addr: a local socket has no port, so that health_check_port cannot be "
			   "checked; take health_check_port out, or write ADDRESS:PORT");
	if (pool->health_check == HEALTH_UDP)
		report_add(draft->report, at,
			   "addr: a local socket cannot be asked by UDP; choose another "
			   "health_check than \"udp\"");
}

void draft_check_health(const struct draft *draft, const struct config_pool *pool,
			struct entry entry)
{
	check_times(draft, pool, entry);
	check_kind(draft, pool, entry);
	check_http(draft, pool, entry);
	for (size_t i = 0; i < pool->n_backends; i++)
		check_unix_backend(draft, pool, &pool->backends[i]);
}
