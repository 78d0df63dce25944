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
	// Nothing does any more, and another may have it: count from 0. 0 or -errno.
	int (*forget_frontend)(void *arg, uint32_t frontend);
	int (*forget_backend)(void *arg, uint32_t backend);
	// SIGUSR1: files that are written to may have been renamed. NULL: there are none.
	void (*reopen_logs)(void *arg);
	// Could the mode run with this configuration from now on? Nothing changes. 0, or -errno
	// with what is in the way, and where in the file if it is known.
	int (*check_config)(void *arg, const struct config *config, struct err *err);
	// The registry is about to take it over: get what may not be had. 0, or -errno with what is
	// in the way, and then nothing has changed. And: the registry has not. NULL: nothing to do.
	int (*prepare_config)(void *arg, const struct config *config, struct err *err);
	void (*abandon_config)(void *arg);
	// The registry has taken it over, and its snapshot follows: see to all else. 0 or -errno.
	int (*follow_config)(void *arg, struct err *err);
	struct api_ops api;
};

struct service {
	struct config *config;             // in force; counted by whoever fills this in
	const struct service_hooks *hooks; // borrowed
	void *arg;                         // borrowed; all that follows is owned
	struct event_base *base;
	struct event *signals[SERVICE_SIGNALS];
	struct event *reopening;  // SIGUSR1
	struct event *flushing;   // what the log's limits have left out
	struct event *watchdog;   // NULL: nobody waits for a sign of life
	struct event *hangup;     // SIGHUP: reload
	struct event *publishing; // pending: the registry has news for the data path
	struct event *draining;   // pending: some slots were removed and are still in use
	struct event *tending;    // every second
	struct registry *registry;
	struct slow_start *slow_start;
	struct readiness *readiness; // borrowed; NULL: who is healthy gets traffic
	struct health *health;
	struct events *events; // what the API and its page tell of the past
	struct api *api;
	struct live *live;
	struct reload *reload;
	uint64_t secret; // random
};

// In this order; each 0 or -errno, and after a failure service_close() takes down what is there.
// Event loop, signals, registry for a data path whose `n_threads` pick backends.
int service_open(struct service *service, uint32_t n_threads, struct err *err);
int service_open_health(struct service *service, struct err *err); // service->readiness first
int service_open_api(struct service *service, struct err *err);
int service_open_reload(struct service *service, struct err *err); // last: now it can change
void service_close_outward(struct service *service); // API and health: before the data path
void service_close(struct service *service);

// Have hooks->publish called in the event loop's next round: changes that come in a burst go out as
// one snapshot.
void service_publish_soon(struct service *service);

// The registry has taken over another configuration: have its backends checked, and let go those
// that were removed when they have drained. 0 or -errno.
int service_follow_registry(struct service *service, struct err *err);
// All of that, and the mode follows, and the data path decides by `config` when this returns. The
// registry has taken it over. 0, or -errno when something is missing.
int service_follow_config(struct service *service, struct config *config, struct err *err);

// What the API asks for: for every mode's operations.
void service_answer_reload(struct service *service, const struct api_reload_query *query,
			   struct api_request *request);
void service_fill_status(const struct service *service, struct api_status *status);

// What health, or what stands between it and the registry, has found out: a health_change_fn whose
// `arg` is the service.
void service_take_health(void *service, size_t backend, bool is_up, const char *reason);

// What an operator says of a backend, for api_ops. 0 or -ENOMEM.
int service_set_state(struct service *service, uint32_t backend, enum admin_state state,
		      struct err *err);
int service_set_weight(struct service *service, uint32_t backend, int32_t weight, struct err *err);

// Tell the service manager that we are ready, and run the event loop until event_base_loopbreak().
// 0 or -errno.
int service_run(struct service *service, struct err *err);

// Lines about frontends and the API, for whoever reads what has come up.
void service_log_frontends(const struct service *service);
