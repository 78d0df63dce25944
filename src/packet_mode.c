// SPDX-License-Identifier: Apache-2.0
// A packet mode, passthrough or DSR, as a whole. Everything here runs on the main thread, which is
// control: it owns the event loop, builds the packet path, and hands it a new snapshot whenever
// health or the network has changed. What the modes have in common is here; what they differ in is
// decided by config->mode where it belongs: topology.c, guard.c, packet_health.c, and below
// src/packet.
#include "packet_mode.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "culvert/control/activity.h"
#include "culvert/control/instance.h"
#include "culvert/packet/engine.h"
#include "inquiry.h"
#include "network_news.h"
#include "packet_health.h"
#include "privileges.h"
#include "service.h"
#include "shield.h"
#include "topology.h"

enum {
	NEIGHBOUR_WAIT_MS = 1000,
	READINESS_WAIT_MS = 3000, // claiming an address to check from takes half a second
};

struct packet_mode {
	struct config *config; // of the start, borrowed; everything else is owned
	struct service service;
	struct event *totals; // pending: the log is to have them
	struct event *asking; // who holds the network namespace
	struct netwatch *netwatch;
	struct topology topology;
	struct network_news *news; // NULL: it is not ready yet
	struct shield shield;
	struct engine *engine;
	struct packet_health health;
	uint64_t received_at_last_totals;
	bool is_ready;
	bool is_stopping;
	bool has_failed;
	int instance_fd; // holds this network namespace for us
};

// ---- events ------------------------------------------------------------------------------------

static void look_at_network(struct packet_mode *self)
{
	if (topology_refresh(&self->topology))
		service_publish_soon(&self->service);
	if (self->news)
		network_news_look(self->news);
}

static int on_publish(void *arg, struct snapshot *snapshot, struct err *err)
{
	struct packet_mode *self = arg;
	struct cover exact;
	if (cover_make(&exact, snapshot, NULL)) {
		snapshot_destroy(snapshot);
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	}
	int code = shield_widen(&self->shield, snapshot, err);
	engine_publish(self->engine, snapshot); // it stays until the next one
	int other = shield_narrow(&self->shield, &exact, snapshot, code ? NULL : err);
	// It may be that a backend has been given back, and a source address with it.
	if (self->topology.lacks_source)
		look_at_network(self);
	return code ? code : other;
}

static void stop(struct packet_mode *self)
{
	self->is_stopping = true;
	event_base_loopbreak(self->service.base);
}

static void on_network_change(void *arg)
{
	struct packet_mode *self = arg;
	// The first changes can come while the rest is still being built.
	if (!self->engine)
		return;
	look_at_network(self);
	if (!self->topology.lost_link)
		return;
	log_error("network",
		  "interface %s is gone, and what culvert had opened on it with it; start culvert "
		  "again when it is back",
		  self->topology.lost_link);
	self->has_failed = true;
	stop(self);
}

static void on_stop(void *arg, int signal_number)
{
	log_info("culvert", "SIG%s: stopping", sigabbrev_np(signal_number));
	stop(arg);
}

static int gather_stats(void *arg, struct stats *stats)
{
	const struct packet_mode *self = arg;
	return engine_stats(self->engine, &stats->packets);
}

static uint64_t frontend_users(void *arg, uint32_t frontend)
{
	const struct packet_mode *self = arg;
	return engine_frontend_users(self->engine, frontend);
}

static uint64_t backend_users(void *arg, uint32_t backend)
{
	const struct packet_mode *self = arg;
	return engine_backend_users(self->engine, backend);
}

static void forget_frontend(void *arg, uint32_t frontend)
{
	const struct packet_mode *self = arg;
	engine_forget_frontend(self->engine, frontend);
}

static void forget_backend(void *arg, uint32_t backend, struct traffic *counted)
{
	struct packet_mode *self = arg;
	engine_forget_backend(self->engine, backend, counted);
	topology_forget(&self->topology, backend);
	if (self->news)
		network_news_forget(self->news, backend);
}

static uint32_t count_workers(const struct packet_mode *self)
{
	uint32_t n = engine_n_workers(self->engine);
	return n ? n : 1;
}

static void get_status(void *arg, struct api_status *status)
{
	const struct packet_mode *self = arg;
	status->state = self->is_ready ? API_READY : API_STARTING;
	status->n_threads = count_workers(self);
}

static int check_config(void *arg, const struct config *config, struct err *err)
{
	const struct packet_mode *self = arg;
	int code = topology_check(&self->topology, config, err);
	if (code || !self->health.readiness)
		return code;
	return readiness_check_config(self->health.readiness, config, err);
}

// A line of totals is of level debug.
static int follow_log_level(struct packet_mode *self, struct err *err)
{
	uint32_t ms = self->config->passthrough.stats_update_frequency_ms;
	struct timeval period = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	bool is_wanted = self->service.config->log_level >= LOG_DEBUG;
	bool is_pending = event_pending(self->totals, EV_TIMEOUT, NULL);
	if (is_wanted == is_pending)
		return 0;
	if (is_wanted ? event_add(self->totals, &period) : event_del(self->totals))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return 0;
}

static int follow_config(void *arg, struct err *err)
{
	struct packet_mode *self = arg;
	int code = topology_follow(&self->topology, err);
	int other = follow_log_level(self, code ? NULL : err);
	if (self->news)
		network_news_look(self->news);
	return code ? code : other;
}

// Where nothing comes in any more nothing else would be looked at.
static void look_for_drops(void *arg)
{
	struct packet_mode *self = arg;
	if (engine_look_for_drops(self->engine))
		activity_stir(self->service.activity);
}

static void on_totals(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct packet_mode *self = arg;
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

static void on_asking(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	instance_answer(fd);
}

// ---- building ----------------------------------------------------------------------------------

// Said before anything else is tried, where it would sound like several different troubles.
static int check_privileges(const struct config *config, struct err *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EPERM)
		return err_set(err, -EPERM,
			       "%s mode needs CAP_NET_RAW and CAP_NET_ADMIN: run as root (sudo), "
			       "or by the systemd unit",
			       mode_name(config->mode));
	if (fd >= 0)
		close(fd);
	return 0;
}

static int open_timers(struct packet_mode *self, struct err *err)
{
	struct event_base *base = self->service.base;
	self->totals = event_new(base, -1, EV_PERSIST, on_totals, self);
	self->asking = event_new(base, self->instance_fd, EV_READ | EV_PERSIST, on_asking, self);
	if (!self->totals || !self->asking || event_add(self->asking, NULL))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return follow_log_level(self, err);
}

static int open_network(struct packet_mode *self, struct err *err)
{
	int code =
		netwatch_create(&self->netwatch, self->service.base, on_network_change, self, err);
	if (code)
		return code;
	self->topology = (struct topology){
		.config = self->config,
		.netwatch = self->netwatch,
		.registry = self->service.registry,
	};
	return topology_find(&self->topology, err);
}

static int open_engine(struct packet_mode *self, const struct io_link *links,
		       struct snapshot *snapshot, struct err *err)
{
	struct engine_params params = {
		.config = self->config,
		.driver = self->config->passthrough.io == IO_XDP ? &io_afxdp : &io_afpacket,
		.links = links,
		.n_links = self->topology.n_links,
		.registry = self->service.registry,
		.secret = self->service.secret,
		.activity = activity_bell(self->service.activity),
	};
	return engine_create(&self->engine, &params, snapshot, err);
}

// On success the snapshot belongs to the engine.
static int open_packet_path_with(struct packet_mode *self, struct snapshot *snapshot,
				 struct err *err)
{
	const struct topology *topology = &self->topology;
	struct io_link links[CONFIG_MAX_INTERFACES];
	int code = shield_open(&self->shield, topology, snapshot, err);
	if (code)
		return code;
	char *filter = shield_make_filter(&self->shield);
	if (!filter)
		return err_set(err, -ENOMEM, "not enough memory for the capture filter");
	for (uint32_t i = 0; i < topology->n_links; i++) {
		links[i] = (struct io_link){
			.name = topology->names[i],
			.ifindex = topology->ifindexes[i],
			.filter = filter,
		};
		log_info("network", "capturing on %s", topology->names[i]);
	}
	code = open_engine(self, links, snapshot, err);
	self->shield.engine = self->engine;
	free(filter);
	return code;
}

static int open_flow_log(struct packet_mode *self, struct err *err)
{
	struct flow_journal *journals[CONFIG_MAX_WORKERS];
	uint32_t n = count_workers(self);
	for (uint32_t i = 0; i < n; i++)
		journals[i] = engine_flow_journal(self->engine, i);
	return service_open_flow_log(&self->service, journals, n, err);
}

static int open_packet_path(struct packet_mode *self, struct err *err)
{
	struct snapshot *snapshot;
	int code = registry_snapshot(self->service.registry, &snapshot, err);
	if (code)
		return code;
	code = open_packet_path_with(self, snapshot, err);
	if (code) {
		snapshot_destroy(snapshot);
		return code;
	}
	code = shield_tell_scope(&self->shield, snapshot, err);
	// What only loading BPF programs needed; there is still one thread.
	if (!code)
		code = privileges_settle(self->config, err);
	if (!code)
		code = open_flow_log(self, err);
	return code ? code : engine_start(self->engine, err);
}

static int open_health(struct packet_mode *self, struct err *err)
{
	struct packet_health_params params = {
		.service = &self->service,
		.netwatch = self->netwatch,
		.engine = self->engine,
		.guard = &self->shield.guard,
	};
	return packet_health_open(&self->health, &params, err);
}

static int open_all(struct packet_mode *self, struct err *err)
{
	int code = check_privileges(self->config, err);
	if (code)
		return code;
	self->instance_fd = instance_claim(err);
	code = self->instance_fd < 0
		       ? self->instance_fd
		       : service_open(&self->service, engine_count_threads(self->config), err);
	if (!code)
		code = open_timers(self, err);
	if (!code)
		code = open_network(self, err);
	if (!code)
		code = open_packet_path(self, err);
	if (!code)
		code = open_health(self, err);
	if (!code)
		code = inquiry_open_packet(&self->service.inquiry, &self->service, self->engine,
					   err);
	if (!code)
		code = service_open_api(&self->service, err);
	if (!code)
		code = service_open_reload(&self->service, err);
	return code;
}

// ---- taking down, last opened first ------------------------------------------------------------

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void close_packet_path(struct packet_mode *self)
{
	if (self->service.flow_writer) {
		engine_stop(self->engine);
		engine_end_flows(self->engine);
		service_close_flow_log(&self->service);
	}
	engine_destroy(self->engine);
}

static void close_all(struct packet_mode *self)
{
	packet_health_stop(&self->health);
	service_close_outward(&self->service);
	packet_health_close(&self->health);
	close_packet_path(self);
	shield_close(&self->shield);
	network_news_destroy(self->news);
	netwatch_destroy(self->netwatch);
	free_event(self->asking);
	free_event(self->totals);
	service_close(&self->service);
	if (self->instance_fd >= 0)
		close(self->instance_fd);
}

// "passthrough", or "dsr (nat)".
static const char *describe_mode(const struct config *config)
{
	static const char *const dsr[] = {
		[DSR_NAT] = "dsr (nat)",
		[DSR_L2] = "dsr (l2)",
		[DSR_IPIP] = "dsr (ipip)",
	};
	return config->mode == MODE_DSR ? dsr[config->dsr.method] : mode_name(config->mode);
}

static void log_ready(const struct packet_mode *self)
{
	const char *mode = describe_mode(self->config);
	uint32_t workers = engine_n_workers(self->engine);
	service_log_frontends(&self->service);
	if (workers)
		log_info("culvert", "ready: %s, %u worker thread%s", mode, workers,
			 workers == 1 ? "" : "s");
	else
		log_info("culvert", "ready: %s, one thread for all stages", mode);
}

// ---- running -----------------------------------------------------------------------------------

static bool is_awaiting_neighbour(const struct packet_mode *self)
{
	for (uint32_t i = 0; i < registry_n_backends(self->service.registry); i++) {
		if (registry_backend(self->service.registry, i)->hop.state == HOP_UNRESOLVED)
			return true;
	}
	return false;
}

static bool has_neighbours(const void *arg)
{
	const struct packet_mode *self = arg;
	return self->is_stopping || !is_awaiting_neighbour(self);
}

static bool has_backends(const void *arg)
{
	const struct packet_mode *self = arg;
	return self->is_stopping || service_has_backends(&self->service);
}

// "Ready" should mean that the first packet is forwarded, so backends are first looked for on their
// networks; where they have to be ready themselves, each pool's first one is. Those that are not
// there, or not ready, hold up the others for no longer than that.
static void await_backends(struct packet_mode *self)
{
	service_await(&self->service, has_neighbours, NEIGHBOUR_WAIT_MS);
	if (self->health.readiness)
		service_await(&self->service, has_backends, READINESS_WAIT_MS);
}

// Returns 0 when a signal ended it.
static int serve(struct packet_mode *self, struct err *err)
{
	int code = 0;
	await_backends(self);
	if (!self->is_stopping)
		code = network_news_create(&self->news, &self->topology, self->service.events, err);
	if (!code && !self->is_stopping) {
		log_ready(self);
		self->is_ready = true;
		code = service_run(&self->service, err);
	}
	if (code)
		service_log_failure(self->is_ready, err);
	return code || !self->has_failed ? code : -ENODEV;
}

int packet_mode_run(struct config *config)
{
	static const struct service_hooks hooks = {
		.stop = on_stop,
		.publish = on_publish,
		.frontend_users = frontend_users,
		.backend_users = backend_users,
		.forget_frontend = forget_frontend,
		.forget_backend = forget_backend,
		.check_config = check_config,
		.follow_config = follow_config,
		.look = look_for_drops,
		.gather = gather_stats,
		.status = get_status,
	};
	struct packet_mode self = {.config = config, .instance_fd = -1};
	self.service =
		(struct service){.config = config_ref(config), .hooks = &hooks, .arg = &self};
	log_info("culvert", "version " CULVERT_VERSION ", configuration %s", config->path);
	struct err err = {0};
	int code = open_all(&self, &err);
	if (code)
		service_log_failure(false, &err);
	else
		code = serve(&self, &err);
	close_all(&self);
	return code;
}
