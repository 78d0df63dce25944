// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value_parts.h"

typedef int (*store_fn)(const struct value *value);

int value_reject(const struct value *value, const char *problem, const char *advice)
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

const struct schema_choice *value_find_choice(const struct value *value)
{
	const struct schema_choice *choice = value->key->choices;
	for (; choice && choice->name; choice++) {
		if (value->text && strcmp(value->text, choice->name) == 0)
			return choice;
	}
	return NULL;
}

// What stands behind the choice at hand decides what parts them.
void value_list_choices(const struct schema_choice *choice, const char *last, char *advice)
{
	size_t used = 0;
	advice[0] = '\0';
	for (; choice && choice->name && used < ADVICE_MAX; choice++) {
		bool is_end = !choice[1].name && !last;
		const char *part = used == 0 ? "" : is_end ? " or " : ", ";
		used += (size_t)snprintf(advice + used, ADVICE_MAX - used, "%s\"%s\"", part,
					 choice->name);
	}
	if (last && used < ADVICE_MAX)
		snprintf(advice + used, ADVICE_MAX - used, "%s%s", used > 0 ? " or " : "", last);
}

static int store_number(const struct value *value)
{
	const struct schema_key *key = value->key;
	const struct schema_choice *choice = value_find_choice(value);
	if (choice)
		return store_integer(value, choice->value);

	char range[ADVICE_MAX];
	char advice[ADVICE_MAX];
	snprintf(range, sizeof(range), "a whole number from %lld to %lld", (long long)key->min,
		 (long long)key->max);
	value_list_choices(key->choices, range, advice);
	bool looks_whole = value->text && node_plain_kind(value->text) == NODE_INTEGER;
	if (value->kind == NODE_FRACTION)
		return value_reject(value, "is not whole", advice);
	if (!looks_whole)
		return value_reject(value, "is not a number", advice);
	if (value->kind == NODE_STRING && !key->may_be_text)
		return value_reject(value, "is a string", "the number without quotes");
	errno = 0;
	int64_t number = strtoll(value->text, NULL, 10);
	if (errno != 0 || number < key->min || number > key->max)
		return value_reject(value, "is out of range", advice);
	return store_integer(value, number);
}

static int store_seconds(const struct value *value)
{
	char advice[ADVICE_MAX];
	double least = (double)value->key->min / 1000;
	double most = (double)value->key->max / 1000;
	snprintf(advice, sizeof(advice), "seconds from %.10g to %.10g, without quotes or a unit",
		 least, most);
	if (value->kind != NODE_INTEGER && value->kind != NODE_FRACTION)
		return value_reject(value, "is not a number", advice);
	double seconds = strtod(value->text, NULL);
	if (!(seconds >= least && seconds <= most))
		return value_reject(value, "is out of range", advice);
	return store_integer(value, (int64_t)(seconds * 1000 + 0.5));
}

static int store_share(const struct value *value)
{
	double share = -1;
	if (value->kind == NODE_INTEGER || value->kind == NODE_FRACTION)
		share = strtod(value->text, NULL);
	if (!(share >= 0 && share <= 1))
		return value_reject(value, "is not a share", "a number from 0 to 1, such as 0.25");
	return store_integer(value, (int64_t)(share * 1000 + 0.5));
}

static int store_flag(const struct value *value)
{
	if (value->kind != NODE_FLAG)
		return value_reject(value, "is neither true nor false",
				    "true or false, without quotes");
	bool flag = value->text[0] == 't' || value->text[0] == 'T';
	memcpy(value->field, &flag, sizeof(flag));
	return 0;
}

static int store_choice(const struct value *value)
{
	char advice[ADVICE_MAX];
	const struct schema_choice *choice = value_find_choice(value);
	if (choice)
		return store_integer(value, choice->value);
	value_list_choices(value->key->choices, NULL, advice);
	return value_reject(value, "is not known", advice);
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
		return value_reject(value, "is not a range of ports", advice);
	if (min < key->min || max < key->min || min > key->max || max > key->max)
		return value_reject(value, "is out of range", advice);
	if (min > max)
		return value_reject(value, "ends before it begins", advice);
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

static int store_copy(const struct value *value)
{
	char *copy = strdup(value->text);
	if (!copy)
		return -ENOMEM;
	memcpy(value->field, &copy, sizeof(copy));
	return 0;
}

static int store_link(const struct value *value)
{
	if (!value->text || !is_link_name(value->text))
		return value_reject(value, "is not the name of a network interface",
				    "a name that `ip link` lists");
	return store_copy(value);
}

// Whether there is one is found out when it matters.
static int store_user(const struct value *value)
{
	if (!value->text || value->text[0] == '\0' || value->kind == NODE_EMPTY)
		return value_reject(value, "is not a name", "the name of a user");
	return store_copy(value);
}

static int store_reference(const struct value *value)
{
	if (!value->text || value->kind == NODE_EMPTY)
		return value_reject(value, "is not a name", "the name of a table");
	return 0;
}

static int store(const struct value *value)
{
	static const store_fn stores[] = {
		[SCHEMA_NUMBER] = store_number,
		[SCHEMA_SECONDS] = store_seconds,
		[SCHEMA_SHARE] = store_share,
		[SCHEMA_FLAG] = store_flag,
		[SCHEMA_CHOICE] = store_choice,
		[SCHEMA_ADDR] = value_store_addr,
		[SCHEMA_ENDPOINT] = value_store_endpoint,
		[SCHEMA_BACKEND_ADDR] = value_store_backend_addr,
		[SCHEMA_NETWORK] = value_store_network,
		[SCHEMA_PORT_RANGE] = store_port_range,
		[SCHEMA_TEXT] = value_store_text,
		[SCHEMA_OCTETS] = value_store_octets,
		[SCHEMA_STATUS] = value_store_status,
		[SCHEMA_LINK] = store_link,
		[SCHEMA_TOKEN] = value_store_token,
		[SCHEMA_PATH] = value_store_path,
		[SCHEMA_USER] = store_user,
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
