// SPDX-License-Identifier: Apache-2.0
// What every mode has around its data path: an event loop on the main thread, signals, health
// checks, the registry and its snapshots, the API.
// Called by: the main thread, which is control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/control/api.h"
#include "culvert/control/events.h"
#include "culvert/control/health.h"
#include "culvert/control/readiness.h"

struct event;
struct event_base;
struct flow_journal;
struct flow_writer;
struct inquiry;
struct live;
struct slow_start;

enum { SERVICE_SIGNALS = 2 }; // that stop it

// The mode's answers, with its own object as `arg`.
struct service_hooks {
	// A signal says to stop, again perhaps.
	void (*stop)(void *arg, int signal_number);
	// Decide by this snapshot from now on; it belongs to the callee. Return 0, or -errno when
	// something has to be tried again in a second.
	int (*publish)(void *arg, struct snapshot *snapshot, struct err *err);
	// What refers to the slot of a frontend or backend: flows, or sessions.
	uint64_t (*frontend_users)(void *arg, uint32_t frontend);
	uint64_t (*backend_users)(void *arg, uint32_t backend);
	// Nothing does any more, and another may have it: count from 0. And say what a backend had
	// counted.
	void (*forget_frontend)(void *arg, uint32_t frontend);
	void (*forget_backend)(void *arg, uint32_t backend, struct traffic *counted);
	// Could the mode run with this configuration from now on? Nothing changes. 0, or -errno
	// with what is in the way, and where in the file if it is known.
	int (*check_config)(void *arg, const struct config *config, struct err *err);
	// Has the data path let go of what the last configuration has removed? What a reload needs
	// is there then. NULL: nothing has to be waited for.
	bool (*is_settled)(void *arg);
	// The registry is about to take it over: get what may not be had. 0, or -errno with what is
	// in the way, and then nothing has changed. And: the registry has not. NULL: nothing to do.
	int (*prepare_config)(void *arg, const struct config *config, struct err *err);
	void (*abandon_config)(void *arg);
	// The registry has taken it over, and its snapshot follows: see to all else. 0 or -errno.
	int (*follow_config)(void *arg, struct err *err);
	// Every few seconds, also at rest: see to what nobody tells of. NULL: there is nothing.
	void (*look)(void *arg);
	// For the API: what the data path has counted, 0 or -errno; and its state, its threads, and
	// for how much it has room.
	int (*gather)(void *arg, struct stats *stats);
	void (*status)(void *arg, struct api_status *status);
};

struct service {
	struct config *config;             // in force; counted by whoever fills this in
	const struct service_hooks *hooks; // borrowed
	void *arg;                         // borrowed; all that follows is owned
	struct event_base *base;
	struct event *signals[SERVICE_SIGNALS];
	struct event *reopening;   // SIGUSR1
	struct event *looking;     // every few seconds: what nobody tells of
	struct event *watchdog;    // NULL: nobody waits for a sign of life
	struct event *hangup;      // SIGHUP: reload
	struct event *publishing;  // pending: the registry has news for the data path
	struct event *draining;    // pending: some slots were removed and are still in use
	struct event *tending;     // pending: some backend is to be looked at in a second
	struct activity *activity; // whether the data path counts anything
	struct registry *registry;
	struct slow_start *slow_start;
	struct readiness *readiness; // borrowed; NULL: who is healthy gets traffic
	struct health *health;
	struct events *events; // what the API and its page tell of the past
	struct api *api;
	struct live *live;
	struct reload *reload;
	struct inquiry *inquiry;         // the mode opens it: inquiry_open_packet(), _proxy()
	struct flow_writer *flow_writer; // NULL: no flow log
	uint64_t secret;                 // random
};

// In this order; each 0 or -errno. After a failure service_close_outward() and service_close() take
// down what is there.
// Event loop, signals, registry for a data path whose `n_threads` pick backends.
int service_open(struct service *service, uint32_t n_threads, struct err *err);
int service_open_health(struct service *service, struct err *err); // service->readiness first
int service_open_api(struct service *service, struct err *err);
int service_open_reload(struct service *service, struct err *err); // last: now it can change
// Backwards: API and health before the data path; then, for those that the data path has stopped to
// tell, the flow log; and the rest after it.
void service_close_outward(struct service *service);
void service_close_flow_log(struct service *service);
void service_close(struct service *service);

// The flow log, if there is to be one, from the journal of each of the data path's `n` threads. 0
// or -errno.
int service_open_flow_log(struct service *service, struct flow_journal *const *journals, uint32_t n,
			  struct err *err);

// Have hooks->publish called in the event loop's next round: changes that come in a burst go out as
// one snapshot.
void service_publish_soon(struct service *service);
// At once: what somebody asked for is in force when he has his answer. Only where memory is short
// it takes a second more, as the log says then.
void service_publish_now(struct service *service);

// The registry has taken over another configuration: have its backends checked, and let go those
// that were removed when they have drained. 0 or -errno.
int service_follow_registry(struct service *service, struct err *err);
// All of that, and the mode follows, and the data path decides by `config` when this returns. The
// registry has taken it over. 0, or -errno when something is missing.
int service_follow_config(struct service *service, struct config *config, struct err *err);

// What health, or what stands between it and the registry, has found out: a health_change_fn whose
// `arg` is the service.
void service_take_health(void *service, size_t backend, bool is_up, const char *reason);

// What readiness has found out about a frontend; likewise.
void service_take_gate(void *service, size_t frontend, enum frontend_gate gate);

// Let the event loop turn until `is_over`, asked with the mode's object, says so; no longer than
// that many milliseconds, and not when it was broken off (event_base_got_break()).
void service_await(struct service *service, bool (*is_over)(const void *arg), uint32_t patience_ms);

// Has each pool a backend that is up? Or this one?
bool service_has_backends(const struct service *service);
bool service_has_backend(const struct service *service, uint32_t pool);

// Tell the service manager that we are ready, and run the event loop until event_base_loopbreak().
// 0 or -errno.
int service_run(struct service *service, struct err *err);

// Lines about frontends and the API, for whoever reads what has come up.
void service_log_frontends(const struct service *service);
// The line that says why the mode ends, before or after it was ready.
void service_log_failure(bool was_ready, const struct err *err);
