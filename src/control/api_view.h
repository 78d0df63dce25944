// SPDX-License-Identifier: Apache-2.0
// Frontends, backends and pools as the API shows them: what the configuration, the registry, health
// and the counters know of each, side by side. Everything is borrowed until the next event.
// Called by: control.
#pragma once

#include "culvert/balance/registry.h"
#include "culvert/control/api.h"

struct frontend_view {
	const struct config_frontend *config;
	const struct snapshot_frontend *state;
	const char *pool;
	const struct traffic *traffic;
	const struct proxy_frontend_stats *sessions; // NULL in the packet modes
	bool is_removed;
};

struct backend_view {
	const struct config_backend *config;
	const struct config_pool *pool;
	const struct snapshot_backend *state;
	const struct traffic *traffic;
	const struct proxy_backend_stats *sessions; // NULL in the packet modes
	const char *admin;                          // "ready", "drain", "maint", "removed"
	const char *set;                            // the same by hand, of a removed one too
	const char *health;                         // "up", "down", "unknown", "unchecked"
	const char *reason;
	int64_t since_ms;
	int32_t weight_set; // -1: as configured
	bool is_removed;
};

// How the backends of a pool stand.
struct pool_view {
	const struct config_pool *config;
	uint32_t n_total;
	uint32_t n_up;          // that take new connections, but for their weight
	uint64_t weight;        // of those, in sum
	struct traffic traffic; // of all that it has ever had, removed ones and those that are gone
	bool is_in_panic;       // too few are up, so all are used
};

const struct config *api_config(const struct api_source *source); // in force

// Of slots: some have nothing.
uint32_t api_n_frontends(const struct api_source *source);
uint32_t api_n_backends(const struct api_source *source);
uint32_t api_n_pools(const struct api_source *source);

// False: nothing has that number. `stats` may be all zero.
bool api_view_frontend(const struct api_source *source, const struct stats *stats, uint32_t number,
		       struct frontend_view *view);
bool api_view_backend(const struct api_source *source, const struct stats *stats, uint32_t number,
		      struct backend_view *view);
// Of all pools, by number; `views` has room for api_n_pools(). Without `stats` there is no traffic.
void api_view_pools(const struct api_source *source, const struct stats *stats,
		    struct pool_view *views);
// Of a slot; nothing where none has been counted.
const struct traffic *api_backend_traffic(const struct stats *stats, uint32_t number);

// May it be given a new connection now?
bool api_view_is_usable(const struct backend_view *view);

// Its share of the pool's new connections, as far as weights decide; `pools` are all of them.
double api_view_share(const struct api_source *source, const struct pool_view *pools,
		      const struct backend_view *view);

// "POOL/SERVER", for free(); NULL when memory is short.
char *api_backend_name(const struct backend_view *view);

const struct traffic *api_total_traffic(const struct stats *stats);
