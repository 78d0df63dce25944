// SPDX-License-Identifier: Apache-2.0
// The packet path as a whole: stages laid over threads, fed by a driver, deciding by snapshots.
// Called by: control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/flow/opens.h"
#include "culvert/flow/packet_stats.h"
#include "culvert/packet/io.h"

struct doorbell;
struct engine;
struct flow_journal;

struct engine_params {
	const struct config *config; // borrowed, as long as the engine: what no reload changes
	const struct io_driver *driver;
	const struct io_link *links; // borrowed for the call; index: that of snapshot.links
	uint32_t n_links;
	const struct registry *registry; // borrowed for the call: sizes
	uint64_t secret;                 // random; keys the flow tables' hashes
	uint64_t (*now_ns)(void);        // NULL: the monotonic clock; tests bring their own
	// Rung when something comes in after a pause; borrowed, as long as the engine. NULL: not.
	struct doorbell *activity;
};

// The threads that will pick backends, each by schedulers of its own.
uint32_t engine_count_threads(const struct config *config);

// `snapshot` is owned by the engine on success. No thread runs yet.
int engine_create(struct engine **engine, const struct engine_params *params,
		  struct snapshot *snapshot, struct err *err);
int engine_start(struct engine *engine, struct err *err);
// Capture first, then workers, then transmit, each having done what was before it. Harmless when
// nothing runs.
void engine_stop(struct engine *engine);
void engine_destroy(struct engine *engine); // stops; NULL is legal

// For whoever writes the flow log, NULL without one: the journal of worker `i`, of those that there
// are (engine_n_workers(), at least one). Readable until the engine is destroyed.
struct flow_journal *engine_flow_journal(const struct engine *engine, uint32_t i);
// The engine is stopped: flows that live are written down as ended by that. Takes up to some
// seconds. Called by: control.
void engine_end_flows(struct engine *engine);

// Decide by `snapshot` from now on, and free the one before when nobody holds it any more.
void engine_publish(struct engine *engine, struct snapshot *snapshot);

// Let another filter decide what comes in: io.h. 0 or -errno.
int engine_set_filter(struct engine *engine, const char *filter, struct err *err);

// Whose packets may come by a shorter way: io.h. 0 or -errno.
int engine_set_scope(struct engine *engine, const struct io_scope *scope, struct err *err);

// Have all links said that nothing will come again, and has all of it gone through?
bool engine_is_finished(const struct engine *engine);

// Entries of the flow tables that refer to a slot, in whatever state. When control has published
// that a frontend or backend was removed, their number only falls.
uint64_t engine_frontend_users(const struct engine *engine, uint32_t frontend);
uint64_t engine_backend_users(const struct engine *engine, uint32_t backend);
// The slot has no users and is to be another's: its counters begin at 0. `counted` is what a
// backend had counted until now.
void engine_forget_frontend(struct engine *engine, uint32_t frontend);
void engine_forget_backend(struct engine *engine, uint32_t backend, struct traffic *counted);

// Has the kernel dropped frames since this, or engine_stats(), was last called? Then capture is
// woken up to see what is wrong, which may take two such calls. To be called every few seconds.
bool engine_look_for_drops(struct engine *engine);

// Sums over all threads, for packet_stats_fini(). 0 or -ENOMEM.
int engine_stats(struct engine *engine, struct packet_stats *stats);

// What has become of the connections opened to a backend, over all threads.
void engine_opens(const struct engine *engine, uint32_t backend, struct opens *opens);

// How the threads are laid out: 0 is one thread for everything.
uint32_t engine_n_workers(const struct engine *engine);
