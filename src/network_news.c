// SPDX-License-Identifier: Apache-2.0
#include "network_news.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/log.h"

// Of one kind at a time: an interface that goes takes the way to thousands of backends with it.
enum { TOLD_AT_ONCE = 10 };

// As it was when it was looked at last.
enum reach { REACH_NEW, REACH_UNRESOLVED, REACH_READY, REACH_LOST };

struct network_news {
	const struct topology *topology; // borrowed
	struct events *events;           // borrowed
	bool is_down[CONFIG_MAX_INTERFACES];
	bool *is_absent;     // owned; by slot of the frontend: its address is not here
	enum reach *reaches; // owned; by slot of the backend
	bool is_begun;
};

// ---- links -------------------------------------------------------------------------------------

static void look_at_links(struct network_news *news)
{
	const struct topology *topology = news->topology;
	for (uint32_t i = 0; i < topology->n_links; i++) {
		struct link_info link;
		const char *name = topology->names[i];
		bool is_down = !netwatch_link(topology->netwatch, topology->ifindexes[i], &link) ||
			       !link.is_up;
		bool is_news = news->is_begun && news->is_down[i] != is_down;
		news->is_down[i] = is_down;
		if (!is_news)
			continue;
		events_add(news->events, EVENT_NETWORK, is_down ? LOG_WARN : LOG_INFO, name, "%s",
			   is_down ? "down" : "up again");
		log_event(is_down ? LOG_WARN : LOG_INFO, "network", NULL, "interface %s is %s",
			  name, is_down ? "down" : "up again");
	}
}

// ---- addresses of frontends --------------------------------------------------------------------

static void tell_address(const struct network_news *news, const struct snapshot_frontend *frontend,
			 bool is_absent)
{
	char addr[IP_ADDR_TEXT_MAX];
	const char *name = frontend->config->name;
	ip_addr_format(&frontend->endpoint.addr, addr);
	events_add(news->events, EVENT_NETWORK, is_absent ? LOG_WARN : LOG_INFO, name,
		   is_absent ? "no interface has its address %s any more"
			     : "its address %s is here again",
		   addr);
	if (is_absent)
		log_warn("network",
			 "frontend %s: no interface of this host has the address %s any more; add "
			 "it again (ip address add %s/%s dev INTERFACE)",
			 name, addr, addr,
			 ip_addr_is_v4(&frontend->endpoint.addr) ? "32" : "128 preferred_lft 0");
	else
		log_info("network", "frontend %s: the address %s is here again", name, addr);
}

static void tell_rest(const struct network_news *news, unsigned n, const char *what)
{
	if (n > TOLD_AT_ONCE)
		events_add(news->events, EVENT_NETWORK, LOG_WARN, "", "and the same of %u more %s",
			   n - TOLD_AT_ONCE, what);
}

// With interfaces named, an address may be routed here instead.
static void look_at_addresses(struct network_news *news)
{
	const struct topology *topology = news->topology;
	const struct registry *registry = topology->registry;
	unsigned n = 0;
	if (topology->config->passthrough.n_interfaces)
		return;
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		unsigned ifindex;
		bool is_absent =
			frontend->state == SLOT_ACTIVE &&
			!netwatch_addr_link(topology->netwatch, &frontend->endpoint.addr, &ifindex);
		bool is_news = news->is_begun && news->is_absent[i] != is_absent;
		news->is_absent[i] = is_absent;
		if (is_news && frontend->state == SLOT_ACTIVE && n++ < TOLD_AT_ONCE)
			tell_address(news, frontend, is_absent);
	}
	tell_rest(news, n, "frontends");
}

// ---- the way to backends -----------------------------------------------------------------------

static enum reach reach_of(const struct snapshot_backend *backend, enum reach before)
{
	if (!backend->config)
		return REACH_NEW;
	if (backend->hop.state == HOP_READY)
		return REACH_READY;
	bool was_ready = before == REACH_READY || before == REACH_LOST;
	return was_ready || backend->hop.state == HOP_NO_ROUTE ? REACH_LOST : REACH_UNRESOLVED;
}

// The log has these from topology.c, with the reason.
static void tell_reach(const struct network_news *news, const struct snapshot_backend *backend)
{
	char subject[EVENT_SUBJECT_MAX];
	const struct snapshot_hop *hop = &backend->hop;
	snprintf(subject, sizeof(subject), "%s/%s", backend->pool_config->name,
		 backend->config->name);
	if (hop->state == HOP_READY)
		events_add(news->events, EVENT_NETWORK, LOG_INFO, subject,
			   "can be reached again, by %s", news->topology->names[hop->link]);
	else
		events_add(news->events, EVENT_NETWORK, LOG_WARN, subject, "cannot be reached: %s",
			   hop->state == HOP_NO_ROUTE ? "there is no way to it"
						      : "its next hop does not answer");
}

static void look_at_backends(struct network_news *news)
{
	const struct registry *registry = news->topology->registry;
	unsigned n = 0;
	for (uint32_t i = 0; i < registry_n_backends(registry); i++) {
		const struct snapshot_backend *backend = registry_backend(registry, i);
		enum reach before = news->reaches[i];
		enum reach now = reach_of(backend, before);
		bool is_news = before != now && (now == REACH_LOST || before == REACH_LOST) &&
			       now != REACH_NEW;
		news->reaches[i] = now;
		if (news->is_begun && is_news && n++ < TOLD_AT_ONCE)
			tell_reach(news, backend);
	}
	tell_rest(news, n, "backends");
}

// ---- the whole ---------------------------------------------------------------------------------

void network_news_look(struct network_news *news)
{
	look_at_links(news);
	look_at_addresses(news);
	look_at_backends(news);
	news->is_begun = true;
}

void network_news_forget(struct network_news *news, uint32_t backend)
{
	news->reaches[backend] = REACH_NEW;
}

int network_news_create(struct network_news **news, const struct topology *topology,
			struct events *events, struct err *err)
{
	const struct registry *registry = topology->registry;
	struct network_news *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for network events");
	made->topology = topology;
	made->events = events;
	made->is_absent = calloc(registry_max_frontends(registry) + 1, sizeof(bool));
	made->reaches = calloc(registry_max_backends(registry) + 1, sizeof(*made->reaches));
	if (!made->is_absent || !made->reaches) {
		network_news_destroy(made);
		return err_set(err, -ENOMEM, "not enough memory for network events");
	}
	network_news_look(made);
	*news = made;
	return 0;
}

void network_news_destroy(struct network_news *news)
{
	if (!news)
		return;
	free(news->is_absent);
	free(news->reaches);
	free(news);
}
