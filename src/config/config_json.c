// SPDX-License-Identifier: Apache-2.0
// The schema led the way from the file to the struct (walk.c), and leads back here.
#include "culvert/config/config_json.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/key_json.h"

enum { MS_PER_S = 1000, V4_PREFIX_BITS = 96 };

// The value at `field` of the struct at `base`.
typedef json_t *(*show_fn)(const struct schema_key *key, const void *base, const void *field);

static json_t *table_to_json(const struct schema_table *table, const void *base);

// Unsigned, but for sentinels, which are choices.
static uint32_t read_integer(const struct schema_key *key, const void *field)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	switch (key->size) {
	case sizeof(u8):
		memcpy(&u8, field, sizeof(u8));
		return u8;
	case sizeof(u16):
		memcpy(&u16, field, sizeof(u16));
		return u16;
	default:
		memcpy(&u32, field, sizeof(u32));
		return u32;
	}
}

static json_t *show_number(const struct schema_key *key, const void *base, const void *field)
{
	(void)base;
	uint32_t number = read_integer(key, field);
	const struct schema_choice *choice = key->choices;
	for (; choice && choice->name; choice++) {
		if ((uint32_t)choice->value == number)
			return json_string(choice->name);
	}
	return json_integer(number);
}

static json_t *show_seconds(const struct schema_key *key, const void *base, const void *field)
{
	(void)base;
	uint32_t ms = read_integer(key, field);
	return ms % MS_PER_S ? json_real((double)ms / MS_PER_S) : json_integer(ms / MS_PER_S);
}

static json_t *show_flag(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)base;
	return json_boolean(*(const bool *)field);
}

static json_t *show_addr(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)base;
	char text[IP_ADDR_TEXT_MAX];
	return json_string(ip_addr_format(field, text));
}

static json_t *show_endpoint(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)base;
	char text[ENDPOINT_TEXT_MAX];
	return json_string(endpoint_format(field, text));
}

static json_t *show_backend_addr(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)field;
	char text[CONFIG_BACKEND_TEXT_MAX];
	return json_string(config_backend_format(base, text));
}

static json_t *show_network(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)base;
	const struct ip_network *network = field;
	char text[IP_ADDR_TEXT_MAX];
	int bits = network->prefix_len;
	if (ip_addr_is_v4(&network->addr))
		bits -= V4_PREFIX_BITS;
	return json_sprintf("%s/%d", ip_addr_format(&network->addr, text), bits);
}

static json_t *show_port_range(const struct schema_key *key, const void *base, const void *field)
{
	uint16_t first;
	uint16_t last;
	memcpy(&first, field, sizeof(first));
	memcpy(&last, (const char *)base + key->offset2, sizeof(last));
	return json_sprintf("%u-%u", first, last);
}

// A string that is not there is the choice that says so.
static json_t *show_text(const struct schema_key *key, const void *base, const void *field)
{
	(void)base;
	const char *text;
	memcpy(&text, field, sizeof(text));
	if (!text && key->choices)
		text = key->choices->name;
	return text ? json_string(text) : json_null();
}

static bool is_printable(const struct config_octets *octets)
{
	for (size_t i = 0; i < octets->n; i++) {
		if (octets->bytes[i] < ' ' || octets->bytes[i] > '~')
			return false;
	}
	return octets->n < 4 || memcmp(octets->bytes, "hex:", 4) != 0;
}

// As a file would say them.
static json_t *show_octets(const struct schema_key *key, const void *base, const void *field)
{
	(void)base;
	const struct config_octets *octets = field;
	if (!octets->bytes)
		return json_null();
	if (is_printable(octets))
		return json_stringn((const char *)octets->bytes, octets->n);
	size_t size = sizeof("hex:") + 2 * (size_t)key->max;
	char *text = malloc(size);
	size_t used = text ? (size_t)snprintf(text, size, "hex:") : 0;
	for (size_t i = 0; text && i < octets->n; i++)
		used += (size_t)snprintf(text + used, size - used, "%02x", octets->bytes[i]);
	json_t *shown = text ? json_stringn(text, used) : NULL;
	free(text);
	return shown;
}

static json_t *show_status(const struct schema_key *key, const void *base, const void *field)
{
	(void)key;
	(void)base;
	const struct config_status_range *range = field;
	if (range->first == range->last)
		return json_sprintf("%u", range->first);
	return json_sprintf("%u-%u", range->first, range->last);
}

// No default: the compiler tells when there is a kind that this does not know.
static show_fn show_of(enum schema_kind kind)
{
	switch (kind) {
	case SCHEMA_NUMBER:
	case SCHEMA_CHOICE:
		return show_number;
	case SCHEMA_SECONDS:
	case SCHEMA_SHARE: // in thousandths, as those
		return show_seconds;
	case SCHEMA_FLAG:
		return show_flag;
	case SCHEMA_ADDR:
		return show_addr;
	case SCHEMA_ENDPOINT:
		return show_endpoint;
	case SCHEMA_BACKEND_ADDR:
		return show_backend_addr;
	case SCHEMA_NETWORK:
		return show_network;
	case SCHEMA_PORT_RANGE:
		return show_port_range;
	case SCHEMA_OCTETS:
		return show_octets;
	case SCHEMA_STATUS:
		return show_status;
	case SCHEMA_TEXT:
	case SCHEMA_LINK:
	case SCHEMA_TOKEN:
	case SCHEMA_PATH:
	case SCHEMA_USER:
		return show_text;
	case SCHEMA_REFERENCE:
	case SCHEMA_TABLE:
	case SCHEMA_NAMED:
		break;
	}
	return NULL;
}

static json_t *value_to_json(const struct schema_key *key, const void *base, const void *field)
{
	show_fn show = show_of(key->kind);
	return show ? show(key, base, field) : json_null();
}

static const char *array_of(const struct schema_key *key, const void *base, size_t *n)
{
	const char *items;
	memcpy(&items, (const char *)base + key->offset, sizeof(items));
	memcpy(n, (const char *)base + key->offset2, sizeof(*n));
	return items;
}

static json_t *list_to_json(const struct schema_key *key, const void *base)
{
	size_t n;
	const char *items = array_of(key, base, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, value_to_json(key, base, items + i * key->size));
	return list;
}

static json_t *named_to_json(const struct schema_key *key, const void *base)
{
	size_t n;
	const char *items = array_of(key, base, &n);
	json_t *object = json_object();
	for (size_t i = 0; i < n; i++) {
		const char *name;
		const char *item = items + i * key->size;
		memcpy(&name, item + key->table->name_offset, sizeof(name));
		json_object_set_new(object, name, table_to_json(key->table, item));
	}
	return object;
}

json_t *config_key_to_json(const struct schema_key *key, const void *base)
{
	if (key->kind == SCHEMA_TABLE)
		return table_to_json(key->table, base);
	if (key->kind == SCHEMA_NAMED)
		return named_to_json(key, base);
	if (key->is_list)
		return list_to_json(key, base);
	return value_to_json(key, base, (const char *)base + key->offset);
}

static json_t *table_to_json(const struct schema_table *table, const void *base)
{
	json_t *object = json_object();
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct schema_key *key = &table->keys[i];
		if (key->kind != SCHEMA_REFERENCE && !key->is_secret)
			json_object_set_new(object, key->name, config_key_to_json(key, base));
	}
	return object;
}

// The one reference there is was stored as an index.
static void add_references(json_t *frontends, const struct config *config)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		json_object_set_new(json_object_get(frontends, frontend->name), "backend",
				    json_string(config->pools[frontend->pool].name));
	}
}

json_t *config_to_json(const struct config *config)
{
	json_t *root = table_to_json(&schema_root, config);
	add_references(json_object_get(root, "frontends"), config);
	return root;
}
