// SPDX-License-Identifier: Apache-2.0
#include "pump.h"

#include <stdio.h>
#include <stdlib.h>

#include "culvert/base/clock.h"

enum { N_PACKETS = 256, N_DATAGRAMS = 8, N_HELD = 16, START_SECONDS = 1000, SECRET = 42 };

static void check(int code, const struct err *err)
{
	if (code == 0)
		return;
	fprintf(stderr, "pump: %s\n", err->message);
	abort();
}

static void open_worker(struct pump *pump)
{
	const struct config *config = pump->scene->config;
	const struct registry *registry = pump->scene->registry;
	const struct config_timeouts *timeouts = &config->timeouts;
	struct err err = {0};
	struct worker_params params = {
		.config = config,
		.n_workers = 1,
		.flows = {
			.is_one_sided = config->mode == MODE_DSR,
			.capacity = config->passthrough.connection_tracker_capacity,
			.n_frontends = registry_max_frontends(registry),
			.n_backends = registry_max_backends(registry),
			.n_pools = registry_max_backends(registry) *
				   registry_snats_per_endpoint(registry),
			.secret = SECRET,
		}};
	for (int i = 0; i < N_FLOW_STATES; i++)
		params.flows.timeouts[i] = timeouts->tcp_syn;
	params.flows.timeouts[FLOW_ESTABLISHED] = timeouts->tcp_established;
	steering_slice(&pump->capture.steering, 0, &params.flows.first_port, &params.flows.n_ports);
	check(worker_init(&pump->worker, &params, &err), &err);
}

static uint64_t now_ns; // of the pump that runs its rounds now

static uint64_t pump_now_ns(void)
{
	return now_ns;
}

static void open_fragments(struct pump *pump)
{
	struct err err = {0};
	struct fragments_params params = {
		.secret = SECRET,
		.n_datagrams = N_DATAGRAMS,
		.n_packets = N_HELD,
		.n_bytes = FRAGMENTS_BYTES,
	};
	check(fragments_init(&pump->capture.fragments, &params, &err), &err);
	pump->capture.now_ns = pump_now_ns;
}

void pump_open_over(struct pump *pump, struct scene *scene, const struct io_driver *driver)
{
	struct err err = {0};
	*pump = (struct pump){
		.scene = scene,
		.snapshot = scene_snapshot(scene),
		.now_ns = START_SECONDS * NS_PER_SEC,
	};
	check(driver->open(&pump->io, NULL, SCENE_N_LINKS, &err), &err);
	check(packet_pool_init(&pump->capture.pool, N_PACKETS, &err), &err);
	open_fragments(pump);
	steering_init(&pump->capture.steering, scene->config, 1, SECRET);
	pump->capture.driver = pump->transmit.driver = driver;
	pump->capture.io = pump->transmit.io = pump->io;
	pump->transmit.n_links = SCENE_N_LINKS;
	open_worker(pump);
}

void pump_open(struct pump *pump, struct scene *scene)
{
	pump_open_over(pump, scene, &io_memory);
}

void pump_close(struct pump *pump)
{
	worker_fini(&pump->worker);
	fragments_fini(&pump->capture.fragments);
	packet_pool_fini(&pump->capture.pool);
	pump->transmit.driver->close(pump->io);
	snapshot_destroy(pump->snapshot);
}

static void send_home(struct pump *pump, struct packet **packets, uint32_t n)
{
	transmit_burst(&pump->transmit, packets, n);
	packet_pool_give_back(&pump->capture.pool, packets, n);
}

void pump_round(struct pump *pump)
{
	struct worker *worker = &pump->worker;
	now_ns = pump->now_ns;
	while (worker->n_spares < WORKER_SPARES)
		worker->spares[worker->n_spares++] = capture_spare(&pump->capture);
	worker_begin(worker, pump->snapshot, pump->now_ns);
	for (uint32_t link = 0; link < SCENE_N_LINKS; link++) {
		struct packet *packets[PACKET_BURST];
		bool is_idle;
		uint32_t n = capture_burst(&pump->capture, pump->snapshot, link, packets, &is_idle);
		worker_process(worker, packets, n);
		send_home(pump, packets, n);
	}
	send_home(pump, worker->made, worker->n_made);
	worker->n_made = 0;
}

void pump_publish(struct pump *pump)
{
	struct snapshot *old = pump->snapshot;
	pump->snapshot = scene_snapshot(pump->scene);
	snapshot_destroy(old);
}

const char *pump_check_ledger(const struct pump *pump)
{
	uint64_t n_held = counter_read(&pump->capture.fragments.held);
	uint64_t sum = n_held;
	for (int i = 0; i < N_VERDICTS; i++)
		sum += counter_read(&pump->capture.ledger.verdicts[i]) +
		       counter_read(&pump->transmit.ledger.verdicts[i]);
	if (counter_read(&pump->transmit.ledger.verdicts[VERDICT_NONE]))
		return "packets without a verdict";
	if (pump->capture.pool.n_free + pump->worker.n_spares + n_held != N_PACKETS)
		return "buffers are missing";
	return sum == counter_read(&pump->capture.ledger.received)
		       ? NULL
		       : "verdicts, held and received packets differ";
}
