// SPDX-License-Identifier: Apache-2.0
// Passthrough mode as a whole. Everything here runs on the main thread, which is control: it owns
// the event loop, builds the packet path, and hands it a new snapshot whenever health or the
// network has changed.
#include "passthrough.h"

#include <errno.h>
#include <event2/event.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/control/firewall.h"
#include "culvert/control/health.h"
#include "culvert/control/stats.h"
#include "culvert/packet/engine.h"
#include "culvert/packet/filter.h"
#include "topology.h"

enum { NEIGHBOUR_WAIT_MS = 1000 };

struct passthrough {
	const struct config *config; // borrowed; everything else is owned
	struct event_base *base;
	struct event *on_sigterm;
	struct event *on_sigint;
	struct event *publishing; // pending: the registry has news for the packet path
	struct event *totals;
	struct netwatch *netwatch;
	struct registry *registry;
	struct topology topology;
	struct reserved_ports *reserved_ports;
	struct firewall *firewall;
	struct engine *engine;
	struct health *health;
	struct stats_server *stats_server;
	uint64_t secret;
	uint64_t received_at_last_totals;
	bool is_stopping;
	uint32_t n_snats_guarded; // source addresses that the firewall's rules know
};

// ---- firewall ----------------------------------------------------------------------------------

// What the rules follow from. The names live in `infos`, the rest in the snapshot.
struct rules {
	struct link_info infos[CONFIG_MAX_INTERFACES];
	const char *names[CONFIG_MAX_INTERFACES];
	struct firewall_plan plan;
};

static void plan_rules(const struct passthrough *self, const struct snapshot *snapshot,
		       struct rules *rules)
{
	size_t n_names = 0;
	for (uint32_t i = 0; i < self->topology.n_links; i++) {
		struct link_info *info = &rules->infos[i];
		if (netwatch_link(self->netwatch, self->topology.ifindexes[i], info))
			rules->names[n_names++] = info->name;
	}
	rules->plan = (struct firewall_plan){
		.links = rules->names,
		.n_links = n_names,
		.frontends = snapshot->vips->endpoints,
		.n_frontends = snapshot->vips->n,
		.backends = snapshot->backend_ids->endpoints,
		.n_backends = snapshot->backend_ids->n,
		.snat_addrs = snapshot->snats,
		.n_snat_addrs = snapshot->n_snats,
		.nat_port_min = snapshot->nat_port_min,
		.nat_port_max = snapshot->nat_port_max,
	};
}

static int open_firewall(struct passthrough *self, const struct snapshot *snapshot, struct err *err)
{
	const struct config_passthrough *passthrough = &self->config->passthrough;
	if (!self->config->firewall_manage)
		return 0;
	int code = reserved_ports_open(&self->reserved_ports, passthrough->nat_port_min,
				       passthrough->nat_port_max, err);
	if (code)
		return code;
	struct rules rules;
	plan_rules(self, snapshot, &rules);
	self->n_snats_guarded = snapshot->n_snats;
	return firewall_open(&self->firewall, &rules.plan, err);
}

// A route may bring a source address that the rules do not know yet.
static void update_firewall(struct passthrough *self, const struct snapshot *snapshot)
{
	struct err err = {0};
	struct rules rules;
	if (!self->firewall || snapshot->n_snats == self->n_snats_guarded)
		return;
	plan_rules(self, snapshot, &rules);
	if (firewall_update(self->firewall, &rules.plan, &err))
		log_error("firewall", "the kernel may answer replies to a new address: %s",
			  err.message);
	else
		self->n_snats_guarded = snapshot->n_snats;
}

// ---- events ------------------------------------------------------------------------------------

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void)what;
	struct passthrough *self = arg;
	log_info("culvert", "%s: stopping", signal_number == SIGINT ? "SIGINT" : "SIGTERM");
	self->is_stopping = true;
	event_base_loopbreak(self->base);
}

// News that comes in a burst goes out as one snapshot, in the event loop's next round.
static void schedule_publish(struct passthrough *self)
{
	static const struct timeval now;
	event_add(self->publishing, &now);
}

static void on_publish(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct passthrough *self = arg;
	struct snapshot *snapshot;
	struct err err = {0};
	if (registry_snapshot(self->registry, &snapshot, &err)) {
		log_error("culvert", "the packet path goes on with old knowledge: %s", err.message);
		return;
	}
	update_firewall(self, snapshot);
	engine_publish(self->engine, snapshot);
}

static void on_network_change(void *arg)
{
	struct passthrough *self = arg;
	// The first changes can come while the rest is still being built.
	if (self->engine && topology_refresh(&self->topology))
		schedule_publish(self);
}

static void on_health_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct passthrough *self = arg;
	const struct snapshot_backend *b = registry_backend(self->registry, (uint32_t)backend);
	char text[ENDPOINT_TEXT_MAX];
	log_write(is_up ? LOG_INFO : LOG_WARN, "health", "backend %s of pool %s is %s: %s",
		  endpoint_format(&b->endpoint, text), self->config->pools[b->pool].name,
		  is_up ? "up" : "down", reason);
	registry_set_up(self->registry, (uint32_t)backend, is_up);
	schedule_publish(self);
}

static int gather_stats(void *arg, struct packet_stats *stats)
{
	struct passthrough *self = arg;
	return engine_stats(self->engine, stats);
}

static void on_totals(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct passthrough *self = arg;
	struct packet_stats stats;
	if (engine_stats(self->engine, &stats))
		return;
	if (stats.received != self->received_at_last_totals)
		log_debug("stats",
			  "received %llu forwarded %llu flows %llu bytes_tx %llu bytes_rx %llu",
			  (unsigned long long)stats.received,
			  (unsigned long long)stats.verdicts[VERDICT_FORWARDED],
			  (unsigned long long)stats.flows, (unsigned long long)stats.total.bytes_tx,
			  (unsigned long long)stats.total.bytes_rx);
	self->received_at_last_totals = stats.received;
	packet_stats_fini(&stats);
}

// ---- building ----------------------------------------------------------------------------------

static int open_events(struct passthrough *self, struct err *err)
{
	self->base = event_base_new();
	if (!self->base)
		return err_set(err, -ENOMEM, "cannot create an event loop");
	self->on_sigterm = evsignal_new(self->base, SIGTERM, on_signal, self);
	self->on_sigint = evsignal_new(self->base, SIGINT, on_signal, self);
	self->publishing = evtimer_new(self->base, on_publish, self);
	self->totals = event_new(self->base, -1, EV_PERSIST, on_totals, self);
	if (!self->on_sigterm || !self->on_sigint || !self->publishing || !self->totals ||
	    event_add(self->on_sigterm, NULL) || event_add(self->on_sigint, NULL))
		return err_set(err, -ENOMEM, "cannot watch for signals");
	uint32_t ms = self->config->passthrough.stats_update_frequency_ms;
	struct timeval period = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	event_add(self->totals, &period);
	return 0;
}

static int open_network(struct passthrough *self, struct err *err)
{
	if (getrandom(&self->secret, sizeof(self->secret), 0) != sizeof(self->secret))
		return err_sys(err, -errno, "cannot get random bytes");
	int code = netwatch_create(&self->netwatch, self->base, on_network_change, self, err);
	if (!code)
		code = registry_create(&self->registry, self->config, self->secret, err);
	if (code)
		return code;
	self->topology = (struct topology){
		.config = self->config,
		.netwatch = self->netwatch,
		.registry = self->registry,
	};
	return topology_find(&self->topology, err);
}

// The exact filter, or a broader one when it has more instructions than the kernel takes.
static char *make_filter(const struct config *config, const struct snapshot_link *link)
{
	char *text = filter_text(config, &link->mac);
	if (text && filter_check(text, NULL) == 0)
		return text;
	free(text);
	return filter_text_coarse(&link->mac);
}

static int open_engine(struct passthrough *self, const struct io_link *links,
		       struct snapshot *snapshot, struct err *err)
{
	struct engine_params params = {
		.config = self->config,
		.driver = &io_afpacket,
		.links = links,
		.n_links = self->topology.n_links,
		.registry = self->registry,
		.secret = self->secret,
	};
	return engine_create(&self->engine, &params, snapshot, err);
}

// On success the snapshot belongs to the engine.
static int open_packet_path_with(struct passthrough *self, struct snapshot *snapshot,
				 struct err *err)
{
	struct io_link links[CONFIG_MAX_INTERFACES];
	struct link_info infos[CONFIG_MAX_INTERFACES];
	char *filters[CONFIG_MAX_INTERFACES] = {0};
	int code = 0;
	for (uint32_t i = 0; i < self->topology.n_links; i++) {
		filters[i] = make_filter(self->config, &snapshot->links[i]);
		if (!filters[i] ||
		    !netwatch_link(self->netwatch, self->topology.ifindexes[i], &infos[i]))
			code = err_set(err, -ENODEV, "an interface went away during the start");
		links[i] = (struct io_link){infos[i].name, infos[i].ifindex, filters[i], NULL};
		log_info("network", "capturing on %s", infos[i].name);
	}
	if (!code)
		code = open_engine(self, links, snapshot, err);
	for (uint32_t i = 0; i < self->topology.n_links; i++)
		free(filters[i]);
	return code;
}

static int open_packet_path(struct passthrough *self, struct err *err)
{
	struct snapshot *snapshot;
	int code = registry_snapshot(self->registry, &snapshot, err);
	if (code)
		return code;
	code = open_firewall(self, snapshot, err);
	if (!code)
		code = open_packet_path_with(self, snapshot, err);
	if (code) {
		snapshot_destroy(snapshot);
		return code;
	}
	return engine_start(self->engine, err);
}

static int open_stats(struct passthrough *self, struct err *err)
{
	const struct config *config = self->config;
	struct stats_source source = {config, self->health, gather_stats, self};
	if (config->stats_port == 0)
		return 0;
	return stats_server_start(&self->stats_server, self->base, &config->stats_listen_addr,
				  config->stats_port, &source, err);
}

// Each health probe holds a descriptor. The hard limit is the administrator's word; the soft one is
// only a default.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_all(struct passthrough *self, struct err *err)
{
	raise_descriptor_limit();
	int code = open_events(self, err);
	if (!code)
		code = open_network(self, err);
	if (!code)
		code = open_packet_path(self, err);
	if (!code)
		code = health_start(&self->health, self->base, self->config, on_health_change, self,
				    err);
	if (!code)
		code = open_stats(self, err);
	return code;
}

// ---- taking down, last opened first ------------------------------------------------------------

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void close_all(struct passthrough *self)
{
	stats_server_stop(self->stats_server);
	health_stop(self->health);
	engine_destroy(self->engine);
	firewall_close(self->firewall);
	reserved_ports_close(self->reserved_ports);
	registry_destroy(self->registry);
	netwatch_destroy(self->netwatch);
	free_event(self->totals);
	free_event(self->publishing);
	free_event(self->on_sigint);
	free_event(self->on_sigterm);
	if (self->base)
		event_base_free(self->base);
}

static void log_ready(const struct passthrough *self)
{
	uint32_t workers = engine_n_workers(self->engine);
	if (workers)
		log_info("culvert", "ready: passthrough, %u worker threads", workers);
	else
		log_info("culvert", "ready: passthrough, one thread for all stages");
}

// ---- running -----------------------------------------------------------------------------------

static bool is_awaiting_neighbour(const struct passthrough *self)
{
	for (uint32_t i = 0; i < registry_n_backends(self->registry); i++) {
		if (registry_backend(self->registry, i)->hop.state == HOP_UNRESOLVED)
			return true;
	}
	return false;
}

// "Ready" should mean that the first packet is forwarded, so backends are first looked for on their
// networks. One that is not there holds up the others for no longer than NEIGHBOUR_WAIT_MS.
static void await_neighbours(struct passthrough *self)
{
	uint64_t deadline = clock_now_ns() + NEIGHBOUR_WAIT_MS * NS_PER_MS;
	const struct timeval step = {.tv_usec = 10000};
	while (!self->is_stopping && is_awaiting_neighbour(self) && clock_now_ns() < deadline) {
		event_base_loopexit(self->base, &step);
		event_base_dispatch(self->base);
	}
	// What has been found is published before anything else happens.
	event_base_loop(self->base, EVLOOP_NONBLOCK);
}

int passthrough_run(const struct config *config)
{
	struct passthrough self = {.config = config};
	struct err err = {0};
	int code = open_all(&self, &err);
	if (code) {
		log_error("culvert", "cannot start: %s", err.message);
	} else {
		await_neighbours(&self);
		log_ready(&self);
		if (!self.is_stopping)
			event_base_dispatch(self.base);
	}
	close_all(&self);
	return code;
}
