// SPDX-License-Identifier: Apache-2.0
// Each backend has a round of checks, for the frontends that it serves; so has each frontend that
// comes to a pool in which backends are up, for these.
#include "culvert/control/readiness.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "control/readiness_round.h"
#include "culvert/balance/registry.h"
#include "culvert/base/log.h"
#include "culvert/control/dsr_check.h"

enum { REASON_MAX = 256, SEEN_MAX = 640 };

// A backend: health says that it is up, and its round is to prove that it is ready.
struct candidate {
	struct readiness *readiness; // borrowed
	struct round round;
	bool is_healthy;
	bool is_up;              // as on_change said last
	bool is_member;          // of its pool; else it has been removed
	uint64_t left;           // how many frontends had come by then
	char reason[REASON_MAX]; // why health says that it is up
};

// A frontend.
struct entrance {
	struct readiness *readiness; // borrowed
	struct round round;
	uint64_t served; // names its address and its pool; 0: it has none
	uint64_t number; // among all that have come
	enum frontend_gate gate;
};

struct readiness {
	struct readiness_params params;
	struct dsr_check *check; // owned
	size_t n_candidates;
	size_t n_entrances;
	uint64_t n_come;              // frontends, to a pool
	struct candidate *candidates; // owned; by slot of the backend
	struct entrance *entrances;   // owned; by slot of the frontend
};

static size_t number_of(const struct candidate *candidate)
{
	return (size_t)(candidate - candidate->readiness->candidates);
}

static size_t slot_of(const struct entrance *entrance)
{
	return (size_t)(entrance - entrance->readiness->entrances);
}

static const struct snapshot_backend *backend_of(const struct candidate *candidate)
{
	return registry_backend(candidate->readiness->params.registry,
				(uint32_t)number_of(candidate));
}

static const struct snapshot_frontend *frontend_of(const struct entrance *entrance)
{
	return registry_frontend(entrance->readiness->params.registry, (uint32_t)slot_of(entrance));
}

// ---- backends ----------------------------------------------------------------------------------

// Last in whatever calls it: the callee may close all of it.
static void tell(struct candidate *candidate, bool is_up, const char *reason)
{
	struct readiness *self = candidate->readiness;
	candidate->is_up = is_up;
	self->params.on_change(self->params.arg, number_of(candidate), is_up, reason);
}

static void check_all_frontends(struct round *round)
{
	const struct candidate *candidate = round->owner;
	const struct registry *registry = round->registry;
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		if (frontend->state == SLOT_ACTIVE && frontend->pool == backend_of(candidate)->pool)
			round_check(round, i, (uint32_t)number_of(candidate));
	}
}

static void on_candidate_over(struct round *round)
{
	struct candidate *candidate = round->owner;
	char reason[REASON_MAX + 32];
	if (round->n_failed)
		return;
	snprintf(reason, sizeof(reason), "%s; ready for dsr", candidate->reason);
	tell(candidate, true, reason);
}

static const char *name_of_frontend(const struct round *round, const struct dsr_result *result)
{
	const struct snapshot_frontend *frontend =
		registry_frontend(round->registry, (uint32_t)result->frontend);
	return frontend->config ? frontend->config->name : "(gone)";
}

static void log_candidate(const struct round *round, const struct dsr_result *result)
{
	const struct snapshot_backend *backend = backend_of(round->owner);
	char seen[SEEN_MAX];
	log_warn("dsr",
		 "backend %s of pool %s is not ready for frontend %s and gets no traffic: %s",
		 backend->config->name, backend->pool_config->name, name_of_frontend(round, result),
		 dsr_result_format(result, seen, sizeof(seen)));
}

static const struct round_kind of_candidate = {
	.check_all = check_all_frontends,
	.on_over = on_candidate_over,
	.log = log_candidate,
};

// ---- frontends ---------------------------------------------------------------------------------

static void set_gate(struct entrance *entrance, enum frontend_gate gate)
{
	struct readiness *self = entrance->readiness;
	if (entrance->gate == gate)
		return;
	entrance->gate = gate;
	self->params.on_gate(self->params.arg, slot_of(entrance), gate);
}

// Those that come up later are checked for this frontend as for any.
static void check_all_backends(struct round *round)
{
	const struct entrance *entrance = round->owner;
	const struct readiness *self = entrance->readiness;
	const struct snapshot_pool *pool =
		registry_pool(self->params.registry, frontend_of(entrance)->pool);
	for (uint32_t i = 0; i < pool->n_members; i++) {
		if (self->candidates[pool->members[i]].is_up)
			round_check(round, (uint32_t)slot_of(entrance), pool->members[i]);
	}
}

static void on_entrance_over(struct round *round)
{
	struct entrance *entrance = round->owner;
	if (!round->n_failed && entrance->gate != GATE_OPEN)
		log_info("dsr", "frontend %s: every backend that is up in its pool is ready for it",
			 frontend_of(entrance)->config->name);
	set_gate(entrance, round->n_failed ? GATE_SHUT : GATE_OPEN);
}

static void log_entrance(const struct round *round, const struct dsr_result *result)
{
	const struct snapshot_backend *backend =
		registry_backend(round->registry, (uint32_t)result->backend);
	char seen[SEEN_MAX];
	log_warn("dsr",
		 "frontend %s gets no new connections yet: backend %s of pool %s is not ready for "
		 "it: %s",
		 name_of_frontend(round, result), backend->config->name, backend->pool_config->name,
		 dsr_result_format(result, seen, sizeof(seen)));
}

static const struct round_kind of_entrance = {
	.check_all = check_all_backends,
	.on_over = on_entrance_over,
	.log = log_entrance,
};

static uint64_t served_by(const struct snapshot_frontend *frontend)
{
	if (frontend->state != SLOT_ACTIVE)
		return 0;
	const char *pool = frontend->owner->pools[frontend->config->pool].name;
	uint64_t seed = XXH3_64bits(&frontend->endpoint, sizeof(frontend->endpoint));
	return XXH3_64bits_withSeed(pool, strlen(pool), seed) | 1;
}

static bool has_any_up(const struct entrance *entrance)
{
	const struct readiness *self = entrance->readiness;
	const struct snapshot_pool *pool =
		registry_pool(self->params.registry, frontend_of(entrance)->pool);
	bool any = false;
	for (uint32_t i = 0; i < pool->n_members; i++)
		any |= self->candidates[pool->members[i]].is_up;
	return any;
}

// From nowhere, or from another pool, whose gate says nothing about this one.
static void enter(struct entrance *entrance)
{
	bool has_to_wait = has_any_up(entrance);
	round_stop(&entrance->round);
	set_gate(entrance, has_to_wait ? GATE_AWAITED : GATE_OPEN);
	if (has_to_wait)
		round_start(&entrance->round);
}

static void leave(struct entrance *entrance)
{
	round_stop(&entrance->round);
	set_gate(entrance, GATE_OPEN);
}

// Whoever waits for a backend that has gone would wait in vain. Frontends that go with it, or
// change, are for follow_frontends().
static void begin_again(struct readiness *self)
{
	for (size_t i = 0; i < self->n_entrances; i++) {
		struct entrance *entrance = &self->entrances[i];
		if (entrance->gate != GATE_OPEN &&
		    served_by(frontend_of(entrance)) == entrance->served)
			round_start(&entrance->round);
	}
}

// ---- another configuration ---------------------------------------------------------------------

// True when any was a member and is none any more.
static bool note_leavers(struct readiness *self)
{
	bool any = false;
	for (size_t i = 0; i < self->n_candidates; i++) {
		struct candidate *candidate = &self->candidates[i];
		if (!candidate->is_member || backend_of(candidate)->state == SLOT_ACTIVE)
			continue;
		candidate->is_member = false;
		candidate->left = self->n_come;
		any = true;
	}
	return any;
}

// True when any has come to its pool.
static bool follow_frontends(struct readiness *self)
{
	bool any = false;
	for (size_t i = 0; i < self->n_entrances; i++) {
		struct entrance *entrance = &self->entrances[i];
		uint64_t served = served_by(frontend_of(entrance));
		if (served == entrance->served)
			continue;
		entrance->served = served;
		if (served == 0) {
			leave(entrance);
			continue;
		}
		any = true;
		entrance->number = ++self->n_come;
		enter(entrance);
	}
	return any;
}

// It was removed, has been up all the time, and has not proved anything of frontends that have come
// meanwhile.
static void take_back(struct candidate *candidate)
{
	struct readiness *self = candidate->readiness;
	for (size_t i = 0; i < self->n_entrances; i++) {
		struct entrance *entrance = &self->entrances[i];
		if (entrance->served && entrance->number > candidate->left &&
		    frontend_of(entrance)->pool == backend_of(candidate)->pool)
			enter(entrance);
	}
}

static void note_comers(struct readiness *self)
{
	for (size_t i = 0; i < self->n_candidates; i++) {
		struct candidate *candidate = &self->candidates[i];
		if (candidate->is_member || backend_of(candidate)->state != SLOT_ACTIVE)
			continue;
		candidate->is_member = true;
		if (candidate->is_up)
			take_back(candidate);
	}
}

// Backends whose rounds had begun before there was the frontend are to prove it as well.
static void check_candidates_again(struct readiness *self)
{
	for (size_t i = 0; i < self->n_candidates; i++) {
		struct candidate *candidate = &self->candidates[i];
		if (candidate->is_healthy && !candidate->is_up)
			round_start(&candidate->round);
	}
}

void readiness_follow(struct readiness *self)
{
	if (note_leavers(self))
		begin_again(self);
	bool has_come = follow_frontends(self);
	note_comers(self);
	if (has_come)
		check_candidates_again(self);
}

// ---- health ------------------------------------------------------------------------------------

void readiness_take_health(void *readiness, size_t backend, bool is_up, const char *reason)
{
	struct readiness *self = readiness;
	assert(backend < self->n_candidates);
	struct candidate *candidate = &self->candidates[backend];
	candidate->is_healthy = is_up;
	if (is_up) {
		snprintf(candidate->reason, sizeof(candidate->reason), "%s", reason);
		round_start(&candidate->round);
		return;
	}
	round_stop(&candidate->round);
	if (!candidate->is_up) {
		// No change for the registry, so nobody else would say it.
		log_info("dsr", "backend %s, which had not passed the readiness check, is down: %s",
			 backend_of(candidate)->config->name, reason);
		return;
	}
	candidate->is_up = false;
	begin_again(self);
	tell(candidate, false, reason);
}

void readiness_forget(struct readiness *readiness, size_t backend)
{
	struct candidate *candidate = &readiness->candidates[backend];
	round_stop(&candidate->round);
	candidate->is_healthy = false;
	candidate->is_up = false;
	candidate->is_member = false;
}

bool readiness_is_awaited(const struct readiness *readiness, size_t backend)
{
	assert(backend < readiness->n_candidates);
	return readiness->candidates[backend].round.is_first;
}

bool readiness_is_up(const struct readiness *readiness, size_t backend)
{
	assert(backend < readiness->n_candidates);
	return readiness->candidates[backend].is_up;
}

int readiness_check_config(const struct readiness *readiness, const struct config *config,
			   struct err *err)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		bool is_v4 = ip_addr_is_v4(&frontend->endpoint.addr);
		if (dsr_check_has_source(readiness->check, is_v4))
			continue;
		err_set(err, -EBUSY,
			"frontend %s is the first one of IPv%d, for which no readiness check has "
			"been prepared (dsr.require_ready); start culvert again",
			frontend->name, is_v4 ? 4 : 6);
		err->line = frontend->line;
		err->column = frontend->column;
		return -EBUSY;
	}
	return 0;
}

// ---- the whole ---------------------------------------------------------------------------------

static void prepare_round(const struct readiness *self, struct round *round, void *owner,
			  const struct round_kind *kind)
{
	*round = (struct round){
		.kind = kind,
		.owner = owner,
		.check = self->check,
		.registry = self->params.registry,
	};
	round_init(round, self->params.base);
}

// Nobody is up yet: the frontends that there are need no round of their own.
static void prepare(struct readiness *self)
{
	for (size_t i = 0; i < self->n_candidates; i++) {
		struct candidate *candidate = &self->candidates[i];
		candidate->readiness = self;
		candidate->is_member = backend_of(candidate)->state == SLOT_ACTIVE;
		prepare_round(self, &candidate->round, candidate, &of_candidate);
	}
	for (size_t i = 0; i < self->n_entrances; i++) {
		struct entrance *entrance = &self->entrances[i];
		entrance->readiness = self;
		entrance->served = served_by(frontend_of(entrance));
		prepare_round(self, &entrance->round, entrance, &of_entrance);
	}
}

static void destroy(struct readiness *self)
{
	free(self->candidates);
	free(self->entrances);
	free(self);
}

static struct readiness *create(const struct readiness_params *params)
{
	struct readiness *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->params = *params;
	self->n_candidates = registry_max_backends(params->registry);
	self->n_entrances = registry_max_frontends(params->registry);
	self->candidates = calloc(self->n_candidates + 1, sizeof(*self->candidates));
	self->entrances = calloc(self->n_entrances + 1, sizeof(*self->entrances));
	if (self->candidates && self->entrances)
		return self;
	destroy(self);
	return NULL;
}

int readiness_open(struct readiness **readiness, const struct readiness_params *params,
		   struct err *err)
{
	struct readiness *opened = create(params);
	if (!opened)
		return err_sys(err, -ENOMEM, "readiness");
	struct dsr_check_params check = {
		.base = params->base,
		.netwatch = params->netwatch,
		.config = params->config,
		.on_result = round_take_result,
	};
	int code = dsr_check_open(&opened->check, &check, err);
	if (code) {
		destroy(opened);
		return code;
	}
	prepare(opened);
	*readiness = opened;
	return 0;
}

void readiness_close(struct readiness *readiness)
{
	if (!readiness)
		return;
	dsr_check_close(readiness->check);
	for (size_t i = 0; i < readiness->n_candidates; i++)
		event_del(&readiness->candidates[i].round.timer);
	for (size_t i = 0; i < readiness->n_entrances; i++)
		event_del(&readiness->entrances[i].round.timer);
	destroy(readiness);
}
