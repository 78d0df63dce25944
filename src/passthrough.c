// SPDX-License-Identifier: Apache-2.0
// Passthrough mode as a whole. Everything here runs on the main thread, which is control: it owns
// the event loop, builds the packet path, and hands it a new snapshot whenever health or the
// network has changed.
#include "passthrough.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/control/health.h"
#include "culvert/control/instance.h"
#include "culvert/control/stats.h"
#include "culvert/packet/engine.h"
#include "culvert/packet/filter.h"
#include "guard.h"
#include "topology.h"

enum { NEIGHBOUR_WAIT_MS = 1000, N_SIGNALS = 3 };

// A terminal that closes stops what was started in it.
static const int stop_signals[N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

struct passthrough {
	const struct config *config; // borrowed; everything else is owned
	struct event_base *base;
	struct event *signals[N_SIGNALS];
	struct event *publishing; // pending: the registry has news for the packet path
	struct event *totals;
	struct netwatch *netwatch;
	struct registry *registry;
	struct topology topology;
	struct guard guard;
	struct engine *engine;
	struct health *health;
	struct stats_server *stats_server;
	uint64_t secret;
	uint64_t received_at_last_totals;
	bool is_stopping;
	bool has_failed;
	int instance_fd; // holds this network namespace for us
};

// ---- events ------------------------------------------------------------------------------------

// News that comes in a burst goes out as one snapshot, in the event loop's next round.
static void schedule_publish(struct passthrough *self)
{
	static const struct timeval now;
	event_add(self->publishing, &now);
}

// What could not be had now, memory mostly, may be had in a second.
static void publish_later(struct passthrough *self, const struct err *err)
{
	static const struct timeval second = {.tv_sec = 1};
	log_error("culvert", "a change could not be carried out, next try in 1 s: %s",
		  err->message);
	event_add(self->publishing, &second);
}

static void on_publish(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct passthrough *self = arg;
	struct snapshot *snapshot;
	struct err err = {0};
	if (registry_snapshot(self->registry, &snapshot, &err)) {
		publish_later(self, &err);
		return;
	}
	if (guard_update(&self->guard, &self->topology, snapshot, &err))
		publish_later(self, &err);
	engine_publish(self->engine, snapshot);
}

static void stop(struct passthrough *self)
{
	self->is_stopping = true;
	event_base_loopbreak(self->base);
}

static void on_network_change(void *arg)
{
	struct passthrough *self = arg;
	// The first changes can come while the rest is still being built.
	if (!self->engine)
		return;
	if (topology_refresh(&self->topology))
		schedule_publish(self);
	if (!self->topology.lost_link)
		return;
	log_error("network",
		  "interface %s is gone, and what culvert had opened on it with it; start culvert "
		  "again when it is back",
		  self->topology.lost_link);
	self->has_failed = true;
	stop(self);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void)what;
	log_info("culvert", "SIG%s: stopping", sigabbrev_np(signal_number));
	stop(arg);
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

// Said before anything else is tried, where it would sound like several different troubles.
static int check_privileges(struct err *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EPERM)
		return err_set(err, -EPERM,
			       "passthrough mode needs CAP_NET_RAW and CAP_NET_ADMIN: run as root "
			       "(sudo), or by the systemd unit");
	if (fd >= 0)
		close(fd);
	return 0;
}

static int open_events(struct passthrough *self, struct err *err)
{
	self->base = event_base_new();
	if (!self->base)
		return err_set(err, -ENOMEM, "cannot create an event loop");
	for (int i = 0; i < N_SIGNALS; i++) {
		self->signals[i] = evsignal_new(self->base, stop_signals[i], on_signal, self);
		if (!self->signals[i] || event_add(self->signals[i], NULL))
			return err_set(err, -ENOMEM, "cannot watch for signals");
	}
	self->publishing = evtimer_new(self->base, on_publish, self);
	self->totals = event_new(self->base, -1, EV_PERSIST, on_totals, self);
	if (!self->publishing || !self->totals)
		return err_set(err, -ENOMEM, "not enough memory for timers");
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
static char *make_filter(const struct config *config)
{
	char *text = filter_text(config);
	if (text && filter_check(text, NULL) == 0)
		return text;
	free(text);
	return filter_text_coarse();
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
	const struct topology *topology = &self->topology;
	struct io_link links[CONFIG_MAX_INTERFACES];
	int code = guard_open(&self->guard, topology, snapshot, err);
	if (code)
		return code;
	char *filter = make_filter(self->config);
	if (!filter)
		return err_set(err, -ENOMEM, "not enough memory for the capture filter");
	for (uint32_t i = 0; i < topology->n_links; i++) {
		links[i] =
			(struct io_link){topology->names[i], topology->ifindexes[i], filter, NULL};
		log_info("network", "capturing on %s", topology->names[i]);
	}
	code = open_engine(self, links, snapshot, err);
	free(filter);
	return code;
}

static int open_packet_path(struct passthrough *self, struct err *err)
{
	struct snapshot *snapshot;
	int code = registry_snapshot(self->registry, &snapshot, err);
	if (code)
		return code;
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
	int code = check_privileges(err);
	if (code)
		return code;
	self->instance_fd = instance_claim(err);
	code = self->instance_fd < 0 ? self->instance_fd : open_events(self, err);
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
	guard_close(&self->guard);
	registry_destroy(self->registry);
	netwatch_destroy(self->netwatch);
	free_event(self->totals);
	free_event(self->publishing);
	for (int i = 0; i < N_SIGNALS; i++)
		free_event(self->signals[i]);
	if (self->base)
		event_base_free(self->base);
	if (self->instance_fd >= 0)
		close(self->instance_fd);
}

static void log_ready(const struct passthrough *self)
{
	uint32_t workers = engine_n_workers(self->engine);
	char text[ENDPOINT_TEXT_MAX];
	for (size_t i = 0; i < self->config->n_frontends; i++) {
		const struct config_frontend *frontend = &self->config->frontends[i];
		log_info("culvert", "frontend %s: %s %s to pool %s", frontend->name,
			 frontend->endpoint.proto == IPPROTO_TCP ? "tcp" : "udp",
			 endpoint_format(&frontend->endpoint, text),
			 self->config->pools[frontend->pool].name);
	}
	if (self->config->stats_port)
		log_info("culvert", "statistics at http://%s:%u/stats",
			 ip_addr_format(&self->config->stats_listen_addr, text),
			 self->config->stats_port);
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
		if (event_base_dispatch(self->base) < 0)
			return;
	}
	// What has been found is published before anything else happens.
	if (!self->is_stopping)
		event_base_loop(self->base, EVLOOP_NONBLOCK);
}

// Returns 0 when a signal ended it.
static int serve(struct passthrough *self)
{
	await_neighbours(self);
	if (self->is_stopping)
		return self->has_failed ? -ENODEV : 0;
	log_ready(self);
	if (event_base_dispatch(self->base) < 0) {
		log_error("culvert", "the event loop broke down");
		return -EIO;
	}
	return self->has_failed ? -ENODEV : 0;
}

int passthrough_run(const struct config *config)
{
	struct passthrough self = {.config = config, .instance_fd = -1};
	log_info("culvert", "version " CULVERT_VERSION ", configuration %s", config->path);
	struct err err = {0};
	int code = open_all(&self, &err);
	if (code)
		log_error("culvert", "cannot start: %s", err.message);
	else
		code = serve(&self);
	close_all(&self);
	return code;
}
