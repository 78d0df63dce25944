// SPDX-License-Identifier: Apache-2.0
// GET /stats: one JSON object, over libevent's HTTP server on the control thread.
// Called by: control.
#pragma once

#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/flow/packet_stats.h"
#include "culvert/flow/proxy_stats.h"
#include "culvert/net/addr.h"

struct event_base;
struct registry;
struct stats_server;

// What a mode has counted: the one or the other.
struct stats {
	enum mode mode;
	struct packet_stats packets; // packet modes
	struct proxy_stats sessions; // proxy mode
};

void stats_fini(struct stats *stats);

// Fill *stats, which is zero (for stats_fini() by the caller). Called once per request.
typedef int (*stats_gather_fn)(void *arg, struct stats *stats);

struct stats_source {
	const struct registry *registry; // borrowed
	stats_gather_fn gather;
	void *arg;
};

// Listen on addr:port (host byte order). 0 or -errno.
int stats_server_start(struct stats_server **server, struct event_base *base,
		       const struct ip_addr *addr, uint16_t port, const struct stats_source *source,
		       struct err *err);
void stats_server_stop(struct stats_server *server); // NULL is legal

// The body of GET /stats as a new string for free(), or NULL when memory is short.
char *stats_to_json(const struct stats_source *source, const struct stats *stats);
