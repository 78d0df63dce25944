// SPDX-License-Identifier: Apache-2.0
// Proxy mode's data path as a whole: threads that accept connections from clients, connect to
// backends by snapshots, and relay bytes between the two.
// Called by: control.
#pragma once

#include "culvert/balance/snapshot.h"
#include "culvert/flow/proxy_stats.h"

struct doorbell;
struct flow_journal;
struct proxy;

// The threads that will pick backends, each by schedulers of its own.
uint32_t proxy_count_threads(const struct config *config);

// Open every listener, one per frontend and thread. `config` is borrowed for the call;
// `snapshot` is owned by the proxy on success. No thread runs yet. 0 or -errno.
int proxy_create(struct proxy **proxy, const struct config *config, struct snapshot *snapshot,
		 struct err *err);
int proxy_start(struct proxy *proxy, struct err *err);

// Have a doorbell rung when sessions do something, a tenth of a second apart at least: whoever arms
// it looks once more after that. Borrowed, as long as the proxy. Before the start.
void proxy_tell_activity(struct proxy *proxy, struct doorbell *bell);

// Decide by `snapshot` from now on, and free the one before when nobody holds it any more. Sessions
// of backends that went down are reset where the pool says so.
void proxy_publish(struct proxy *proxy, struct snapshot *snapshot);

// Another configuration in four steps. Could it be served: limits, source addresses, the addresses
// of frontends that are new? Nothing changes. 0 or -errno.
int proxy_check(struct proxy *proxy, const struct config *config, struct err *err);
// Has every thread closed what it listened on for frontends that have gone?
bool proxy_is_settled(const struct proxy *proxy);
// The same, and listen for its new frontends, whose clients wait until a snapshot has them. 0, or
// -errno and then nothing has changed. Before the registry takes the configuration over, and
// settled: -EBUSY where a new frontend has the address of one that has not been closed yet.
int proxy_prepare(struct proxy *proxy, const struct config *config, struct err *err);
// The registry has taken it over, and the next snapshot to be published is of it; or it has not,
// and nothing has happened.
void proxy_commit(struct proxy *proxy);
void proxy_abandon(struct proxy *proxy);

// While it is held a frontend's clients wait in the listen queue, and are not turned away for want
// of a backend. A frontend that is removed meanwhile serves its last clients all the same.
void proxy_hold_frontend(struct proxy *proxy, uint32_t frontend, bool is_held);

// Connections go to the thread of the processor that they arrive on, while that gives every thread
// its share; when it did not, this tries again. To be called now and then.
void proxy_steer(struct proxy *proxy);

// Take what is in the listen queues, then close the listeners; sessions go on. It is drained when
// that has happened and the last of them has ended.
void proxy_drain(struct proxy *proxy);
bool proxy_is_drained(const struct proxy *proxy);
uint64_t proxy_n_sessions(const struct proxy *proxy); // of now

// Reset what is left, and join the threads. Harmless when nothing runs.
void proxy_stop(struct proxy *proxy);
void proxy_destroy(struct proxy *proxy); // stops; NULL is legal

// Readable when a backend has refused or ignored `fall` connects in a row; proxy_take_suspect()
// then gives such backends one by one (slots), each once, then -1.
int proxy_alarm_fd(const struct proxy *proxy);
int32_t proxy_take_suspect(struct proxy *proxy);

// Sessions that refer to a slot, and threads that listen for it. When control has published that a
// frontend or backend was removed, their number comes to 0: threads take who waits and close the
// listeners, and what is left when the slot is over is reset.
uint64_t proxy_frontend_users(const struct proxy *proxy, uint32_t frontend);
uint64_t proxy_backend_users(const struct proxy *proxy, uint32_t backend);
// The slot has no users and is to be another's: its counters begin at 0. `counted` is what a
// backend had counted until now.
void proxy_forget_frontend(struct proxy *proxy, uint32_t frontend);
void proxy_forget_backend(struct proxy *proxy, uint32_t backend, struct traffic *counted);

// Sums over all threads, for proxy_stats_fini(). 0 or -ENOMEM.
int proxy_stats(const struct proxy *proxy, struct proxy_stats *stats);

// For whoever writes the flow log, NULL without one: the journal of thread `i`. Readable until the
// proxy is destroyed.
struct flow_journal *proxy_flow_journal(const struct proxy *proxy, uint32_t i);

uint32_t proxy_n_threads(const struct proxy *proxy);
uint32_t proxy_max_sessions(const struct proxy *proxy);
