// SPDX-License-Identifier: Apache-2.0
#include "explain_choice.h"

#include "culvert/balance/choice.h"
#include "culvert/control/api_json.h"

// ---- who is passed over ------------------------------------------------------------------------

static json_t *why_not_up(const struct explain_params *params, uint32_t slot)
{
	const struct snapshot_backend *backend = &params->snapshot->backends[slot];
	struct health_report report = {.is_known = true, .reason = ""};
	if (params->health)
		health_describe(params->health, slot, &report);
	if (!backend->is_known || !report.is_known)
		return json_string("not checked yet");
	if (report.is_up)
		return json_string("healthy, but not taken in yet: it has not passed the readiness "
				   "check");
	return *report.reason ? json_sprintf("down: %s", report.reason) : json_string("down");
}

// NULL: it takes new connections.
static json_t *why_not(const struct explain_params *params, uint32_t slot)
{
	const struct snapshot_backend *backend = &params->snapshot->backends[slot];
	if (backend->state != SLOT_ACTIVE)
		return json_string("removed from the configuration");
	if (snapshot_takes_new(backend))
		return NULL;
	if (backend->admin == ADMIN_MAINT)
		return json_string("in maintenance, as an operator has said");
	if (backend->admin == ADMIN_DRAIN)
		return json_string("draining, as an operator has said");
	if (!backend->is_up)
		return why_not_up(params, slot);
	return json_string("its weight is 0");
}

// Schedulers that go by loads take those that cannot be reached last.
static json_t *why_last(const struct explain_params *params,
			const struct snapshot_frontend *frontend, uint32_t slot)
{
	enum hop_state hop = params->snapshot->backends[slot].hop.state;
	bool is_by_load = frontend->scheduler == SCHEDULER_LEAST_CONNECTIONS ||
			  frontend->scheduler == SCHEDULER_RANDOM_TWO;
	if (params->snapshot->config->mode == MODE_PROXY || !is_by_load || hop == HOP_READY)
		return NULL;
	return json_string(hop == HOP_NO_ROUTE ? "no route to it"
					       : "its next hop's address is not known");
}

static bool skip(struct explain_choice *choice, json_t *name, json_t *reason)
{
	json_t *entry = json_pack("{s:o, s:o}", "backend", name, "reason", reason);
	return json_array_append_new(choice->skipped, entry) == 0;
}

// The last of the candidates is left in choice->backend.
static bool sort_out(const struct explain_params *params, const struct snapshot_frontend *frontend,
		     struct explain_choice *choice)
{
	const struct snapshot_pool *pool = &params->snapshot->pools[frontend->pool];
	bool is_whole = true;
	for (uint32_t i = 0; i < pool->n_members && is_whole; i++) {
		uint32_t slot = pool->members[i];
		json_t *name = api_name_of_backend(&params->snapshot->backends[slot]);
		json_t *reason = why_not(params, slot);
		if (!reason)
			reason = why_last(params, frontend, slot);
		if (reason) {
			is_whole = skip(choice, name, reason);
		} else {
			choice->backend = (int32_t)slot;
			is_whole = json_array_append_new(choice->candidates, name) == 0;
		}
	}
	return is_whole;
}

// ---- who is taken ------------------------------------------------------------------------------

static bool is_proxied_from(const struct config_frontend *config, const struct ip_addr *client)
{
	for (size_t i = 0; i < config->n_accept_proxy; i++) {
		if (ip_network_contains(&config->accept_proxy[i], client))
			return true;
	}
	return false;
}

// What the hash takes for the address that the client has connected to. In proxy mode that of a
// frontend for every address is not asked for, unless a PROXY header says it or has to.
static struct endpoint hashed_vip(const struct explain_params *params,
				  const struct snapshot_frontend *frontend)
{
	const struct snapshot_pool *pool = &params->snapshot->pools[frontend->pool];
	bool is_said = is_proxied_from(frontend->config, &params->client.addr) ||
		       (pool->config && pool->config->send_proxy != SEND_PROXY_NONE);
	return is_said ? params->vip : frontend->endpoint;
}

static void look_up(const struct explain_params *params, const struct snapshot_frontend *frontend,
		    struct explain_choice *choice)
{
	const struct maglev *table = params->snapshot->pools[frontend->pool].table;
	struct endpoint vip = hashed_vip(params, frontend);
	choice->hash = choice_hash(frontend->hash, &params->client, &vip);
	choice->backend = EXPLAIN_NOBODY;
	if (table->size == 0)
		return;
	choice->place = (int32_t)maglev_place(table, choice->hash);
	choice->backend = maglev_lookup(table, choice->hash);
}

bool explain_choose(const struct explain_params *params, uint32_t frontend,
		    struct explain_choice *choice)
{
	const struct snapshot_frontend *f = &params->snapshot->frontends[frontend];
	*choice = (struct explain_choice){
		.place = -1,
		.backend = EXPLAIN_NOBODY,
		.candidates = json_array(),
		.skipped = json_array(),
	};
	if (!choice->candidates || !choice->skipped || !sort_out(params, f, choice))
		return false;
	if (f->scheduler == SCHEDULER_MAGLEV)
		look_up(params, f, choice);
	else if (json_array_size(choice->candidates) > 1)
		choice->backend = EXPLAIN_OPEN;
	return true;
}
