// SPDX-License-Identifier: Apache-2.0
// GET /stats: one JSON object, over libevent's HTTP server on the control thread.
// Called by: control.
#pragma once

#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/flow/packet_stats.h"
#include "culvert/net/addr.h"

struct event_base;
struct health;
struct stats_server;

// Fill *stats (for packet_stats_fini() by the caller). Called once per request.
typedef int (*stats_gather_fn)(void *arg, struct packet_stats *stats);

struct stats_source {
	const struct config *config; // borrowed, as the others
	const struct health *health;
	stats_gather_fn gather;
	void *arg;
};

// Listen on addr:port (host byte order). 0 or -errno.
int stats_server_start(struct stats_server **server, struct event_base *base,
		       const struct ip_addr *addr, uint16_t port, const struct stats_source *source,
		       struct err *err);
void stats_server_stop(struct stats_server *server); // NULL is legal

// The body of GET /stats as a new string for free(), or NULL when memory is short.
char *stats_to_json(const struct stats_source *source, const struct packet_stats *stats);
