// SPDX-License-Identifier: Apache-2.0
// The API in a thread of its own, over a made-up configuration and made-up numbers, and a client of
// it that sends what it is told.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/control/api.h"
#include "culvert/control/health.h"

struct event_base;

// Two pools of two and one backends, two frontends. The first pool is not checked and so is up;
// nobody listens where the second one's backend should be.
struct api_rig {
	struct config_backend backends[3];
	struct config_pool pools[2];
	struct config_frontend frontends[2];
	struct config config;
	struct event_base *base;
	struct health *health;
	struct registry *registry;
	struct api_ops ops;
	struct api_status status;
	struct api_source source;
	struct api *api;
	int gather_code;
	struct flow_log_stats flow_log; // that gathering gives
	enum mode mode;                 // what gathering gives; 0 is proxy mode
	pthread_t thread;
	atomic_bool is_over; // w: test, r: server thread
	uint64_t cpu_ns;     // w: server thread, r: test after the join
};

// Without a server. rig->config.api_socket is NULL: a test that wants one sets it.
void api_rig_init(struct api_rig *rig);
void api_rig_fini(struct api_rig *rig);
int api_rig_gather(void *rig, struct stats *stats); // a stats_gather_fn

// Between api_rig_init() and api_rig_fini(): the server on a free port of the loopback, running.
void api_rig_start(struct api_rig *rig);
void api_rig_stop(struct api_rig *rig);

// All of it.
void api_rig_open(struct api_rig *rig);
void api_rig_close(struct api_rig *rig);

// Of the loopback.
uint16_t api_rig_free_port(void);

// A connection that may not be there yet, not blocking: to the Unix socket if `is_local`, else to
// the port.
int api_rig_dial(const struct api_rig *rig, bool is_local);
void api_rig_await(int fd, short events);
// Send `request` and read until the server closes. Returns a static buffer.
const char *api_rig_ask(const struct api_rig *rig, const char *request);
const char *api_rig_ask_local(const struct api_rig *rig, const char *request);
const char *api_rig_body(const char *answer);

// The same, for a whole exchange: the status, and the body as JSON for json_decref(), NULL when it
// is none. GET by the port or the Unix socket, POST by the latter.
int api_rig_get(const struct api_rig *rig, const char *path, json_t **body);
int api_rig_get_local(const struct api_rig *rig, const char *path, json_t **body);
int api_rig_post(const struct api_rig *rig, const char *path, const char *text, json_t **body);
