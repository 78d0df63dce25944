// SPDX-License-Identifier: Apache-2.0
// Checks of a whole configuration that need neither the mode nor this host.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/draft.h"

// An endpoint to compare with its like, and the element it belongs to.
struct spot {
	const struct endpoint *endpoint; // borrowed
	size_t index;
};

struct place {
	const struct config_backend *backend; // borrowed
};

// Endpoints that could clash side by side: by protocol, port and family, a wildcard before all
// other addresses (all zero bits is the least), then by address and order in the file.
static int compare_spots(const void *left, const void *right)
{
	const struct spot *a = left;
	const struct spot *b = right;
	if (a->endpoint->proto != b->endpoint->proto)
		return a->endpoint->proto - b->endpoint->proto;
	if (a->endpoint->port_be != b->endpoint->port_be)
		return a->endpoint->port_be - b->endpoint->port_be;
	int family = ip_addr_is_v4(&a->endpoint->addr) - ip_addr_is_v4(&b->endpoint->addr);
	if (family != 0)
		return family;
	int order = memcmp(&a->endpoint->addr, &b->endpoint->addr, sizeof(a->endpoint->addr));
	if (order != 0)
		return order;
	return (a->index > b->index) - (a->index < b->index);
}

static bool same_port(const struct endpoint *a, const struct endpoint *b)
{
	return a->proto == b->proto && a->port_be == b->port_be &&
	       ip_addr_is_v4(&a->addr) == ip_addr_is_v4(&b->addr);
}

static const char *proto_name(const struct endpoint *endpoint)
{
	return endpoint->proto == IPPROTO_UDP ? "udp" : "tcp";
}

static void report_clash(const struct draft *draft, size_t a, size_t b)
{
	const struct config_frontend *frontends = draft->config->frontends;
	const struct config_frontend *earlier = &frontends[a < b ? a : b];
	const struct config_frontend *later = &frontends[a < b ? b : a];
	char earlier_text[ENDPOINT_TEXT_MAX];
	char later_text[ENDPOINT_TEXT_MAX];
	report_add(draft->report, (struct position){later->line, later->column},
		   "listen_addr: %s (%s) overlaps %s of frontend \"%s\" in line %u; give one of "
		   "them another address or port",
		   endpoint_format(&later->endpoint, later_text), proto_name(&later->endpoint),
		   endpoint_format(&earlier->endpoint, earlier_text), earlier->name, earlier->line);
}

static int check_clashes(const struct draft *draft)
{
	size_t n_spots = 0;
	struct spot *spots = calloc(draft->config->n_frontends + 1, sizeof(*spots));
	if (!spots)
		return -ENOMEM;
	for (size_t i = 0; i < draft->config->n_frontends; i++) {
		const struct endpoint *endpoint = &draft->config->frontends[i].endpoint;
		if (endpoint->port_be != 0) // else it has been reported
			spots[n_spots++] = (struct spot){endpoint, i};
	}
	qsort(spots, n_spots, sizeof(*spots), compare_spots);

	const struct spot *head = spots;  // of those with the same port
	const struct spot *equal = spots; // of those with the same address too
	for (const struct spot *spot = spots + 1; spot < spots + n_spots; spot++) {
		if (!same_port(head->endpoint, spot->endpoint))
			head = spot;
		if (!endpoint_equal(equal->endpoint, spot->endpoint))
			equal = spot;
		if (spot != head && ip_addr_is_unspecified(&head->endpoint->addr))
			report_clash(draft, head->index, spot->index);
		else if (spot != equal)
			report_clash(draft, equal->index, spot->index);
	}
	free(spots);
	return 0;
}

static void report_link_local(const struct draft *draft, struct position at, const char *key,
			      const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_MAX];
	report_add(draft->report, at,
		   "%s: %s is another host on each link; write an address that its network routes",
		   key, endpoint_format(endpoint, text));
}

static void check_frontend(const struct draft *draft, const struct config_frontend *frontend,
			   struct entry entry)
{
	char text[ENDPOINT_TEXT_MAX];
	if (!addr_is_unicast(&frontend->endpoint.addr))
		report_add(draft->report, (struct position){frontend->line, frontend->column},
			   "listen_addr: %s is a multicast or reserved address; write an address "
			   "of one host",
			   endpoint_format(&frontend->endpoint, text));
	if (ip_addr_is_link_local(&frontend->endpoint.addr))
		report_link_local(draft, (struct position){frontend->line, frontend->column},
				  "listen_addr", &frontend->endpoint);
	if (frontend->hash != HASH_5_TUPLE && frontend->scheduler != SCHEDULER_MAGLEV)
		report_add(draft->report, draft_position(draft, entry, "hash"),
			   "hash: only the scheduler \"maglev\" picks by a hash; take it out, or "
			   "choose that scheduler");
}

static int check_frontends(const struct draft *draft)
{
	const struct config *config = draft->config;
	const yaml_node_t *section = draft_section(draft, "frontends");
	bool is_reported = section && node_kind(section) != NODE_TABLE;
	if (config->n_frontends == 0 && !is_reported)
		report_add(draft->report, (struct position){1, 1},
			   "there are no frontends; add a section frontends.NAME with listen_addr "
			   "and backend");
	for (size_t i = 0; i < config->n_frontends; i++)
		check_frontend(draft, &config->frontends[i], draft_entry(draft, section, i));
	return check_clashes(draft);
}

static void check_backend(const struct draft *draft, const struct config_backend *backend)
{
	char text[ENDPOINT_TEXT_MAX];
	const struct endpoint *endpoint = &backend->endpoint;
	if (endpoint->port_be == 0) // a path, or it has been reported
		return;
	if (ip_addr_is_unspecified(&endpoint->addr) || !addr_is_unicast(&endpoint->addr))
		report_add(draft->report, (struct position){backend->line, backend->column},
			   "addr: nothing can be sent to %s; write the address of one host",
			   endpoint_format(endpoint, text));
	if (ip_addr_is_link_local(&endpoint->addr))
		report_link_local(draft, (struct position){backend->line, backend->column}, "addr",
				  endpoint);
}

// 0 when both are reached at the same place.
static int compare_places(const struct config_backend *a, const struct config_backend *b)
{
	if (a->unix_path && b->unix_path)
		return strcmp(a->unix_path, b->unix_path);
	if (a->unix_path || b->unix_path)
		return a->unix_path ? 1 : -1;
	return memcmp(&a->endpoint, &b->endpoint, sizeof(a->endpoint));
}

// By place, then in the order of the file.
static int compare_backends(const void *left, const void *right)
{
	const struct config_backend *a = ((const struct place *)left)->backend;
	const struct config_backend *b = ((const struct place *)right)->backend;
	int order = compare_places(a, b);
	return order != 0 ? order : (a > b) - (a < b);
}

static int check_backends(const struct draft *draft, const struct config_pool *pool)
{
	size_t n_places = 0;
	struct place *places = calloc(pool->n_backends + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < pool->n_backends; i++) {
		const struct config_backend *backend = &pool->backends[i];
		check_backend(draft, backend);
		if (backend->unix_path || backend->endpoint.port_be != 0)
			places[n_places++] = (struct place){backend};
	}
	qsort(places, n_places, sizeof(*places), compare_backends);
	for (size_t i = 1; i < n_places; i++) {
		const struct config_backend *first = places[i - 1].backend;
		const struct config_backend *again = places[i].backend;
		char text[CONFIG_BACKEND_TEXT_MAX];
		if (compare_places(first, again) != 0)
			continue;
		report_add(draft->report, (struct position){again->line, again->column},
			   "addr: %s is already backend \"%s\" of this pool (line %u); take one "
			   "out, or raise its weight",
			   config_backend_format(again, text), first->name, first->line);
	}
	free(places);
	return 0;
}

static int check_pool(const struct draft *draft, const struct config_pool *pool, struct entry entry)
{
	if (pool->n_backends == 0)
		report_add(draft->report, (struct position){pool->line, pool->column},
			   "pool \"%s\" has no backends; add a section backends.%s.servers.NAME "
			   "with addr",
			   pool->name, pool->name);
	draft_check_health(draft, pool, entry);
	return check_backends(draft, pool);
}

static int check_pools(const struct draft *draft)
{
	const struct config *config = draft->config;
	const yaml_node_t *section = draft_section(draft, "backends");
	size_t n_backends = 0;
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		int code = check_pool(draft, pool, draft_entry(draft, section, i));
		if (code != 0)
			return code;
		if (n_backends <= CONFIG_MAX_BACKENDS &&
		    n_backends + pool->n_backends > CONFIG_MAX_BACKENDS)
			report_add(draft->report, (struct position){pool->line, pool->column},
				   "more than %d backends in all pools together; take some out",
				   CONFIG_MAX_BACKENDS);
		n_backends += pool->n_backends;
	}
	return 0;
}

// Less room than the file itself needs.
static void check_room(const struct draft *draft, const char *key, uint32_t room, size_t n,
		       const char *what)
{
	const yaml_node_t *section = draft_section(draft, "reload");
	struct entry found;
	if (room == 0 || room >= n || !table_find(draft->document, section, key, &found))
		return;
	report_add(draft->report, node_position(found.value),
		   "%s: there is room for %u %s, and the file has %zu; write at least twice as "
		   "many, or 0",
		   key, room, what, n);
}

static void check_reload(const struct draft *draft)
{
	const struct config_reload *reload = &draft->config->reload;
	check_room(draft, "max_backends", reload->max_backends, config_n_backends(draft->config),
		   "backends");
	check_room(draft, "max_frontends", reload->max_frontends, draft->config->n_frontends,
		   "frontends");
}

int draft_check(const struct draft *draft)
{
	int code = check_frontends(draft);
	if (code == 0)
		code = check_pools(draft);
	if (code != 0)
		return code;
	draft_check_proxy(draft);
	draft_check_passthrough(draft);
	draft_check_dsr(draft);
	check_reload(draft);
	draft_check_stats(draft);
	return 0;
}
