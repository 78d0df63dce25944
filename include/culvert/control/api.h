// SPDX-License-Identifier: Apache-2.0
// The API: HTTP with JSON over a Unix socket, where everything may be done, and read-only over TCP.
// What only a mode can do is asked of it by a table of operations. docs/api.md says what clients
// see.
// Called by: control.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/balance/registry.h"
#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/control/stats.h"
#include "culvert/flow/verdict.h"
#include "culvert/net/addr.h"

struct api;
struct api_request; // one question of one client
struct event_base;
struct health;

// ---- answers -----------------------------------------------------------------------------------

// Every request is answered exactly once, by one of these, in the call that brings it or later; it
// is gone then. It is no error when its client has gone away meanwhile. Requests still open when
// the API stops are answered by it: whoever meant to do so must have forgotten them before.

// `body` is taken over; NULL says that memory was short.
void api_answer_json(struct api_request *request, int status, json_t *body);
void api_answer_bytes(struct api_request *request, int status, const char *type, const void *bytes,
		      size_t size);
// {"error":{"message":...,"hint":...}}; `hint` says what to do, and may be NULL.
__attribute__((format(printf, 4, 5))) void api_answer_error(struct api_request *request, int status,
							    const char *hint, const char *format,
							    ...);

// Has the client gone away? Nobody reads its answer then, which is due all the same.
bool api_request_is_abandoned(const struct api_request *request);

// ---- operations --------------------------------------------------------------------------------

enum api_state { API_STARTING, API_READY, API_RELOADING, API_DRAINING };

struct api_status {
	enum api_state state;
	uint32_t n_threads;    // of the data path
	uint64_t max_sessions; // proxy mode
	int64_t loaded_ms;     // when it was taken over, since the epoch; 0: at the start
	bool is_file_missing;  // of the configuration
	json_t *last_reload;   // owned by whoever asked; NULL: there was none
};

struct api_flow_query {
	bool has_client;
	struct ip_addr client;
	uint16_t client_port_be; // 0: any
	int32_t backend;         // its number; -1: any
	int32_t frontend;        // the same
	uint32_t limit;
};

struct api_explain_query {
	struct endpoint client; // both of the same protocol and family
	struct endpoint vip;
};

struct api_sample_query {
	enum verdict reason; // a drop
	uint32_t n_packets;  // at most
	uint32_t duration_ms;
};

struct api_reload_query {
	bool is_plan;     // say what would happen, and change nothing
	const char *name; // of another file, only with is_plan; NULL: the one in force
	const char *text; // what that file holds; both are the request's
	size_t length;
	double max_disruption; // 0 to 1; negative: as configured
};

// What a mode answers, with its own object as `arg`. NULL: the mode cannot do that, and clients are
// told so. What is `void` answers `request` itself, now or later.
struct api_ops {
	stats_gather_fn gather;                               // required
	void (*status)(void *arg, struct api_status *status); // required; *status is zero
	// 0 or -errno; done when they return, but for what the data path has to see yet.
	int (*set_state)(void *arg, uint32_t backend, enum admin_state state, struct err *err);
	int (*set_weight)(void *arg, uint32_t backend, int32_t weight,
			  struct err *err); // or REGISTRY_WEIGHT_CONFIGURED
	void (*reload)(void *arg, const struct api_reload_query *query,
		       struct api_request *request);
	void (*flows)(void *arg, const struct api_flow_query *query, struct api_request *request);
	void (*explain)(void *arg, const struct api_explain_query *query,
			struct api_request *request);
	// The answer is of the type application/vnd.tcpdump.pcap.
	void (*sample)(void *arg, const struct api_sample_query *query,
		       struct api_request *request);
};

// Whom the API asks. All borrowed.
struct api_source {
	const struct registry *registry;
	const struct health *health;
	const struct api_ops *ops;
	void *arg;
	int64_t started_ms; // since 1970; filled in by api_start(), as the next
	uint64_t started_ns;
};

// ---- the server --------------------------------------------------------------------------------

// Listen where the configuration says. The socket of another culvert, and a directory that cannot
// be written, are warnings, and the API goes on without it; a TCP port that cannot be had is an
// error. 0 or -errno.
int api_start(struct api **api, struct event_base *base, const struct api_source *source,
	      struct err *err);
void api_stop(struct api *api); // removes the socket; NULL is legal

// Where the Unix socket is, borrowed; NULL: there is none.
const char *api_socket_path(const struct api *api);
