// SPDX-License-Identifier: Apache-2.0
// One non-blocking TCP connect on the event loop, and what it says about the other side.
// Called by: control.
#pragma once

#include <event2/event_struct.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/config/config.h"

enum probe_outcome {
	PROBE_PASSED,
	PROBE_FAILED,
	PROBE_UNKNOWN, // this host lacked what the connect needs: nothing was learnt
};

struct probe_result {
	enum probe_outcome outcome;
	int error; // errno of the failure or the lack; ETIMEDOUT also when our patience ended
	uint64_t duration_ns;
};

typedef void (*probe_done_fn)(void *arg, const struct probe_result *result);

// In the caller's memory; stays where it is while the probe runs.
struct probe {
	struct event_base *base; // borrowed
	probe_done_fn done;
	void *arg;
	struct event writable;
	int fd; // owned; -1 when no connect is under way
	uint64_t started_ns;
};

void probe_init(struct probe *probe, struct event_base *base, probe_done_fn done, void *arg);

// Connect to the backend's address or Unix socket, and call `done` exactly once, perhaps before the
// return. Only when no connect is under way. The connection is reset at once, so that neither side
// keeps it in TIME_WAIT.
void probe_start(struct probe *probe, const struct config_backend *backend, uint32_t timeout_ms);

// Drop a connect that is under way, without calling `done`.
void probe_cancel(struct probe *probe);

// "connect refused", "connected in 0.4 ms", ... Returns `text`.
const char *probe_result_format(const struct probe_result *result, char *text, size_t size);
