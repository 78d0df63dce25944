// SPDX-License-Identifier: Apache-2.0
// What control knows of frontends, backends, links and source addresses, and the making of
// snapshots from it.
//
// Frontends and backends have slots (snapshot.h). One that a new configuration leaves out is
// removed first, is over when its time to drain has passed, and is given back when whoever holds
// flows says that there are none left.
// Called by: control.
#pragma once

#include "culvert/balance/generation.h"
#include "culvert/balance/snapshot.h"
#include "culvert/flow/traffic.h"

struct registry;

enum { REGISTRY_WEIGHT_CONFIGURED = -1, REGISTRY_NEW = -1 };

// `config` is counted. `secret` keys the lookup tables' hashes; `n_threads` of the data path pick
// backends, each by schedulers of its own.
int registry_create(struct registry **registry, struct config *config, uint64_t secret,
		    uint32_t n_threads, struct err *err);
void registry_destroy(struct registry *registry); // NULL is legal

// ---- configurations ----------------------------------------------------------------------------

// Which slots the frontends and backends of a configuration would have, by index and by running
// number over all pools; REGISTRY_NEW: none yet. A frontend is known by its address; a backend by
// the names of its pool and its own, and by its address.
struct registry_match {
	int32_t *frontends; // owned
	int32_t *backends;  // owned
};

int registry_match(const struct registry *registry, const struct config *config,
		   struct registry_match *match, struct err *err);
void registry_match_fini(struct registry_match *match);

// Whether there are slots for another configuration. 0, or -errno with what to do.
int registry_check_room(const struct registry *registry, struct config *config, struct err *err);

// Take over another configuration, which is counted. What is in both keeps its slot, with health,
// next hop and what an operator has said of it; one that was removed before takes up its slot
// again; what is new starts as down; what is left out is removed from now on. 0 or -errno, and
// then nothing has changed.
int registry_apply(struct registry *registry, struct config *config, uint64_t now_ns,
		   struct err *err);

// See whose time to drain has passed. True when that was news for the data path.
bool registry_end_drains(struct registry *registry, uint64_t now_ns);
// Nothing refers to a slot that was removed any more: it is free for others.
void registry_give_back_frontend(struct registry *registry, uint32_t frontend);
void registry_give_back_backend(struct registry *registry, uint32_t backend);
// What a backend had counted that is about to be given back is its pool's from now on: of all pools
// of that name. What memory is short for is lost. And: all of that, {0} if there is none; borrowed.
void registry_add_past(struct registry *registry, uint32_t backend, const struct traffic *counted);
const struct traffic *registry_past(const struct registry *registry, const char *pool);
bool registry_is_draining(const struct registry *registry); // is any slot removed, or over?

const struct config *registry_config(const struct registry *registry); // in force
uint64_t registry_generation(const struct registry *registry);         // counts from 1

// ---- the network -------------------------------------------------------------------------------

// The index of a link, told apart by its ifindex, which is added if it is new; -errno when there
// are too many.
int registry_add_link(struct registry *registry, const struct snapshot_link *link, struct err *err);
// True when that was news.
bool registry_update_link(struct registry *registry, uint32_t index,
			  const struct snapshot_link *link);
// The index of a source address, which is added if it is new; -errno when there are too many. It
// stays until the last backend that has had it in its mask is given back.
int registry_add_snat(struct registry *registry, const struct ip_addr *addr, struct err *err);
void registry_set_hop(struct registry *registry, uint32_t backend, const struct snapshot_hop *hop,
		      uint64_t snat_mask);

// ---- who takes traffic -------------------------------------------------------------------------

// What health has found out.
void registry_set_up(struct registry *registry, uint32_t backend, bool is_up);
// Whether the backend is up is known by now, and will be from now on. Setting it up or down says so
// as well. True when that was news.
bool registry_set_known(struct registry *registry, uint32_t backend);

// Health has found the backend down without its having been up: registry_set_up() was not called.
// True when that was news for the data path.
bool registry_set_judged(struct registry *registry, uint32_t backend);
// Has health found out by now, either way?
bool registry_is_judged(const struct registry *registry, uint32_t backend);
// Have every beginning and end of a panic told, with what the log says of it. `pool` is its name.
typedef void (*registry_panic_fn)(void *arg, const char *pool, bool is_in_panic, const char *text);
void registry_watch_panics(struct registry *registry, registry_panic_fn on_panic, void *arg);

// It is to get so many tenths less than its weight, 0 to 9. True when that was news.
bool registry_hold_back(struct registry *registry, uint32_t backend, uint8_t tenths);

// Whether new connections come in by the frontend. It stays so when the configuration changes.
// True when that was news for the data path.
bool registry_set_gate(struct registry *registry, uint32_t frontend, enum frontend_gate gate);

// What an operator says, of all backends of that name: kept when the configuration changes, and
// when the backend goes and comes back, until something else is said. A weight, or
// REGISTRY_WEIGHT_CONFIGURED. 0 or -ENOMEM.
int registry_set_admin(struct registry *registry, uint32_t backend, enum admin_state admin);
int registry_set_weight(struct registry *registry, uint32_t backend, int32_t weight);
// What has been said of a name, which the configuration may lack now.
void registry_said(const struct registry *registry, const char *pool, const char *server,
		   enum admin_state *admin, int32_t *weight);
int32_t registry_weight_set(const struct registry *registry, uint32_t backend);
bool registry_is_healthy(const struct registry *registry, uint32_t backend); // registry_set_up()

// ---- looking -----------------------------------------------------------------------------------

// Slots that have ever been used; some may be free (config is NULL). And for how many there is
// room.
uint32_t registry_n_frontends(const struct registry *registry);
uint32_t registry_n_backends(const struct registry *registry);
uint32_t registry_max_frontends(const struct registry *registry);
uint32_t registry_max_backends(const struct registry *registry);
uint32_t registry_snats_per_endpoint(const struct registry *registry);
// As the next snapshot will have them.
const struct snapshot_frontend *registry_frontend(const struct registry *registry,
						  uint32_t frontend);
const struct snapshot_backend *registry_backend(const struct registry *registry, uint32_t backend);
const struct snapshot_link *registry_link(const struct registry *registry, uint32_t index);
uint32_t registry_n_pools(const struct registry *registry); // of the configuration in force
// `n_unknown` and `table` are those of snapshots alone.
const struct snapshot_pool *registry_pool(const struct registry *registry, uint32_t pool);

// A new snapshot for snapshot_destroy(). Maglev tables are built only for pools that changed.
int registry_snapshot(struct registry *registry, struct snapshot **snapshot, struct err *err);

// What a backend's place in a Maglev table is made from.
struct endpoint registry_identity(const struct config_backend *backend);
