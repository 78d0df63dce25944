// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/config/config.h"

// One value on its way to its field.
struct value {
	const struct schema_key *key;
	const char *text; // NULL: a list or a table
	enum node_kind kind;
	void *base;
	void *field;
	struct position at;
	struct report *report;
};

typedef int (*store_fn)(const struct value *value);

enum { ADVICE_MAX = 160 };

static int reject(const struct value *value, const char *problem, const char *advice)
{
	if (value->kind == NODE_EMPTY) {
		report_add(value->report, value->at, "%s has no value; write %s", value->key->name,
			   advice);
		return -EINVAL;
	}
	char quoted[REPORT_QUOTE_MAX];
	const char *shown = node_kind_name(value->kind);
	const char *mark = "";
	if (value->text) {
		shown = report_quote(value->text, strlen(value->text), quoted);
		mark = value->kind == NODE_STRING ? "\"" : "";
	}
	report_add(value->report, value->at, "%s: %s%s%s %s; write %s", value->key->name, mark,
		   shown, mark, problem, advice);
	return -EINVAL;
}

// Integers of every width, and enums.
static int store_integer(const struct value *value, int64_t number)
{
	uint8_t u8 = (uint8_t)number;
	uint16_t u16 = (uint16_t)number;
	uint32_t u32 = (uint32_t)number;
	switch (value->key->size) {
	case sizeof(u8):
		memcpy(value->field, &u8, sizeof(u8));
		break;
	case sizeof(u16):
		memcpy(value->field, &u16, sizeof(u16));
		break;
	default:
		memcpy(value->field, &u32, sizeof(u32));
		break;
	}
	return 0;
}

static const struct schema_choice *find_choice(const struct value *value)
{
	const struct schema_choice *choice = value->key->choices;
	for (; choice && choice->name; choice++) {
		if (value->text && strcmp(value->text, choice->name) == 0)
			return choice;
	}
	return NULL;
}

// `"a", "b" or "c"`; the number of choices behind the one at hand decides what parts them.
static size_t list_choices(const struct schema_choice *choice, char *advice)
{
	size_t used = 0;
	advice[0] = '\0';
	for (; choice && choice->name && used < ADVICE_MAX; choice++) {
		const char *part = used == 0 ? "" : choice[1].name ? ", " : " or ";
		used += (size_t)snprintf(advice + used, ADVICE_MAX - used, "%s\"%s\"", part,
					 choice->name);
	}
	return used;
}

static int store_number(const struct value *value)
{
	const struct schema_key *key = value->key;
	const struct schema_choice *choice = find_choice(value);
	if (choice)
		return store_integer(value, choice->value);

	char advice[ADVICE_MAX];
	size_t used = list_choices(key->choices, advice);
	snprintf(advice + used, sizeof(advice) - used, "%sa whole number from %lld to %lld",
		 used > 0 ? " or " : "", (long long)key->min, (long long)key->max);
	bool looks_whole = value->text && node_plain_kind(value->text) == NODE_INTEGER;
	if (value->kind == NODE_FRACTION)
		return reject(value, "is not whole", advice);
	if (!looks_whole)
		return reject(value, "is not a number", advice);
	if (value->kind == NODE_STRING && !key->may_be_text)
		return reject(value, "is a string", "the number without quotes");
	errno = 0;
	int64_t number = strtoll(value->text, NULL, 10);
	if (errno != 0 || number < key->min || number > key->max)
		return reject(value, "is out of range", advice);
	return store_integer(value, number);
}

static int store_seconds(const struct value *value)
{
	char advice[ADVICE_MAX];
	double least = (double)value->key->min / 1000;
	double most = (double)value->key->max / 1000;
	snprintf(advice, sizeof(advice), "seconds from %g to %g, without quotes or a unit", least,
		 most);
	if (value->kind != NODE_INTEGER && value->kind != NODE_FRACTION)
		return reject(value, "is not a number", advice);
	double seconds = strtod(value->text, NULL);
	if (!(seconds >= least && seconds <= most))
		return reject(value, "is out of range", advice);
	return store_integer(value, (int64_t)(seconds * 1000 + 0.5));
}

static int store_flag(const struct value *value)
{
	if (value->kind != NODE_FLAG)
		return reject(value, "is neither true nor false", "true or false, without quotes");
	bool flag = value->text[0] == 't' || value->text[0] == 'T';
	memcpy(value->field, &flag, sizeof(flag));
	return 0;
}

static int store_choice(const struct value *value)
{
	char advice[ADVICE_MAX];
	const struct schema_choice *choice = find_choice(value);
	if (choice)
		return store_integer(value, choice->value);
	list_choices(value->key->choices, advice);
	return reject(value, "is not known", advice);
}

static int store_addr(const struct value *value)
{
	struct ip_addr addr;
	if (!value->text || !ip_addr_parse(value->text, &addr))
		return reject(value, "is not an address",
			      "an IPv4 or IPv6 address, for example \"192.0.2.1\"");
	memcpy(value->field, &addr, sizeof(addr));
	return 0;
}

// An address with a bad port, or with something else behind it?
static bool has_address_before_port(const char *text)
{
	char host[IP_ADDR_TEXT_MAX];
	struct ip_addr addr;
	const char *end = strrchr(text, ':');
	bool is_bracketed = text[0] == '[';
	if (is_bracketed && end && end > text && end[-1] == ']') {
		text++;
		end--;
	}
	if (!end || (size_t)(end - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return ip_addr_parse(host, &addr);
}

static int reject_endpoint(const struct value *value)
{
	struct ip_addr addr;
	if (value->text && ip_addr_parse(value->text, &addr))
		return reject(value, "has no port",
			      strchr(value->text, ':') ? "[ADDRESS]:PORT" : "ADDRESS:PORT");
	if (value->text && has_address_before_port(value->text))
		return reject(value, "has a bad port", "a port from 1 to 65535 behind the address");
	return reject(value, "is not an address",
		      "ADDRESS:PORT, for example \"192.0.2.10:80\" or \"[2001:db8::10]:80\"");
}

static int store_endpoint(const struct value *value)
{
	struct endpoint parsed;
	if (!value->text || !endpoint_parse(value->text, &parsed))
		return reject_endpoint(value);
	struct endpoint *endpoint = value->field;
	endpoint->addr = parsed.addr;
	endpoint->port_be = parsed.port_be;
	return 0;
}

// Digits up to `end`: a port, or more than any port can be.
static bool parse_port(const char *text, const char *end, int64_t *port)
{
	int64_t number = 0;
	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (number <= UINT16_MAX)
			number = number * 10 + (*text - '0');
	}
	*port = number;
	return true;
}

static int store_port_range(const struct value *value)
{
	const struct schema_key *key = value->key;
	char advice[ADVICE_MAX];
	int64_t min;
	int64_t max;
	snprintf(advice, sizeof(advice), "FIRST-LAST from %lld to %lld, for example \"%s\"",
		 (long long)key->min, (long long)key->max, key->fallback);
	const char *text = value->text ? value->text : "";
	const char *dash = strchr(text, '-');
	if (!dash || !parse_port(text, dash, &min) ||
	    !parse_port(dash + 1, dash + strlen(dash), &max))
		return reject(value, "is not a range of ports", advice);
	if (min < key->min || max < key->min || min > key->max || max > key->max)
		return reject(value, "is out of range", advice);
	if (min > max)
		return reject(value, "ends before it begins", advice);
	uint16_t first = (uint16_t)min;
	uint16_t last = (uint16_t)max;
	memcpy(value->field, &first, sizeof(first));
	memcpy((char *)value->base + key->offset2, &last, sizeof(last));
	return 0;
}

// What the kernel takes as the name of a network device.
static bool is_link_name(const char *text)
{
	size_t length = strlen(text);
	if (length == 0 || length >= IFNAMSIZ || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	for (; *text; text++) {
		if (*text <= ' ' || *text == 0x7f || *text == '/' || *text == ':')
			return false;
	}
	return true;
}

static int store_link(const struct value *value)
{
	if (!value->text || !is_link_name(value->text))
		return reject(value, "is not the name of a network interface",
			      "a name that `ip link` lists");
	char *name = strdup(value->text);
	if (!name)
		return -ENOMEM;
	memcpy(value->field, &name, sizeof(name));
	return 0;
}

static int store_reference(const struct value *value)
{
	if (!value->text || value->kind == NODE_EMPTY)
		return reject(value, "is not a name", "the name of a table");
	return 0;
}

static int store(const struct value *value)
{
	static const store_fn stores[] = {
		[SCHEMA_NUMBER] = store_number,
		[SCHEMA_SECONDS] = store_seconds,
		[SCHEMA_FLAG] = store_flag,
		[SCHEMA_CHOICE] = store_choice,
		[SCHEMA_ADDR] = store_addr,
		[SCHEMA_ENDPOINT] = store_endpoint,
		[SCHEMA_PORT_RANGE] = store_port_range,
		[SCHEMA_LINK] = store_link,
		[SCHEMA_REFERENCE] = store_reference,
	};
	return stores[value->key->kind](value);
}

int value_store(const struct schema_key *key, const yaml_node_t *node, void *base, void *field,
		struct report *report)
{
	struct value value = {
		.key = key,
		.text = node->type == YAML_SCALAR_NODE ? node_text(node) : NULL,
		.kind = node_kind(node),
		.base = base,
		.field = field,
		.at = node_position(node),
		.report = report,
	};
	return store(&value);
}

int value_store_fallback(const struct schema_key *key, void *base, struct report *report)
{
	if (!key->fallback)
		return 0;
	struct value value = {
		.key = key,
		.text = key->fallback,
		.kind = node_plain_kind(key->fallback),
		.base = base,
		.field = (char *)base + key->offset,
		.report = report,
	};
	return store(&value);
}
