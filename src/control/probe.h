// SPDX-License-Identifier: Apache-2.0
// One question to a backend on the event loop, and what its answer says: a TCP connect, a request
// of HTTP, or a datagram. Bounded in time by its timeout, and in bytes whatever the other side
// sends.
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/config/config.h"

enum { PROBE_TEXT_MAX = 192 };

enum probe_outcome {
	PROBE_PASSED,
	PROBE_FAILED,
	PROBE_UNKNOWN, // this host lacked what the probe needs: nothing was learnt
};

struct probe_result {
	enum probe_outcome outcome;
	int error; // errno of the failure or the lack; ETIMEDOUT also when our patience ended; 0
		   // when an answer came, good or not
	uint64_t duration_ns;
	char text[PROBE_TEXT_MAX]; // "connect refused", "HTTP status 503, expected 200-399", ...
};

typedef void (*probe_done_fn)(void *arg, const struct probe_result *result);

struct http_answer;
struct probe_kind;

// In the caller's memory; stays where it is while the probe runs.
struct probe {
	struct event_base *base; // borrowed
	probe_done_fn done;
	void *arg;
	const struct probe_kind *kind;
	const struct config_pool *pool; // borrowed while the probe runs; NULL: probe_connect()
	const struct config_backend *backend; // likewise
	struct event ready;                   // what is awaited: the connect, then the answer
	int fd;                               // owned; -1 when no probe is under way
	bool is_connected;
	bool is_unix;
	uint64_t started_ns;
	uint64_t deadline_ns;
	struct http_answer *answer; // owned; NULL but in a probe of HTTP
};

void probe_init(struct probe *probe, struct event_base *base, probe_done_fn done, void *arg);

// Ask the backend what the pool's health check says, and call `done` exactly once, perhaps before
// the return. Only when no probe is under way. A connection is reset at its end, so that neither
// side keeps it in TIME_WAIT.
void probe_start(struct probe *probe, const struct config_pool *pool,
		 const struct config_backend *backend);

// The same for a mere connect to the backend's address or Unix socket; `backend` is borrowed for
// the call.
void probe_connect(struct probe *probe, const struct config_backend *backend, uint32_t timeout_ms);

static inline bool probe_is_under_way(const struct probe *probe)
{
	return probe->fd >= 0;
}

// A probe of probe_start() that is under way goes on, and from now on borrows these, which ask the
// same.
void probe_follow(struct probe *probe, const struct config_pool *pool,
		  const struct config_backend *backend);

// Drop a probe that is under way, without calling `done`.
void probe_cancel(struct probe *probe);
