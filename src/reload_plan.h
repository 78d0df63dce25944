// SPDX-License-Identifier: Apache-2.0
// What taking over another configuration would mean, before anything happens.
// Called by: control.
#pragma once

#include "culvert/balance/registry.h"

enum reload_change_kind { RELOAD_ADDED, RELOAD_REMOVED, RELOAD_CHANGED, RELOAD_MOVED };
enum reload_subject { RELOAD_SETTING, RELOAD_FRONTEND, RELOAD_POOL, RELOAD_BACKEND };

struct reload_change {
	enum reload_change_kind kind;
	enum reload_subject subject;
	char *name;   // owned; a backend's is POOL/SERVER
	char *detail; // owned; may be empty
	// Of a backend that is added: what an operator has said of its name, "maint, weight 5".
	// Owned; NULL: nothing.
	char *by_hand;
};

// What only a restart can change.
struct reload_obstacle {
	char *key;     // owned
	char *message; // owned
};

struct reload_plan {
	struct reload_change *changes; // owned
	size_t n_changes;
	struct reload_obstacle *obstacles; // owned
	size_t n_obstacles;
	// Maglev slots of the frontends that stay, once every new backend is up.
	uint64_t slots_moved;
	uint64_t slots_total;
	uint64_t n_flows; // live ones, of backends that are removed
};

// `flows` are those of each backend slot now. 0 or -errno.
int reload_plan_make(struct reload_plan *plan, const struct registry *registry,
		     const struct config *config, const uint64_t *flows, struct err *err);
void reload_plan_fini(struct reload_plan *plan);

double reload_plan_disruption(const struct reload_plan *plan); // 0 to 1
// "1 backend added, 37 of 65,537 slots move, 1 flow drains": for the log. Returns `text`.
const char *reload_plan_summary(const struct reload_plan *plan, char *text, size_t size);
const char *reload_change_name(enum reload_change_kind kind); // "added", ...
const char *reload_subject_name(enum reload_subject subject); // "backend", ...
