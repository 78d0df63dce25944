// SPDX-License-Identifier: Apache-2.0
#include "culvert/packet/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "packet/plan.h"

enum {
	INLINE_PACKETS = 512, // two bursts per link and the spares, with room
	PIPELINE_PACKETS = 4096,
	SPARES_PER_WORKER = 2 * WORKER_SPARES, // in its hands, and on their way there
};

// Fragments that wait take nothing away from the packets that do not.
static uint32_t n_packets(const struct engine *engine)
{
	uint32_t n = engine->is_inline ? (uint32_t)INLINE_PACKETS
				       : PIPELINE_PACKETS + engine->n_workers * SPARES_PER_WORKER;
	return n + FRAGMENTS_PACKETS;
}

// Pipelines want a processor each for capture and transmit.
static uint32_t auto_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	if (n <= 2)
		return 0;
	return n - 2 < CONFIG_MAX_WORKERS ? (uint32_t)(n - 2) : CONFIG_MAX_WORKERS;
}

static uint32_t count_workers(const struct config *config)
{
	const struct config_passthrough *passthrough = &config->passthrough;
	uint32_t n_ports = (uint32_t)passthrough->nat_port_max - passthrough->nat_port_min + 1;
	bool is_auto = passthrough->workers == WORKERS_AUTO;
	uint32_t n = is_auto ? auto_workers() : (uint32_t)passthrough->workers;
	if (config->mode == MODE_DSR)
		return n;
	return n < n_ports ? n : n_ports; // each needs a port
}

uint32_t engine_count_threads(const struct config *config)
{
	uint32_t n = count_workers(config);
	return n ? n : 1;
}

static void choose_plan(struct engine *engine)
{
	engine->is_inline = count_workers(engine->config) == 0;
	engine->n_workers = engine_count_threads(engine->config);
}

static void copy_timeouts(uint32_t *to, const struct config_timeouts *from)
{
	to[FLOW_SYN_SENT] = to[FLOW_SYN_SENT_BOTH] = from->tcp_syn;
	to[FLOW_SYN_RECEIVED] = to[FLOW_PICKED_UP] = from->tcp_handshake;
	to[FLOW_ESTABLISHED] = from->tcp_established;
	to[FLOW_FIN_WAIT] = to[FLOW_CLOSE_WAIT] = to[FLOW_LAST_ACK] = from->tcp_closing;
	to[FLOW_TIME_WAIT] = from->tcp_time_wait;
	to[FLOW_RESET] = from->tcp_reset;
	to[FLOW_UDP_UNREPLIED] = from->udp_unreplied;
	to[FLOW_UDP_REPLIED] = to[FLOW_UDP] = from->udp;
}

static int open_worker(struct engine *engine, const struct engine_params *params, uint32_t i,
		       struct err *err)
{
	const struct config *config = params->config;
	const struct registry *registry = params->registry;
	uint32_t capacity = config->passthrough.connection_tracker_capacity;
	struct worker_params worker = {
		.flows = {
			.capacity = (capacity + engine->n_workers - 1) / engine->n_workers,
			.n_frontends = registry_max_frontends(registry),
			.n_backends = registry_max_backends(registry),
			.n_pools = registry_max_backends(registry) *
				   registry_snats_per_endpoint(registry),
			.secret = params->secret + i,
		}};
	worker.config = config;
	worker.fast = engine->fast.n_holds ? &engine->fast.maps : NULL;
	worker.number = i;
	worker.n_workers = engine->n_workers;
	worker.is_inline = engine->is_inline;
	worker.flows.is_one_sided = config->mode == MODE_DSR;
	copy_timeouts(worker.flows.timeouts, &config->timeouts);
	steering_slice(&engine->capture.steering, i, &worker.flows.first_port,
		       &worker.flows.n_ports);
	engine->workers[i].engine = engine;
	busy_poll_init(&engine->workers[i].poll, config->passthrough.busy_poll_us);
	int code = doorbell_open(&engine->workers[i].bell, err);
	return code ? code : worker_init(&engine->workers[i].worker, &worker, err);
}

static int open_workers(struct engine *engine, const struct engine_params *params, struct err *err)
{
	engine->workers = aligned_alloc(CACHE_LINE, engine->n_workers * sizeof(*engine->workers));
	if (!engine->workers)
		return err_set(err, -ENOMEM, "not enough memory for %u workers", engine->n_workers);
	for (uint32_t i = 0; i < engine->n_workers; i++)
		engine->workers[i] = (struct plan_worker){.bell = {.fd = -1}};
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		int code = open_worker(engine, params, i, err);
		if (code)
			return code;
	}
	return 0;
}

static int open_fragments(struct engine *engine, const struct engine_params *params,
			  struct err *err)
{
	struct fragments_params fragments = {
		.secret = params->secret,
		.n_datagrams = FRAGMENTS_DATAGRAMS,
		.n_packets = FRAGMENTS_PACKETS,
		.n_bytes = FRAGMENTS_BYTES,
	};
	return fragments_init(&engine->capture.fragments, &fragments, err);
}

static int allocate_stats(const struct engine *engine, struct packet_stats *stats)
{
	const struct flow_table_params *params = &engine->workers[0].worker.flows->params;
	*stats = (struct packet_stats){
		.frontends = calloc(params->n_frontends + 1, sizeof(struct traffic)),
		.n_frontends = params->n_frontends,
		.backends = calloc(params->n_backends + 1, sizeof(struct traffic)),
		.n_backends = params->n_backends,
	};
	if (stats->frontends && stats->backends)
		return 0;
	packet_stats_fini(stats);
	return -ENOMEM;
}

static bool wants_fast_path(const struct engine_params *params)
{
	return params->driver == &io_afpacket &&
	       params->config->passthrough.fast_path != FAST_PATH_OFF;
}

// The driver with the fast path beside it. On failure neither is open.
static int open_with_fast_path(struct engine *engine, const struct engine_params *params,
			       struct err *err)
{
	struct io_link links[CONFIG_MAX_INTERFACES];
	struct fast_program *fast = &engine->fast;
	int code = fast_program_load(fast, params->secret, err);
	if (code)
		return code;
	for (uint32_t i = 0; i < params->n_links; i++) {
		links[i] = params->links[i];
		links[i].divert_fd = fast->divert_fd;
	}
	code = params->driver->open(&engine->io, links, params->n_links, err);
	if (!code)
		code = fast_program_attach(fast, links, params->n_links, true, err);
	if (code) {
		fast_program_close(fast);
		params->driver->close(engine->io);
		engine->io = NULL;
		return code;
	}
	if (params->config->firewall_manage)
		fast_program_end_ours(fast);
	return 0;
}

// Not to have a fast path is no error: all goes through the workers then.
static int open_driver(struct engine *engine, const struct engine_params *params, struct err *err)
{
	struct err why = {0};
	if (wants_fast_path(params)) {
		if (open_with_fast_path(engine, params, &why) == 0)
			return 0;
		log_info("packet", "no fast path in the kernel: %s", why.message);
	}
	return params->driver->open(&engine->io, params->links, params->n_links, err);
}

static int open_parts(struct engine *engine, const struct engine_params *params, struct err *err)
{
	int code = doorbell_open(&engine->capture_bell, err);
	if (!code)
		code = doorbell_open(&engine->transmit_bell, err);
	if (!code)
		code = open_driver(engine, params, err);
	if (!code)
		code = packet_pool_init(&engine->capture.pool, n_packets(engine), err);
	engine->capture.pool.release = engine->driver->release;
	engine->capture.pool.io = engine->io;
	if (!code)
		code = open_fragments(engine, params, err);
	if (!code)
		code = open_workers(engine, params, err);
	if (!code && allocate_stats(engine, &engine->before))
		code = err_set(err, -ENOMEM, "not enough memory for counters");
	if (!code && !engine->is_inline)
		code = plan_pipeline_open(engine, err);
	return code;
}

int engine_create(struct engine **engine, const struct engine_params *params,
		  struct snapshot *snapshot, struct err *err)
{
	struct engine *made = aligned_alloc(CACHE_LINE, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the packet path");
	*made = (struct engine){
		.config = params->config,
		.driver = params->driver,
		.activity = params->activity,
		.now_ns = params->now_ns ? params->now_ns : clock_now_ns,
		.n_links = params->n_links,
		.capture_bell = {.fd = -1},
		.transmit_bell = {.fd = -1},
	};
	choose_plan(made);
	busy_poll_init(&made->capture_poll, params->config->passthrough.busy_poll_us);
	busy_poll_init(&made->transmit_poll, params->config->passthrough.busy_poll_us);
	steering_init(&made->capture.steering, params->config, made->n_workers, params->secret);
	int code = open_parts(made, params, err);
	if (code) {
		engine_destroy(made);
		return code;
	}
	made->capture.driver = made->transmit.driver = made->driver;
	made->capture.io = made->transmit.io = made->io;
	made->transmit.n_links = made->n_links;
	made->capture.now_ns = made->now_ns;
	atomic_store_explicit(&made->snapshot, snapshot, memory_order_release);
	fast_program_set_version(&made->fast, snapshot->version);
	*engine = made;
	return 0;
}

int engine_start(struct engine *engine, struct err *err)
{
	return engine->is_inline ? plan_inline_start(engine, err)
				 : plan_pipeline_start(engine, err);
}

void engine_stop(struct engine *engine)
{
	fast_program_detach(&engine->fast);
	if (engine->is_inline)
		plan_inline_stop(engine);
	else
		plan_pipeline_stop(engine);
}

struct flow_journal *engine_flow_journal(const struct engine *engine, uint32_t i)
{
	return engine->workers[i].worker.log.journal;
}

void engine_end_flows(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		// It may not have seen the last one, and the one that it saw may be gone.
		engine->workers[i].worker.snapshot = plan_snapshot(engine);
		fast_path_catch_up_all(&engine->workers[i].worker);
		flow_log_end_all(&engine->workers[i].worker.log);
	}
}

static void close_bell(struct doorbell *bell)
{
	if (bell->fd >= 0)
		doorbell_close(bell);
}

void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	if (engine->workers)
		engine_stop(engine);
	plan_pipeline_close(engine);
	for (uint32_t i = 0; engine->workers && i < engine->n_workers; i++) {
		worker_fini(&engine->workers[i].worker);
		close_bell(&engine->workers[i].bell);
	}
	free(engine->workers);
	packet_stats_fini(&engine->before);
	fragments_fini(&engine->capture.fragments);
	packet_pool_fini(&engine->capture.pool);
	engine->driver->close(engine->io);
	fast_program_close(&engine->fast);
	close_bell(&engine->capture_bell);
	close_bell(&engine->transmit_bell);
	snapshot_destroy(atomic_load_explicit(&engine->snapshot, memory_order_relaxed));
	free(engine);
}

void engine_publish(struct engine *engine, struct snapshot *snapshot)
{
	uint64_t version = snapshot->version;
	// Release pairs with plan_snapshot(): who sees the pointer sees what it points to.
	struct snapshot *old =
		atomic_exchange_explicit(&engine->snapshot, snapshot, memory_order_acq_rel);
	fast_program_set_version(&engine->fast, version);
	if (engine->is_inline)
		doorbell_wake(&engine->capture_bell);
	for (uint32_t i = 0; i < engine->n_workers; i++)
		doorbell_wake(&engine->workers[i].bell);
	grace_wait();
	snapshot_destroy(old);
}

int engine_set_filter(struct engine *engine, const char *filter, struct err *err)
{
	const struct io_driver *driver = engine->driver;
	return driver->set_filter ? driver->set_filter(engine->io, filter, err) : 0;
}

int engine_set_scope(struct engine *engine, const struct io_scope *scope, struct err *err)
{
	const struct io_driver *driver = engine->driver;
	int code = driver->set_scope ? driver->set_scope(engine->io, scope, err) : 0;
	if (!code)
		fast_program_set_scope(&engine->fast, scope);
	return code;
}

bool engine_is_finished(const struct engine *engine)
{
	return plan_is_set(&engine->is_finished);
}

uint32_t engine_n_workers(const struct engine *engine)
{
	return engine->is_inline ? 0 : engine->n_workers;
}

// ---- what control asks -------------------------------------------------------------------------

static void add_worker(struct packet_stats *stats, const struct worker *worker)
{
	const struct flow_table *flows = worker->flows;
	for (size_t i = 0; i < stats->n_frontends; i++) {
		// Read once: the total is the sum of the frontends also while they count.
		struct traffic part = {0};
		traffic_gather(&part, &flows->frontends[i]);
		traffic_add(&stats->frontends[i], &part);
		traffic_add(&stats->total, &part);
	}
	for (size_t i = 0; i < stats->n_backends; i++)
		traffic_gather(&stats->backends[i], &flows->backends[i]);
	stats->flows += counter_read(&flows->flows_current);
	stats->flow_capacity += flows->params.capacity;
	stats->flows_reclaimed += counter_read(&flows->reclaimed);
	stats->suppressed += counter_read(&worker->suppressed);
	stats->fast_flows += counter_read(&worker->fast.flows);
	stats->fast_packets += counter_read(&worker->fast.ledger.received);
}

static void add_ledger(struct packet_stats *stats, const struct ledger *ledger)
{
	stats->received += counter_read(&ledger->received);
	stats->generated += counter_read(&ledger->generated);
	for (int i = 0; i < N_VERDICTS; i++)
		stats->verdicts[i] += counter_read(&ledger->verdicts[i]);
}

// What slots have counted for those who had them before is not of those who have them now.
static void subtract_before(struct packet_stats *stats, const struct packet_stats *before)
{
	for (size_t i = 0; i < stats->n_frontends; i++)
		traffic_subtract(&stats->frontends[i], &before->frontends[i]);
	for (size_t i = 0; i < stats->n_backends; i++)
		traffic_subtract(&stats->backends[i], &before->backends[i]);
}

uint64_t engine_frontend_users(const struct engine *engine, uint32_t frontend)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < engine->n_workers; i++)
		n += counter_read(&engine->workers[i].worker.flows->frontends[frontend].flows_held);
	return n;
}

uint64_t engine_backend_users(const struct engine *engine, uint32_t backend)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < engine->n_workers; i++)
		n += counter_read(&engine->workers[i].worker.flows->backends[backend].flows_held);
	return n;
}

void engine_forget_frontend(struct engine *engine, uint32_t frontend)
{
	engine->before.frontends[frontend] = (struct traffic){0};
	for (uint32_t i = 0; i < engine->n_workers; i++)
		traffic_gather(&engine->before.frontends[frontend],
			       &engine->workers[i].worker.flows->frontends[frontend]);
}

void engine_forget_backend(struct engine *engine, uint32_t backend, struct traffic *counted)
{
	struct traffic all = {0};
	for (uint32_t i = 0; i < engine->n_workers; i++)
		traffic_gather(&all, &engine->workers[i].worker.flows->backends[backend]);
	*counted = all;
	traffic_subtract(counted, &engine->before.backends[backend]);
	engine->before.backends[backend] = all;
}

static uint64_t read_kernel_drops(struct engine *engine)
{
	uint64_t before = engine->kernel_dropped;
	engine->kernel_dropped = engine->driver->kernel_drops(engine->io);
	if (engine->kernel_dropped != before)
		doorbell_wake(&engine->capture_bell);
	return engine->kernel_dropped;
}

bool engine_look_for_drops(struct engine *engine)
{
	uint64_t before = engine->kernel_dropped;
	return read_kernel_drops(engine) != before;
}

int engine_stats(struct engine *engine, struct packet_stats *stats)
{
	if (allocate_stats(engine, stats))
		return -ENOMEM;
	for (uint32_t i = 0; i < engine->n_workers; i++)
		add_worker(stats, &engine->workers[i].worker);
	subtract_before(stats, &engine->before);
	add_ledger(stats, &engine->capture.ledger);
	add_ledger(stats, &engine->transmit.ledger);
	for (uint32_t i = 0; i < engine->n_workers; i++)
		add_ledger(stats, &engine->workers[i].worker.fast.ledger);
	// Read last: what leaves the store meanwhile is missing from the sums, and never in both.
	stats->held = counter_read(&engine->capture.fragments.held);
	stats->kernel_dropped = read_kernel_drops(engine);
	fast_program_tell(&engine->fast);
	stats->has_fast_path = fast_program_is_on(&engine->fast);
	return 0;
}

void engine_opens(const struct engine *engine, uint32_t backend, struct opens *opens)
{
	*opens = (struct opens){0};
	for (uint32_t i = 0; i < engine->n_workers; i++) {
		const struct flow_table *flows = engine->workers[i].worker.flows;
		opens->asked += counter_read(&flows->backends[backend].flows_opened);
		opens->heard += counter_read(&flows->backends[backend].packets_rx);
		opens->answered += counter_read(&flows->opens[backend].answered);
		opens->refused += counter_read(&flows->opens[backend].refused);
	}
}
