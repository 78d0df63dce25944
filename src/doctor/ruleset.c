// SPDX-License-Identifier: Apache-2.0
// Rules as libnftables-json(5) has them, walked as the kernel would for one packet. A rule that may
// match and would let the packet pass takes the certainty from all that follows in its base chain;
// one that may match and would drop it is passed over.
#include "doctor/ruleset.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "doctor/ruleset_match.h"
#include "doctor/ruleset_read.h"

enum { DEPTH_MAX = 16 };

// Where a packet is in its base chain.
struct walk {
	const struct ruleset *ruleset;
	const struct ruleset_packet *packet;
	const json_t *base;
	bool is_unsure; // it may have been accepted already
	unsigned depth;
	struct ruleset_culprit *culprit;
};

enum step { STEP_NEXT, STEP_RETURN, STEP_ACCEPT, STEP_END };

struct outcome {
	enum step step;
	enum fate fate; // with STEP_END
};

// ---- looking up --------------------------------------------------------------------------------

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
	return strcmp(text_of(object, key), text) == 0;
}

// Is `object` of the table that `of` is of?
static bool is_of_table(const json_t *object, const json_t *of)
{
	return is_text(object, "family", text_of(of, "family")) &&
	       is_text(object, "table", text_of(of, "table"));
}

static const json_t *find_set(const void *arg, const char *name)
{
	const struct walk *walk = arg;
	size_t i;
	const json_t *item;
	json_array_foreach(walk->ruleset->items, i, item)
	{
		const json_t *set = json_object_get(item, "set");
		if (set && is_of_table(set, walk->base) && is_text(set, "name", name))
			return json_object_get(set, "elem");
	}
	return NULL;
}

const char *ruleset_table(const struct ruleset *ruleset, const char *family, size_t i)
{
	size_t k;
	const json_t *item;
	json_array_foreach(ruleset->items, k, item)
	{
		const json_t *table = json_object_get(item, "table");
		if (table && is_text(table, "family", family) && i-- == 0)
			return text_of(table, "name");
	}
	return NULL;
}

const char *ruleset_owned_table(const struct ruleset *ruleset, size_t i)
{
	return json_string_value(json_array_get(ruleset->owned, i));
}

bool ruleset_has_chain(const struct ruleset *ruleset, const char *family, const char *table,
		       const char *chain)
{
	size_t i;
	const json_t *item;
	json_array_foreach(ruleset->items, i, item)
	{
		const json_t *object = json_object_get(item, "chain");
		if (object && is_text(object, "family", family) &&
		    is_text(object, "table", table) && is_text(object, "name", chain))
			return true;
	}
	return false;
}

// ---- walking -----------------------------------------------------------------------------------

static void blame(const struct walk *walk, const char *chain, int handle)
{
	struct ruleset_culprit *culprit = walk->culprit;
	snprintf(culprit->family, sizeof(culprit->family), "%s", text_of(walk->base, "family"));
	snprintf(culprit->table, sizeof(culprit->table), "%s", text_of(walk->base, "table"));
	snprintf(culprit->chain, sizeof(culprit->chain), "%s", chain);
	snprintf(culprit->base, sizeof(culprit->base), "%s", text_of(walk->base, "name"));
	culprit->handle = handle;
}

static const struct outcome next = {STEP_NEXT, FATE_UNKNOWN};

static struct outcome end_with(struct walk *walk, enum fate fate, const json_t *rule)
{
	if (walk->is_unsure)
		return (struct outcome){STEP_ACCEPT, FATE_UNKNOWN};
	blame(walk, text_of(rule, "chain"),
	      (int)json_integer_value(json_object_get(rule, "handle")));
	return (struct outcome){STEP_END, fate};
}

static struct outcome walk_chain(struct walk *walk, const char *chain);

// `verdict` is an object with one key that names it.
static struct outcome take_verdict(struct walk *walk, const json_t *verdict, const json_t *rule)
{
	const char *jump = text_of(json_object_get(verdict, "jump"), "target");
	const char *go = text_of(json_object_get(verdict, "goto"), "target");
	if (json_object_get(verdict, "drop"))
		return end_with(walk, FATE_DROPPED, rule);
	if (json_object_get(verdict, "reject"))
		return end_with(walk, FATE_REFUSED, rule);
	if (json_object_get(verdict, "dnat") || json_object_get(verdict, "redirect") ||
	    json_object_get(verdict, "tproxy"))
		return end_with(walk, FATE_DIVERTED, rule);
	if (json_object_get(verdict, "accept") || json_object_get(verdict, "queue"))
		return (struct outcome){STEP_ACCEPT, FATE_UNKNOWN};
	if (json_object_get(verdict, "return"))
		return (struct outcome){STEP_RETURN, FATE_UNKNOWN};
	if (!*jump && !*go)
		return next; // a counter, a log line, ...
	struct outcome outcome = walk_chain(walk, *jump ? jump : go);
	if (outcome.step == STEP_ACCEPT || outcome.step == STEP_END)
		return outcome;
	return *jump ? next : (struct outcome){STEP_RETURN, FATE_UNKNOWN};
}

// A statement that may not be reached: it can only make things less sure.
static void take_maybe(struct walk *walk, const json_t *statement)
{
	static const char *const harmless[] = {"drop", "reject", "counter", "log", "limit"};
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (json_object_get(statement, harmless[i]))
			return;
	}
	walk->is_unsure = true;
}

static struct outcome take_map(struct walk *walk, const json_t *vmap, const json_t *rule)
{
	struct match_context context = {walk->packet, find_set, walk};
	const json_t *data = json_object_get(json_object_get(vmap, "data"), "set");
	size_t i;
	const json_t *pair;
	if (!data) {
		walk->is_unsure = true; // a named map
		return next;
	}
	json_array_foreach(data, i, pair)
	{
		const json_t *verdict = json_array_get(pair, 1);
		enum answer answer = ruleset_compare(&context, json_object_get(vmap, "key"),
						     json_array_get(pair, 0));
		if (answer == ANSWER_YES)
			return take_verdict(walk, verdict, rule);
		if (answer == ANSWER_MAYBE)
			take_maybe(walk, verdict);
	}
	return next;
}

static enum answer judge_statement(const struct walk *walk, const json_t *statement)
{
	struct match_context context = {walk->packet, find_set, walk};
	const json_t *match = json_object_get(statement, "match");
	if (match)
		return ruleset_match(&context, match);
	if (json_object_get(statement, "limit") || json_object_get(statement, "xt") ||
	    json_object_get(statement, "ct count") || json_object_get(statement, "quota"))
		return ANSWER_MAYBE;
	return ANSWER_YES;
}

static struct outcome walk_rule(struct walk *walk, const json_t *rule)
{
	size_t i;
	const json_t *statement;
	bool is_sure = true;
	json_array_foreach(json_object_get(rule, "expr"), i, statement)
	{
		const json_t *vmap = json_object_get(statement, "vmap");
		enum answer answer = judge_statement(walk, statement);
		if (answer == ANSWER_NO)
			return next;
		if (answer == ANSWER_MAYBE) {
			is_sure = false;
			continue;
		}
		if (json_object_get(statement, "match"))
			continue;
		if (!is_sure) {
			take_maybe(walk, statement);
			continue;
		}
		struct outcome outcome =
			vmap ? take_map(walk, vmap, rule) : take_verdict(walk, statement, rule);
		if (outcome.step != STEP_NEXT)
			return outcome;
	}
	return next;
}

static struct outcome walk_chain(struct walk *walk, const char *chain)
{
	struct outcome outcome = next;
	size_t i;
	const json_t *item;
	if (walk->depth == DEPTH_MAX) {
		walk->is_unsure = true;
		return next;
	}
	walk->depth++;
	json_array_foreach(walk->ruleset->items, i, item)
	{
		const json_t *rule = json_object_get(item, "rule");
		if (!rule || !is_of_table(rule, walk->base) || !is_text(rule, "chain", chain))
			continue;
		outcome = walk_rule(walk, rule);
		if (outcome.step != STEP_NEXT)
			break;
	}
	walk->depth--;
	return outcome;
}

static enum fate walk_base(struct walk *walk)
{
	const char *name = text_of(walk->base, "name");
	struct outcome outcome = walk_chain(walk, name);
	if (outcome.step == STEP_END)
		return outcome.fate;
	if (outcome.step == STEP_ACCEPT || walk->is_unsure ||
	    !is_text(walk->base, "policy", "drop"))
		return FATE_UNKNOWN;
	blame(walk, name, 0);
	return FATE_DROPPED;
}

static bool has_device(const json_t *chain, const char *device)
{
	const json_t *dev = json_object_get(chain, "dev");
	size_t i;
	const json_t *name;
	if (!dev || !device)
		return true;
	if (json_is_string(dev))
		return strcmp(json_string_value(dev), device) == 0;
	json_array_foreach(dev, i, name)
	{
		if (json_is_string(name) && strcmp(json_string_value(name), device) == 0)
			return true;
	}
	return false;
}

static bool sees(const json_t *chain, const struct ruleset_packet *packet, const char *hook)
{
	const struct ip_addr *addr = packet->daddr ? packet->daddr : packet->saddr;
	const char *own_family = ip_addr_is_v4(addr) ? "ip" : "ip6";
	bool is_ingress = strcmp(hook, "ingress") == 0;
	if (!is_text(chain, "hook", hook))
		return false;
	if (!is_text(chain, "family", "netdev") && !is_text(chain, "family", "inet") &&
	    !is_text(chain, "family", own_family))
		return false;
	return has_device(chain, is_ingress ? packet->in : packet->out) ||
	       (!is_ingress && strcmp(hook, "egress") != 0);
}

enum fate ruleset_judge(const struct ruleset *ruleset, const struct ruleset_packet *packet,
			const char *hook, struct ruleset_culprit *culprit)
{
	size_t i;
	const json_t *item;
	json_array_foreach(ruleset->items, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");
		if (!chain || !sees(chain, packet, hook))
			continue;
		struct walk walk = {
			.ruleset = ruleset,
			.packet = packet,
			.base = chain,
			.culprit = culprit,
		};
		enum fate fate = walk_base(&walk);
		if (fate != FATE_UNKNOWN)
			return fate;
	}
	return FATE_UNKNOWN;
}
