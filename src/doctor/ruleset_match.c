// SPDX-License-Identifier: Apache-2.0
#include "doctor/ruleset_match.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { V4_PREFIX_START = 96 };

// What the left side of a comparison is for the packet.
struct value {
	enum { VALUE_UNKNOWN, VALUE_NEVER, VALUE_NUMBER, VALUE_TEXT, VALUE_ADDR } kind;
	long number;
	const char *text;
	const struct ip_addr *addr;
};

static const struct value unknown = {.kind = VALUE_UNKNOWN};
static const struct value never = {.kind = VALUE_NEVER}; // the packet has no such thing

static enum answer answer_of(bool is_true)
{
	return is_true ? ANSWER_YES : ANSWER_NO;
}

// ---- the packet's side -------------------------------------------------------------------------

static struct value number_value(int number)
{
	if (number == PORT_UNKNOWN)
		return unknown;
	return (struct value){.kind = VALUE_NUMBER, .number = number};
}

static struct value text_value(const char *text)
{
	return text ? (struct value){.kind = VALUE_TEXT, .text = text} : unknown;
}

static struct value addr_value(const struct ip_addr *addr)
{
	return addr ? (struct value){.kind = VALUE_ADDR, .addr = addr} : unknown;
}

static bool is_v4(const struct ruleset_packet *packet)
{
	return ip_addr_is_v4(packet->daddr ? packet->daddr : packet->saddr);
}

static const char *proto_name(const struct ruleset_packet *packet)
{
	return packet->proto == IPPROTO_TCP ? "tcp" : "udp";
}

static struct value network_field(const struct ruleset_packet *packet, const char *field)
{
	if (strcmp(field, "saddr") == 0)
		return addr_value(packet->saddr);
	if (strcmp(field, "daddr") == 0)
		return addr_value(packet->daddr);
	if (strcmp(field, "protocol") == 0 || strcmp(field, "nexthdr") == 0)
		return text_value(proto_name(packet));
	return unknown;
}

static struct value transport_field(const struct ruleset_packet *packet, const char *field)
{
	if (strcmp(field, "sport") == 0)
		return number_value(packet->sport);
	if (strcmp(field, "dport") == 0)
		return number_value(packet->dport);
	return unknown;
}

static struct value payload_value(const struct ruleset_packet *packet, const json_t *payload)
{
	const char *protocol = json_string_value(json_object_get(payload, "protocol"));
	const char *field = json_string_value(json_object_get(payload, "field"));
	if (!protocol || !field)
		return unknown;
	if (strcmp(protocol, "ip") == 0 || strcmp(protocol, "ip6") == 0)
		return (strcmp(protocol, "ip") == 0) == is_v4(packet) ? network_field(packet, field)
								      : never;
	if (strcmp(protocol, "th") == 0 || strcmp(protocol, proto_name(packet)) == 0)
		return transport_field(packet, field);
	if (strcmp(protocol, "ether") == 0 || strcmp(protocol, "vlan") == 0)
		return unknown;
	return never; // another protocol's header
}

static struct value meta_value(const struct ruleset_packet *packet, const char *key)
{
	if (!key)
		return unknown;
	if (strcmp(key, "l4proto") == 0)
		return text_value(proto_name(packet));
	if (strcmp(key, "nfproto") == 0)
		return text_value(is_v4(packet) ? "ipv4" : "ipv6");
	if (strcmp(key, "protocol") == 0)
		return text_value(is_v4(packet) ? "ip" : "ip6");
	if (strcmp(key, "iif") == 0 || strcmp(key, "iifname") == 0)
		return text_value(packet->in);
	if (strcmp(key, "oif") == 0 || strcmp(key, "oifname") == 0)
		return text_value(packet->out);
	return unknown;
}

static struct value left_value(const struct ruleset_packet *packet, const json_t *left)
{
	const json_t *payload = json_object_get(left, "payload");
	const json_t *meta = json_object_get(left, "meta");
	const json_t *ct = json_object_get(left, "ct");
	const char *key = json_string_value(json_object_get(ct, "key"));
	if (payload)
		return payload_value(packet, payload);
	if (meta)
		return meta_value(packet, json_string_value(json_object_get(meta, "key")));
	if (key && strcmp(key, "state") == 0)
		return text_value(packet->state);
	return unknown;
}

// ---- the rule's side ---------------------------------------------------------------------------

// "eth*" stands for every name that begins so.
static enum answer equals_text(const char *text, const char *right)
{
	size_t length = strlen(right);
	if (length && right[length - 1] == '*')
		return answer_of(strncmp(text, right, length - 1) == 0);
	return answer_of(strcmp(text, right) == 0);
}

static enum answer equals_addr(const struct ip_addr *addr, const char *right)
{
	struct ip_addr other;
	return ip_addr_parse(right, &other) ? answer_of(ip_addr_equal(addr, &other)) : ANSWER_MAYBE;
}

static enum answer equals_number(const struct value *value, long number)
{
	if (value->kind == VALUE_NUMBER)
		return answer_of(value->number == number);
	if (value->kind == VALUE_TEXT && (number == IPPROTO_TCP || number == IPPROTO_UDP))
		return equals_text(value->text, number == IPPROTO_TCP ? "tcp" : "udp");
	return ANSWER_MAYBE;
}

static enum answer equals_string(const struct value *value, const char *right)
{
	if (value->kind == VALUE_ADDR)
		return equals_addr(value->addr, right);
	return value->kind == VALUE_TEXT ? equals_text(value->text, right) : ANSWER_MAYBE;
}

static enum answer is_in_prefix(const struct value *value, const json_t *prefix)
{
	struct ip_network network;
	const char *text = json_string_value(json_object_get(prefix, "addr"));
	json_int_t length = json_integer_value(json_object_get(prefix, "len"));
	if (value->kind != VALUE_ADDR || !text || !ip_addr_parse(text, &network.addr))
		return ANSWER_MAYBE;
	if (ip_addr_is_v4(&network.addr))
		length += V4_PREFIX_START;
	network.prefix_len = (uint8_t)length;
	return answer_of(ip_network_contains(&network, value->addr));
}

static enum answer is_in_range(const struct value *value, const json_t *range)
{
	const json_t *low = json_array_get(range, 0);
	const json_t *high = json_array_get(range, 1);
	struct ip_addr first;
	struct ip_addr last;
	if (value->kind == VALUE_NUMBER && json_is_integer(low) && json_is_integer(high))
		return answer_of(value->number >= json_integer_value(low) &&
				 value->number <= json_integer_value(high));
	if (value->kind == VALUE_ADDR && json_is_string(low) && json_is_string(high) &&
	    ip_addr_parse(json_string_value(low), &first) &&
	    ip_addr_parse(json_string_value(high), &last))
		return answer_of(memcmp(value->addr, &first, sizeof(first)) >= 0 &&
				 memcmp(value->addr, &last, sizeof(last)) <= 0);
	return ANSWER_MAYBE;
}

// A value that is no list.
static enum answer equals_one(const struct value *value, const json_t *right)
{
	const json_t *prefix = json_object_get(right, "prefix");
	const json_t *range = json_object_get(right, "range");
	if (prefix)
		return is_in_prefix(value, prefix);
	if (range)
		return is_in_range(value, range);
	if (json_is_integer(right))
		return equals_number(value, (long)json_integer_value(right));
	if (json_is_string(right))
		return equals_string(value, json_string_value(right));
	return ANSWER_MAYBE;
}

// Elements with a counter or a timeout are wrapped.
static const json_t *unwrap(const json_t *element)
{
	const json_t *wrapped = json_object_get(json_object_get(element, "elem"), "val");
	return wrapped ? wrapped : element;
}

static enum answer equals_any(const struct value *value, const json_t *list)
{
	enum answer best = ANSWER_NO;
	size_t i;
	const json_t *element;
	json_array_foreach(list, i, element)
	{
		enum answer answer = equals_one(value, unwrap(element));
		if (answer > best)
			best = answer;
	}
	return best;
}

enum answer ruleset_compare(const struct match_context *context, const json_t *left,
			    const json_t *right)
{
	struct value value = left_value(context->packet, left);
	const char *text = json_string_value(right);
	const json_t *list = json_is_array(right) ? right : json_object_get(right, "set");
	if (value.kind == VALUE_NEVER)
		return ANSWER_NO;
	if (text && text[0] == '@') {
		list = context->find_set(context->arg, text + 1);
		if (!list)
			return ANSWER_MAYBE;
	}
	if (value.kind == VALUE_UNKNOWN)
		return list && json_array_size(list) == 0 ? ANSWER_NO : ANSWER_MAYBE;
	return list ? equals_any(&value, list) : equals_one(&value, right);
}

enum answer ruleset_match(const struct match_context *context, const json_t *match)
{
	const char *op = json_string_value(json_object_get(match, "op"));
	const json_t *left = json_object_get(match, "left");
	const json_t *right = json_object_get(match, "right");
	if (!op || !left || !right)
		return ANSWER_MAYBE;
	if (left_value(context->packet, left).kind == VALUE_NEVER)
		return ANSWER_NO; // whatever is asked of it
	enum answer answer = ruleset_compare(context, left, right);
	if (strcmp(op, "==") == 0 || strcmp(op, "in") == 0)
		return answer;
	if (strcmp(op, "!=") != 0 || answer == ANSWER_MAYBE)
		return ANSWER_MAYBE;
	return answer == ANSWER_YES ? ANSWER_NO : ANSWER_YES;
}
