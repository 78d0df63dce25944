// SPDX-License-Identifier: Apache-2.0
#include "reload_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/digits.h"
#include "culvert/config/compare.h"
#include "reload_slots.h"

enum { NAME_MAX_BYTES = 512, DETAIL_MAX = 640, ORDERS_MAX = 64 };

struct making {
	struct reload_plan *plan;
	const struct registry *registry;
	const struct config *before;
	const struct config *after;
	struct registry_match match;
	bool is_out_of_memory;
};

// ---- the lists ---------------------------------------------------------------------------------

static void add_change(struct making *making, enum reload_change_kind kind,
		       enum reload_subject subject, const char *name, const char *detail)
{
	struct reload_plan *plan = making->plan;
	struct reload_change *grown =
		reallocarray(plan->changes, plan->n_changes + 1, sizeof(*grown));
	making->is_out_of_memory |= !grown;
	if (!grown)
		return;
	plan->changes = grown;
	struct reload_change *change = &grown[plan->n_changes++];
	*change = (struct reload_change){kind, subject, strdup(name), strdup(detail), NULL};
	making->is_out_of_memory |= !change->name || !change->detail;
}

static void add_obstacle(struct making *making, const char *key, const char *message)
{
	struct reload_plan *plan = making->plan;
	struct reload_obstacle *grown =
		reallocarray(plan->obstacles, plan->n_obstacles + 1, sizeof(*grown));
	making->is_out_of_memory |= !grown;
	if (!grown)
		return;
	plan->obstacles = grown;
	struct reload_obstacle *obstacle = &grown[plan->n_obstacles++];
	*obstacle = (struct reload_obstacle){strdup(key), strdup(message)};
	making->is_out_of_memory |= !obstacle->key || !obstacle->message;
}

// ---- settings ----------------------------------------------------------------------------------

static void on_setting(void *arg, const struct config_difference *difference)
{
	struct making *making = arg;
	char text[DETAIL_MAX];
	if (difference->can_change) {
		snprintf(text, sizeof(text), "%s → %s", difference->before, difference->after);
		add_change(making, RELOAD_CHANGED, RELOAD_SETTING, difference->key, text);
		return;
	}
	snprintf(text, sizeof(text),
		 "%s cannot change from %s to %s while culvert runs; restart it, or put %s back",
		 difference->key, difference->before, difference->after, difference->before);
	add_obstacle(making, difference->key, text);
}

// ---- frontends ---------------------------------------------------------------------------------

static bool has_frontend_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (strcmp(config->frontends[i].name, name) == 0)
			return true;
	}
	return false;
}

static const struct snapshot_frontend *find_frontend(const struct registry *registry,
						     const char *name)
{
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *f = registry_frontend(registry, i);
		if (f->state == SLOT_ACTIVE && strcmp(f->config->name, name) == 0)
			return f;
	}
	return NULL;
}

// Its address is new, its name may not be.
static void plan_new_frontend(struct making *making, const struct config_frontend *frontend)
{
	const struct snapshot_frontend *old = find_frontend(making->registry, frontend->name);
	char before[ENDPOINT_TEXT_MAX];
	char after[ENDPOINT_TEXT_MAX];
	char detail[DETAIL_MAX];
	endpoint_format(&frontend->endpoint, after);
	if (!old) {
		add_change(making, RELOAD_ADDED, RELOAD_FRONTEND, frontend->name, after);
		return;
	}
	snprintf(detail, sizeof(detail), "%s → %s", endpoint_format(&old->endpoint, before), after);
	add_change(making, RELOAD_MOVED, RELOAD_FRONTEND, frontend->name, detail);
}

static void plan_frontend(struct making *making, size_t i)
{
	const struct config_frontend *frontend = &making->after->frontends[i];
	int32_t slot = making->match.frontends[i];
	const struct snapshot_frontend *old =
		slot == REGISTRY_NEW ? NULL : registry_frontend(making->registry, (uint32_t)slot);
	char detail[CONFIG_CHANGES_MAX];
	if (!old || old->state != SLOT_ACTIVE) {
		plan_new_frontend(making, frontend);
		return;
	}
	config_compare_frontends(making->before, old->config, making->after, frontend, detail);
	if (detail[0])
		add_change(making, RELOAD_CHANGED, RELOAD_FRONTEND, frontend->name, detail);
}

static bool is_matched(const int32_t *slots, size_t n, uint32_t slot)
{
	for (size_t i = 0; i < n; i++) {
		if (slots[i] == (int32_t)slot)
			return true;
	}
	return false;
}

static void plan_frontends(struct making *making)
{
	for (size_t i = 0; i < making->after->n_frontends; i++)
		plan_frontend(making, i);
	for (uint32_t i = 0; i < registry_n_frontends(making->registry); i++) {
		const struct snapshot_frontend *old = registry_frontend(making->registry, i);
		char addr[ENDPOINT_TEXT_MAX];
		if (old->state != SLOT_ACTIVE ||
		    is_matched(making->match.frontends, making->after->n_frontends, i) ||
		    has_frontend_name(making->after, old->config->name))
			continue;
		add_change(making, RELOAD_REMOVED, RELOAD_FRONTEND, old->config->name,
			   endpoint_format(&old->endpoint, addr));
	}
}

// ---- backends ----------------------------------------------------------------------------------

// "drain, weight 5"; "" when nobody has said anything of that name.
static void describe_orders(const struct registry *registry, const char *pool, const char *server,
			    char text[ORDERS_MAX])
{
	static const char *const names[] = {
		[ADMIN_READY] = "",
		[ADMIN_DRAIN] = "drain",
		[ADMIN_MAINT] = "maint",
	};
	enum admin_state admin;
	int32_t weight;
	registry_said(registry, pool, server, &admin, &weight);
	int length = snprintf(text, ORDERS_MAX, "%s", names[admin]);
	if (weight != REGISTRY_WEIGHT_CONFIGURED)
		snprintf(text + length, ORDERS_MAX - (size_t)length, "%sweight %d",
			 length ? ", " : "", weight);
}

// The backend is new or comes back; its name may have been given orders before.
static void plan_new_backend(struct making *making, const struct config_pool *pool,
			     const struct config_backend *backend, const char *name)
{
	struct reload_plan *plan = making->plan;
	char addr[CONFIG_BACKEND_TEXT_MAX];
	char orders[ORDERS_MAX];
	char detail[DETAIL_MAX];
	size_t n_before = plan->n_changes;
	describe_orders(making->registry, pool->name, backend->name, orders);
	snprintf(detail, sizeof(detail), "%s%s%s", config_backend_format(backend, addr),
		 *orders ? ", still set by hand: " : "", orders);
	add_change(making, RELOAD_ADDED, RELOAD_BACKEND, name, detail);
	if (!*orders || plan->n_changes == n_before)
		return;
	plan->changes[n_before].by_hand = strdup(orders);
	making->is_out_of_memory |= !plan->changes[n_before].by_hand;
}

static void plan_backend(struct making *making, const struct config_pool *pool,
			 const struct config_backend *backend, int32_t slot)
{
	char name[NAME_MAX_BYTES];
	char detail[CONFIG_CHANGES_MAX];
	const struct snapshot_backend *old =
		slot == REGISTRY_NEW ? NULL : registry_backend(making->registry, (uint32_t)slot);
	snprintf(name, sizeof(name), "%s/%s", pool->name, backend->name);
	if (!old || old->state != SLOT_ACTIVE) {
		plan_new_backend(making, pool, backend, name);
		return;
	}
	config_compare_backends(old->config, backend, detail);
	if (detail[0])
		add_change(making, RELOAD_CHANGED, RELOAD_BACKEND, name, detail);
}

static void plan_backends(struct making *making, const uint64_t *flows)
{
	const int32_t *slots = making->match.backends;
	bool *is_kept = calloc(registry_n_backends(making->registry) + 1, sizeof(*is_kept));
	making->is_out_of_memory |= !is_kept;
	for (size_t i = 0; is_kept && i < making->after->n_pools; i++) {
		const struct config_pool *pool = &making->after->pools[i];
		for (size_t k = 0; k < pool->n_backends; k++, slots++) {
			plan_backend(making, pool, &pool->backends[k], *slots);
			if (*slots != REGISTRY_NEW)
				is_kept[*slots] = true;
		}
	}
	for (uint32_t i = 0; is_kept && i < registry_n_backends(making->registry); i++) {
		const struct snapshot_backend *old = registry_backend(making->registry, i);
		char name[NAME_MAX_BYTES];
		char addr[CONFIG_BACKEND_TEXT_MAX];
		if (old->state != SLOT_ACTIVE || is_kept[i])
			continue;
		snprintf(name, sizeof(name), "%s/%s", old->pool_config->name, old->config->name);
		add_change(making, RELOAD_REMOVED, RELOAD_BACKEND, name,
			   config_backend_format(old->config, addr));
		making->plan->n_flows += flows[i];
	}
	free(is_kept);
}

// ---- pools -------------------------------------------------------------------------------------

static const struct config_pool *find_pool(const struct config *config, const char *name,
					   size_t hint)
{
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[(hint + i) % config->n_pools];
		if (strcmp(pool->name, name) == 0)
			return pool;
	}
	return NULL;
}

static void plan_pools(struct making *making)
{
	for (size_t i = 0; i < making->after->n_pools; i++) {
		const struct config_pool *pool = &making->after->pools[i];
		const struct config_pool *old = find_pool(making->before, pool->name, i);
		char detail[CONFIG_CHANGES_MAX] = "";
		if (old)
			config_compare_pools(old, pool, detail);
		if (!old)
			add_change(making, RELOAD_ADDED, RELOAD_POOL, pool->name, "");
		else if (detail[0])
			add_change(making, RELOAD_CHANGED, RELOAD_POOL, pool->name, detail);
	}
	for (size_t i = 0; i < making->before->n_pools; i++) {
		const struct config_pool *old = &making->before->pools[i];
		if (!find_pool(making->after, old->name, i))
			add_change(making, RELOAD_REMOVED, RELOAD_POOL, old->name, "");
	}
}

// ---- the whole ---------------------------------------------------------------------------------

int reload_plan_make(struct reload_plan *plan, const struct registry *registry,
		     const struct config *config, const uint64_t *flows, struct err *err)
{
	struct making making = {
		.plan = plan,
		.registry = registry,
		.before = registry_config(registry),
		.after = config,
	};
	*plan = (struct reload_plan){0};
	int code = registry_match(registry, config, &making.match, err);
	if (code)
		return code;
	config_compare_settings(making.before, config, on_setting, &making);
	plan_frontends(&making);
	plan_pools(&making);
	plan_backends(&making, flows);
	code = reload_count_slots(registry, config, &making.match, &plan->slots_moved,
				  &plan->slots_total, err);
	if (!code && making.is_out_of_memory)
		code = err_set(err, -ENOMEM, "not enough memory to compare configurations");
	registry_match_fini(&making.match);
	if (code)
		reload_plan_fini(plan);
	return code;
}

void reload_plan_fini(struct reload_plan *plan)
{
	for (size_t i = 0; i < plan->n_changes; i++) {
		free(plan->changes[i].name);
		free(plan->changes[i].detail);
		free(plan->changes[i].by_hand);
	}
	for (size_t i = 0; i < plan->n_obstacles; i++) {
		free(plan->obstacles[i].key);
		free(plan->obstacles[i].message);
	}
	free(plan->changes);
	free(plan->obstacles);
	*plan = (struct reload_plan){0};
}

double reload_plan_disruption(const struct reload_plan *plan)
{
	return plan->slots_total ? (double)plan->slots_moved / (double)plan->slots_total : 0;
}

static const char *const kind_names[] = {
	[RELOAD_ADDED] = "added",
	[RELOAD_REMOVED] = "removed",
	[RELOAD_CHANGED] = "changed",
	[RELOAD_MOVED] = "moved",
};

static const char *const subject_names[] = {
	[RELOAD_SETTING] = "setting",
	[RELOAD_FRONTEND] = "frontend",
	[RELOAD_POOL] = "pool",
	[RELOAD_BACKEND] = "backend",
};

const char *reload_change_name(enum reload_change_kind kind)
{
	return kind_names[kind];
}

const char *reload_subject_name(enum reload_subject subject)
{
	return subject_names[subject];
}

static size_t count_changes(const struct reload_plan *plan, int subject, int kind)
{
	size_t n = 0;
	for (size_t i = 0; i < plan->n_changes; i++)
		n += (int)plan->changes[i].subject == subject && (int)plan->changes[i].kind == kind;
	return n;
}

const char *reload_plan_summary(const struct reload_plan *plan, char *text, size_t size)
{
	size_t used = 0;
	char moved[DIGITS_TEXT_MAX];
	char total[DIGITS_TEXT_MAX];
	char flows[DIGITS_TEXT_MAX];
	text[0] = '\0';
	for (int subject = RELOAD_SETTING; subject <= RELOAD_BACKEND; subject++) {
		for (int kind = RELOAD_ADDED; kind <= RELOAD_MOVED; kind++) {
			size_t n = count_changes(plan, subject, kind);
			if (n == 0 || used >= size)
				continue;
			used += (size_t)snprintf(text + used, size - used, "%zu %s%s %s, ", n,
						 subject_names[subject], n == 1 ? "" : "s",
						 kind_names[kind]);
		}
	}
	if (used < size)
		snprintf(text + used, size - used, "%s of %s slots move, %s %s",
			 digits_group(plan->slots_moved, moved),
			 digits_group(plan->slots_total, total), digits_group(plan->n_flows, flows),
			 plan->n_flows == 1 ? "flow drains" : "flows drain");
	return text;
}
