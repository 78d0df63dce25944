// SPDX-License-Identifier: Apache-2.0
// A packet mode, passthrough or DSR, as a whole. Everything here runs on the main thread, which is
// control: it owns the event loop, builds the packet path, and hands it a new snapshot whenever
// health or the network has changed. What the modes have in common is here; what they differ in is
// decided by config->mode where it belongs: topology.c, guard.c, and below src/packet.
#include "packet_mode.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/control/instance.h"
#include "culvert/packet/engine.h"
#include "culvert/packet/filter.h"
#include "flow_writer.h"
#include "guard.h"
#include "inquiry.h"
#include "passive.h"
#include "service.h"
#include "settling.h"
#include "topology.h"

enum { NEIGHBOUR_WAIT_MS = 1000 };

struct packet_mode {
	struct config *config; // of the start, borrowed; everything else is owned
	struct service service;
	struct event *totals;
	struct event *guarding;
	struct event *asking; // who holds the network namespace
	struct netwatch *netwatch;
	struct topology topology;
	struct cover cover; // of the filter and the firewall
	struct guard guard;
	struct engine *engine;
	struct flow_writer *flow_writer; // NULL: no flow log
	struct inquiry *inquiry;
	struct readiness *readiness; // NULL: what is healthy gets traffic
	struct passive *passive;
	struct settling *settling; // NULL in other modes than DSR
	uint64_t received_at_last_totals;
	bool is_ready;
	bool is_stopping;
	bool has_failed;
	int instance_fd; // holds this network namespace for us
};

// ---- events ------------------------------------------------------------------------------------

// The exact filter, or a broader one when it has more instructions than the kernel takes.
static char *make_filter(const struct config *config, const struct cover *cover)
{
	char *text = filter_text(config, cover->vips, cover->n_vips);
	if (text && filter_check(text, NULL) == 0)
		return text;
	free(text);
	return filter_text_coarse();
}

static int set_filter(struct packet_mode *self, const struct cover *cover, struct err *err)
{
	char *text = make_filter(self->config, cover);
	if (!text)
		return err_set(err, -ENOMEM, "not enough memory for the capture filter");
	int code = engine_set_filter(self->engine, text, err);
	free(text);
	return code;
}

// Filter and firewall for another cover, which is taken over. On failure the one before counts.
static int set_cover(struct packet_mode *self, struct cover *cover, const struct snapshot *snapshot,
		     struct err *err)
{
	int code = set_filter(self, cover, err);
	if (!code)
		code = guard_update(&self->guard, &self->topology, cover, snapshot, err);
	if (code) {
		cover_fini(cover);
		return code;
	}
	cover_fini(&self->cover);
	self->cover = *cover;
	return 0;
}

// Before the snapshot: what it serves for the first time is kept from the kernel.
static int widen(struct packet_mode *self, const struct snapshot *snapshot, struct err *err)
{
	struct cover wide;
	if (cover_make(&wide, snapshot, &self->cover))
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	bool is_wider = wide.n_vips > self->cover.n_vips ||
			wide.n_backends > self->cover.n_backends ||
			guard_lacks(&self->guard, snapshot);
	if (is_wider)
		return set_cover(self, &wide, snapshot, err);
	cover_fini(&wide);
	return 0;
}

// After it: what it serves no more is the kernel's again.
static int narrow(struct packet_mode *self, struct cover *exact, const struct snapshot *snapshot,
		  struct err *err)
{
	bool is_narrower =
		exact->n_vips < self->cover.n_vips || exact->n_backends < self->cover.n_backends;
	if (is_narrower)
		return set_cover(self, exact, snapshot, err);
	cover_fini(exact);
	return 0;
}

static int on_publish(void *arg, struct snapshot *snapshot, struct err *err)
{
	struct packet_mode *self = arg;
	struct cover exact;
	if (cover_make(&exact, snapshot, NULL)) {
		snapshot_destroy(snapshot);
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	}
	int code = widen(self, snapshot, err);
	flow_writer_follow(self->flow_writer, self->service.registry);
	engine_publish(self->engine, snapshot); // it stays until the next one
	int other = narrow(self, &exact, snapshot, code ? NULL : err);
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
	if (topology_refresh(&self->topology))
		service_publish_soon(&self->service);
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

static void on_guarding(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct packet_mode *self = arg;
	struct err err = {0};
	if (guard_refresh(&self->guard, &err))
		log_warn("firewall", "a restart may cost connections, next try in %d s: %s",
			 GUARD_REFRESH_S, err.message);
}

static int gather_stats(void *arg, struct stats *stats)
{
	struct packet_mode *self = arg;
	stats->mode = self->config->mode;
	flow_writer_stats(self->flow_writer, &stats->flow_log);
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

static int forget_frontend(void *arg, uint32_t frontend)
{
	const struct packet_mode *self = arg;
	engine_forget_frontend(self->engine, frontend);
	return 0;
}

static int forget_backend(void *arg, uint32_t backend)
{
	struct packet_mode *self = arg;
	engine_forget_backend(self->engine, backend);
	topology_forget(&self->topology, backend);
	return 0;
}

static int set_state(void *arg, uint32_t backend, enum admin_state state, struct err *err)
{
	struct packet_mode *self = arg;
	return service_set_state(&self->service, backend, state, err);
}

static int set_weight(void *arg, uint32_t backend, int32_t weight, struct err *err)
{
	struct packet_mode *self = arg;
	return service_set_weight(&self->service, backend, weight, err);
}

static void answer_reload(void *arg, const struct api_reload_query *query,
			  struct api_request *request)
{
	struct packet_mode *self = arg;
	service_answer_reload(&self->service, query, request);
}

static void get_status(void *arg, struct api_status *status)
{
	const struct packet_mode *self = arg;
	uint32_t n_workers = engine_n_workers(self->engine);
	service_fill_status(&self->service, status);
	status->state = self->is_ready ? API_READY : API_STARTING;
	status->n_threads = n_workers ? n_workers : 1;
}

static void on_reopen_logs(void *arg)
{
	struct packet_mode *self = arg;
	flow_writer_reopen(self->flow_writer);
}

static int check_config(void *arg, const struct config *config, struct err *err)
{
	const struct packet_mode *self = arg;
	return topology_check(&self->topology, config, err);
}

static int follow_config(void *arg, struct err *err)
{
	struct packet_mode *self = arg;
	return topology_follow(&self->topology, err);
}

static void list_flows(void *arg, const struct api_flow_query *query, struct api_request *request)
{
	struct packet_mode *self = arg;
	inquiry_flows(self->inquiry, query, request);
}

static void explain_client(void *arg, const struct api_explain_query *query,
			   struct api_request *request)
{
	struct packet_mode *self = arg;
	inquiry_explain(self->inquiry, query, request);
}

static void sample_drops(void *arg, const struct api_sample_query *query,
			 struct api_request *request)
{
	struct packet_mode *self = arg;
	inquiry_sample(self->inquiry, query, request);
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
	uint32_t ms = self->config->passthrough.stats_update_frequency_ms;
	struct timeval period = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	self->totals = event_new(base, -1, EV_PERSIST, on_totals, self);
	self->guarding = event_new(base, -1, EV_PERSIST, on_guarding, self);
	self->asking = event_new(base, self->instance_fd, EV_READ | EV_PERSIST, on_asking, self);
	if (!self->totals || !self->guarding || !self->asking || event_add(self->totals, &period) ||
	    event_add(self->asking, NULL))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return 0;
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
		.driver = &io_afpacket,
		.links = links,
		.n_links = self->topology.n_links,
		.registry = self->service.registry,
		.secret = self->service.secret,
	};
	return engine_create(&self->engine, &params, snapshot, err);
}

// On success the snapshot belongs to the engine.
static int open_packet_path_with(struct packet_mode *self, struct snapshot *snapshot,
				 struct err *err)
{
	const struct topology *topology = &self->topology;
	struct io_link links[CONFIG_MAX_INTERFACES];
	if (cover_make(&self->cover, snapshot, NULL))
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	int code = guard_open(&self->guard, topology, &self->cover, snapshot, err);
	if (code)
		return code;
	char *filter = make_filter(self->config, &self->cover);
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

static int open_flow_log(struct packet_mode *self, struct err *err)
{
	struct flow_journal *journals[CONFIG_MAX_WORKERS];
	uint32_t n = engine_n_workers(self->engine) ? engine_n_workers(self->engine) : 1;
	if (!self->config->flow_log.path)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		journals[i] = engine_flow_journal(self->engine, i);
	struct flow_writer_params params = {
		.config = self->config,
		.registry = self->service.registry,
		.journals = journals,
		.n_journals = n,
	};
	return flow_writer_start(&self->flow_writer, &params, err);
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
	code = open_flow_log(self, err);
	return code ? code : engine_start(self->engine, err);
}

// Between health and traffic, when the configuration wants it.
static int open_readiness(struct packet_mode *self, struct err *err)
{
	struct readiness_params params = {
		.base = self->service.base,
		.netwatch = self->netwatch,
		.config = self->config,
		.registry = self->service.registry,
		.on_change = service_take_health,
		.arg = &self->service,
	};
	if (self->config->mode != MODE_DSR || !self->config->dsr.require_ready)
		return 0;
	return readiness_open(&self->readiness, &params, err);
}

static void on_settling_news(void *arg)
{
	struct packet_mode *self = arg;
	service_publish_soon(&self->service);
}

// What keeps connections alive from one run of DSR mode to the next.
static int open_restart_care(struct packet_mode *self, struct err *err)
{
	static const struct timeval period = {.tv_sec = GUARD_REFRESH_S};
	struct settling_params params = {
		.base = self->service.base,
		.registry = self->service.registry,
		.health = self->service.health,
		.readiness = self->readiness,
		.on_news = on_settling_news,
		.arg = self,
	};
	if (event_add(self->guarding, &period))
		return err_set(err, -ENOMEM, "not enough memory for timers");
	return settling_start(&self->settling, &params, err);
}

static int open_passive(struct packet_mode *self, struct err *err)
{
	struct passive_params params = {
		.base = self->service.base,
		.registry = self->service.registry,
		.engine = self->engine,
		.health = self->service.health,
	};
	return passive_start(&self->passive, &params, err);
}

static int open_health(struct packet_mode *self, struct err *err)
{
	int code = open_readiness(self, err);
	self->service.readiness = self->readiness;
	if (!code)
		code = service_open_health(&self->service, err);
	if (!code)
		code = open_passive(self, err);
	if (code || self->config->mode != MODE_DSR)
		return code;
	return open_restart_care(self, err);
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
		code = inquiry_open_packet(&self->inquiry, &self->service, self->engine, err);
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
	if (self->flow_writer) {
		engine_stop(self->engine);
		engine_end_flows(self->engine);
		flow_writer_stop(self->flow_writer);
	}
	engine_destroy(self->engine);
}

static void close_all(struct packet_mode *self)
{
	settling_stop(self->settling);
	passive_stop(self->passive);
	inquiry_forget(self->inquiry);
	service_close_outward(&self->service);
	readiness_close(self->readiness);
	close_packet_path(self);
	inquiry_close(self->inquiry);
	guard_close(&self->guard);
	cover_fini(&self->cover);
	netwatch_destroy(self->netwatch);
	free_event(self->asking);
	free_event(self->guarding);
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
		log_info("culvert", "ready: %s, %u worker threads", mode, workers);
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

// "Ready" should mean that the first packet is forwarded, so backends are first looked for on their
// networks. One that is not there holds up the others for no longer than NEIGHBOUR_WAIT_MS.
static void await_neighbours(struct packet_mode *self)
{
	uint64_t deadline = clock_now_ns() + NEIGHBOUR_WAIT_MS * NS_PER_MS;
	const struct timeval step = {.tv_usec = 10000};
	while (!self->is_stopping && is_awaiting_neighbour(self) && clock_now_ns() < deadline) {
		event_base_loopexit(self->service.base, &step);
		if (event_base_dispatch(self->service.base) < 0)
			return;
	}
	// What has been found is published before anything else happens.
	if (!self->is_stopping)
		event_base_loop(self->service.base, EVLOOP_NONBLOCK);
}

// Returns 0 when a signal ended it.
static int serve(struct packet_mode *self, struct err *err)
{
	int code = 0;
	await_neighbours(self);
	if (!self->is_stopping) {
		log_ready(self);
		self->is_ready = true;
		code = service_run(&self->service, err);
	}
	if (code)
		log_error("culvert", "%s", err->message);
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
		.reopen_logs = on_reopen_logs,
		.check_config = check_config,
		.follow_config = follow_config,
		.api =
			{
				.gather = gather_stats,
				.status = get_status,
				.set_state = set_state,
				.set_weight = set_weight,
				.reload = answer_reload,
				.flows = list_flows,
				.explain = explain_client,
				.sample = sample_drops,
			},
	};
	struct packet_mode self = {.config = config, .instance_fd = -1};
	self.service =
		(struct service){.config = config_ref(config), .hooks = &hooks, .arg = &self};
	log_info("culvert", "version " CULVERT_VERSION ", configuration %s", config->path);
	struct err err = {0};
	int code = open_all(&self, &err);
	if (code)
		log_error("culvert", "cannot start: %s", err.message);
	else
		code = serve(&self, &err);
	close_all(&self);
	return code;
}
