// SPDX-License-Identifier: Apache-2.0
#include "culvert/config/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/key_json.h"

enum { KEY_MAX = 64 };

// What is compared elsewhere: who has another address is another backend, and whoever knows what a
// name refers to compares that.
static bool is_compared(const struct schema_key *key)
{
	return key->kind != SCHEMA_BACKEND_ADDR && key->kind != SCHEMA_REFERENCE &&
	       key->kind != SCHEMA_NAMED;
}

// A string as it is, all else as JSON; what is secret is not shown.
static void format(const struct schema_key *key, const json_t *value, char *text)
{
	char *dumped = json_dumps(value, JSON_ENCODE_ANY);
	const char *shown = json_is_string(value) ? json_string_value(value) : dumped;
	snprintf(text, CONFIG_VALUE_MAX, "%s", key->is_secret ? "(secret)" : shown ? shown : "?");
	free(dumped);
}

// False when both have the same.
static bool differ(const struct schema_key *key, const void *a, const void *b, char *before,
		   char *after)
{
	if (!is_compared(key))
		return false;
	json_t *one = config_key_to_json(key, a);
	json_t *two = config_key_to_json(key, b);
	bool is_different = !json_equal(one, two);
	if (is_different) {
		format(key, one, before);
		format(key, two, after);
	}
	json_decref(one);
	json_decref(two);
	return is_different;
}

// ---- sections ----------------------------------------------------------------------------------

struct comparison {
	const struct config *before;
	const struct config *after;
	config_difference_fn on_difference;
	void *arg;
};

static void compare_key(const struct comparison *comparison, const char *section,
			const struct schema_key *key)
{
	char name[KEY_MAX];
	struct config_difference difference = {.key = name, .can_change = key->can_change};
	if (!differ(key, comparison->before, comparison->after, difference.before,
		    difference.after))
		return;
	snprintf(name, sizeof(name), "%s%s%s", section, section[0] ? "." : "", key->name);
	comparison->on_difference(comparison->arg, &difference);
}

static void compare_section(const struct comparison *comparison, const char *name,
			    const struct schema_table *section)
{
	for (size_t i = 0; i < section->n_keys; i++)
		compare_key(comparison, name, &section->keys[i]);
}

void config_compare_settings(const struct config *before, const struct config *after,
			     config_difference_fn on_difference, void *arg)
{
	const struct comparison comparison = {before, after, on_difference, arg};
	for (size_t i = 0; i < schema_root.n_keys; i++) {
		const struct schema_key *key = &schema_root.keys[i];
		if (key->kind == SCHEMA_TABLE)
			compare_section(&comparison, key->name, key->table);
		else
			compare_key(&comparison, "", key);
	}
}

// ---- entries -----------------------------------------------------------------------------------

static size_t add_change(char *text, size_t used, const char *name, const char *before,
			 const char *after)
{
	if (used >= CONFIG_CHANGES_MAX)
		return used;
	return used + (size_t)snprintf(text + used, CONFIG_CHANGES_MAX - used, "%s%s %s → %s",
				       used ? ", " : "", name, before, after);
}

static size_t compare_entries(const struct schema_table *table, const void *a, const void *b,
			      char *text)
{
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct schema_key *key = &table->keys[i];
		char before[CONFIG_VALUE_MAX];
		char after[CONFIG_VALUE_MAX];
		if (differ(key, a, b, before, after))
			used = add_change(text, used, key->name, before, after);
	}
	return used;
}

static const struct schema_table *table_of(const struct schema_table *in, const char *name)
{
	return schema_find(in, name)->table;
}

const char *config_compare_frontends(const struct config *before, const struct config_frontend *a,
				     const struct config *after, const struct config_frontend *b,
				     char *text)
{
	size_t used = compare_entries(table_of(&schema_root, "frontends"), a, b, text);
	const char *pool = before->pools[a->pool].name;
	const char *other = after->pools[b->pool].name;
	if (strcmp(a->name, b->name) != 0)
		used = add_change(text, used, "name", a->name, b->name);
	if (strcmp(pool, other) != 0)
		add_change(text, used, "backend", pool, other);
	return text;
}

const char *config_compare_pools(const struct config_pool *a, const struct config_pool *b,
				 char *text)
{
	compare_entries(table_of(&schema_root, "backends"), a, b, text);
	return text;
}

const char *config_compare_backends(const struct config_backend *a, const struct config_backend *b,
				    char *text)
{
	compare_entries(table_of(table_of(&schema_root, "backends"), "servers"), a, b, text);
	return text;
}
