// SPDX-License-Identifier: Apache-2.0
#include "explain.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#include "culvert/control/api_json.h"
#include "culvert/flow/verdict.h"
#include "explain_choice.h"

enum { STEP_MAX = 512, MS_PER_S = 1000 };

// An explanation that grows.
struct account {
	const struct explain_params *params;
	const struct flow_row *flow;              // NULL: none
	const struct snapshot_frontend *frontend; // NULL: none
	struct explain_choice choice;
	int32_t backend;     // slot, or as in choice
	const char *verdict; // static
	json_t *steps;       // owned
};

int32_t explain_find_frontend(const struct snapshot *snapshot, const struct endpoint *vip)
{
	static const struct ip_addr any_v6;
	struct endpoint any = *vip;
	int32_t frontend = endpoint_map_find(snapshot->vips, vip);
	if (frontend != ENDPOINT_UNKNOWN)
		return frontend;
	any.addr = ip_addr_is_v4(&vip->addr) ? ip_addr_from_v4(0) : any_v6;
	return endpoint_map_find(snapshot->vips, &any);
}

// ---- words -------------------------------------------------------------------------------------

__attribute__((format(printf, 2, 3))) static void say(struct account *account, const char *format,
						      ...)
{
	char text[STEP_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(account->steps, json_string(text));
}

static const struct snapshot_backend *backend_at(const struct account *account, int32_t slot)
{
	return &account->params->snapshot->backends[slot];
}

static const char *label(const struct account *account, int32_t slot, char *text)
{
	const struct snapshot_backend *backend = backend_at(account, slot);
	return config_backend_label(backend->pool_config, backend->config, text);
}

static bool is_proxy(const struct account *account)
{
	return account->params->snapshot->config->mode == MODE_PROXY;
}

// ---- the steps, in the order of the data path --------------------------------------------------

static void tell_frontend(struct account *account)
{
	const struct snapshot_frontend *frontend = account->frontend;
	char vip[ENDPOINT_TEXT_MAX];
	endpoint_format(&account->params->vip, vip);
	const char *protocol = account->params->vip.proto == IPPROTO_UDP ? "udp" : "tcp";
	if (!frontend)
		say(account, "%s over %s is of no frontend: the kernel gets it.", vip, protocol);
	else if (frontend->state != SLOT_ACTIVE)
		say(account,
		    "%s over %s is frontend %s, which the configuration has left out: what there "
		    "is goes on, and nothing new begins.",
		    vip, protocol, frontend->config->name);
	else
		say(account, "%s over %s is frontend %s, served by pool %s.", vip, protocol,
		    frontend->config->name, frontend->owner->pools[frontend->config->pool].name);
	if (frontend && frontend->state == SLOT_ACTIVE && frontend->gate != GATE_OPEN)
		say(account, "Nothing new comes in there yet: %s.",
		    frontend->gate == GATE_AWAITED
			    ? "it is being checked whether its backends are ready for it"
			    : "some backend of the pool has not passed the readiness check for it");
}

static void tell_flow(struct account *account)
{
	const struct flow_row *flow = account->flow;
	const char *what = is_proxy(account) ? "session" : "flow";
	char client[ENDPOINT_TEXT_MAX];
	char backend[CONFIG_BACKEND_LABEL_MAX];
	endpoint_format(&account->params->client, client);
	if (!flow) {
		say(account, "%s has no %s here yet.", client, what);
		return;
	}
	if (flow->backend == QUERY_ANY)
		say(account, "%s has a session, whose PROXY header is awaited.", client);
	else
		say(account, "%s has a %s in state %s with backend %s; nothing has moved for %u s.",
		    client, what, flow->state, label(account, flow->backend, backend),
		    flow->idle_ms / MS_PER_S);
	if (flow->is_fast)
		say(account, "The kernel forwards its packets (fast path).");
	if (flow->prospect == FLOW_BEGINS_AGAIN)
		say(account, "That connection is over; the backend gets the next one as well.");
	else if (flow->prospect == FLOW_IS_REPLACED)
		say(account, "It makes way when the client begins anew.");
}

static void tell_skipped(struct account *account)
{
	size_t i;
	json_t *entry;
	json_array_foreach(account->choice.skipped, i, entry)
		say(account, "%s is passed over: %s.",
		    json_string_value(json_object_get(entry, "backend")),
		    json_string_value(json_object_get(entry, "reason")));
}

static void tell_hash(struct account *account)
{
	const struct snapshot_frontend *frontend = account->frontend;
	const struct explain_choice *choice = &account->choice;
	const char *what = frontend->hash == HASH_SOURCE_IP ? "The client's address"
							    : "Both addresses and ports";
	char backend[CONFIG_BACKEND_LABEL_MAX];
	if (choice->place < 0)
		return;
	say(account, "%s hash to 0x%08x, slot %d of %u in the Maglev table, which is of %s.", what,
	    choice->hash, choice->place,
	    account->params->snapshot->pools[frontend->pool].table->size,
	    label(account, choice->backend, backend));
}

static void tell_turns(struct account *account)
{
	enum scheduler_kind kind = account->frontend->scheduler;
	bool is_by_load = kind == SCHEDULER_LEAST_CONNECTIONS || kind == SCHEDULER_RANDOM_TWO;
	size_t n = json_array_size(account->choice.candidates);
	char backend[CONFIG_BACKEND_LABEL_MAX];
	if (account->choice.backend >= 0)
		say(account, "%s is the only one left.",
		    label(account, account->choice.backend, backend));
	else if (n)
		say(account,
		    "%s goes by %s: which of the %zu candidates it is, is decided when the "
		    "connection comes.",
		    config_scheduler_name(kind), is_by_load ? "loads" : "turns", n);
}

// As forward_dsr.c sees it: then nobody is told that there is no backend.
static bool is_too_early(const struct account *account)
{
	const struct snapshot *snapshot = account->params->snapshot;
	const struct snapshot_frontend *frontend = account->frontend;
	return snapshot->config->mode == MODE_DSR &&
	       (snapshot->pools[frontend->pool].n_unknown || frontend->gate == GATE_AWAITED);
}

// Why nobody is left: because of the frontend, whoever is in the pool, or because of the pool.
static void tell_refusal(struct account *account)
{
	const char *who = account->frontend->gate != GATE_OPEN ? "The frontend" : "No backend";
	const char *what = account->frontend->gate != GATE_OPEN ? "takes no" : "takes";
	if (account->frontend->state != SLOT_ACTIVE)
		say(account, "The frontend is being removed, so it takes no new connections: the "
			     "client is refused.");
	else if (is_too_early(account))
		say(account,
		    "%s %s new connections yet: the packet is dropped, and the client tries again.",
		    who, what);
	else
		say(account, "%s %s new connections: the client is refused.", who, what);
}

static void tell_choice(struct account *account)
{
	tell_skipped(account);
	if (account->frontend->scheduler == SCHEDULER_MAGLEV)
		tell_hash(account);
	else
		tell_turns(account);
	if (account->choice.backend == EXPLAIN_NOBODY)
		tell_refusal(account);
}

// ---- the way out -------------------------------------------------------------------------------

static const char *interface_of(const struct account *account, const struct snapshot_hop *hop,
				char *name)
{
	unsigned ifindex = account->params->snapshot->links[hop->link].ifindex;
	return if_indextoname(ifindex, name);
}

static void tell_hop(struct account *account)
{
	const struct snapshot_hop *hop = &backend_at(account, account->backend)->hop;
	char name[IF_NAMESIZE];
	char mac[MAC_ADDR_TEXT_MAX];
	const char *interface = interface_of(account, hop, name);
	interface = interface ? interface : "?";
	switch (hop->state) {
	case HOP_NO_ROUTE:
		account->verdict = verdict_name(VERDICT_DROP_NO_ROUTE);
		say(account, "There is no route to it: the packet is dropped.");
		return;
	case HOP_UNRESOLVED:
		account->verdict = verdict_name(VERDICT_DROP_NEIGHBOUR_UNRESOLVED);
		say(account,
		    "Its next hop on %s has not told its link address yet: the packet is "
		    "dropped.",
		    interface);
		return;
	case HOP_READY:
		say(account, "The packet leaves by %s, to %s.", interface,
		    mac_addr_format(&hop->mac, mac));
		return;
	}
}

// DSR: a backend that calls the VIP would get packets from its own address.
static bool is_its_own_client(const struct account *account)
{
	const struct explain_params *params = account->params;
	return params->snapshot->config->mode == MODE_DSR &&
	       ip_addr_equal(&params->client.addr,
			     &backend_at(account, account->backend)->endpoint.addr);
}

static void decide_packet(struct account *account, bool is_new)
{
	account->verdict = verdict_name(VERDICT_FORWARDED);
	if (account->backend == EXPLAIN_NOBODY) {
		account->verdict = verdict_name(VERDICT_DROP_NO_BACKEND);
	} else if (account->backend >= 0 && is_new && is_its_own_client(account)) {
		account->verdict = verdict_name(VERDICT_DROP_BAD_SOURCE);
		say(account, "The client is that backend, which cannot be its own client here: the "
			     "packet is dropped.");
	} else if (account->backend >= 0) {
		tell_hop(account);
	}
}

static void decide_session(struct account *account)
{
	account->verdict = account->backend == EXPLAIN_NOBODY ? "no_backend" : "relayed";
	if (account->backend != EXPLAIN_NOBODY && !account->flow)
		say(account, "culvert connects to it; if that fails, another one is tried.");
}

// ---- the whole ---------------------------------------------------------------------------------

static bool needs_choice(const struct flow_row *flow)
{
	return !flow || flow->backend == QUERY_ANY || flow->prospect == FLOW_IS_REPLACED;
}

static void tell(struct account *account)
{
	const struct flow_row *flow = account->flow;
	bool is_new = needs_choice(flow);
	tell_frontend(account);
	account->backend = EXPLAIN_NOBODY;
	account->verdict = verdict_name(VERDICT_PASSED);
	if (!account->frontend)
		return;
	tell_flow(account);
	if (is_new)
		tell_choice(account);
	account->backend = is_new ? account->choice.backend : flow->backend;
	if (is_proxy(account))
		decide_session(account);
	else
		decide_packet(account, is_new);
}

static json_t *hash_to_json(const struct account *account)
{
	if (!account->frontend || account->frontend->scheduler != SCHEDULER_MAGLEV)
		return json_null();
	return json_sprintf("0x%08x", account->choice.hash);
}

static json_t *backend_to_json(const struct account *account)
{
	return account->backend < 0 ? json_null()
				    : api_name_of_backend(backend_at(account, account->backend));
}

static json_t *hop_to_json(const struct account *account)
{
	char name[IF_NAMESIZE];
	if (account->backend < 0 || is_proxy(account))
		return json_null();
	const struct snapshot_hop *hop = &backend_at(account, account->backend)->hop;
	return api_hop_to_json(hop, interface_of(account, hop, name));
}

static json_t *flow_to_json(const struct account *account)
{
	json_t *object =
		account->flow ? api_flow_to_json(account->params->registry, account->flow) : NULL;
	return object ? object : json_null();
}

static json_t *to_json(const struct account *account)
{
	const struct snapshot_frontend *frontend = account->frontend;
	const struct explain_choice *choice = &account->choice;
	json_t *slot = choice->place < 0 ? json_null() : json_integer(choice->place);
	return json_pack("{s:s?, s:s?, s:s?, s:o, s:o, s:o, s:o, s:O, s:O, s:o, s:s, s:O}",
			 "frontend", frontend ? frontend->config->name : NULL, "pool",
			 frontend ? frontend->owner->pools[frontend->config->pool].name : NULL,
			 "scheduler", frontend ? config_scheduler_name(frontend->scheduler) : NULL,
			 "hash", hash_to_json(account), "slot", slot, "flow", flow_to_json(account),
			 "backend", backend_to_json(account), "candidates", choice->candidates,
			 "skipped", choice->skipped, "hop", hop_to_json(account), "verdict",
			 account->verdict, "steps", account->steps);
}

static bool choose(const struct explain_params *params, int32_t frontend, struct account *account)
{
	if (frontend >= 0) {
		account->frontend = &params->snapshot->frontends[frontend];
		return explain_choose(params, (uint32_t)frontend, &account->choice);
	}
	account->choice = (struct explain_choice){
		.place = -1,
		.backend = EXPLAIN_NOBODY,
		.candidates = json_array(),
		.skipped = json_array(),
	};
	return account->choice.candidates && account->choice.skipped;
}

// Its backend may have been given back since its thread told of it, when it had ended.
static const struct flow_row *living_flow(const struct explain_params *params)
{
	const struct flow_row *flow = params->flow;
	bool is_over = flow && flow->backend != QUERY_ANY &&
		       !params->snapshot->backends[flow->backend].config;
	return is_over ? NULL : flow;
}

json_t *explain(const struct explain_params *params)
{
	struct account account = {
		.params = params,
		.flow = living_flow(params),
		.steps = json_array(),
	};
	json_t *answer = NULL;
	int32_t frontend = explain_find_frontend(params->snapshot, &params->vip);
	if (account.steps && choose(params, frontend, &account)) {
		tell(&account);
		answer = to_json(&account);
	}
	json_decref(account.choice.candidates);
	json_decref(account.choice.skipped);
	json_decref(account.steps);
	return answer;
}
