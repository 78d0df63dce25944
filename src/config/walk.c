// SPDX-License-Identifier: Apache-2.0
// One walk over the document, led by the schema. Depth is that of the schema, so that a cycle of
// YAML aliases ends; breadth has a budget, since aliases can repeat a large table many times.
#include "config/walk.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/document.h"
#include "config/node.h"
#include "config/schema.h"
#include "config/scope.h"
#include "config/value.h"

struct walk {
	yaml_document_t *document;
	struct report *report;
	size_t n_visited; // keys and list items so far
};

static int walk_table(struct walk *walk, const struct schema_table *schema, const yaml_node_t *node,
		      const struct scope *scope);

static bool is_budget_spent(struct walk *walk, struct position at)
{
	walk->n_visited++;
	if (walk->n_visited == DOCUMENT_MAX_NODES)
		report_add(walk->report, at, "aliases repeat too many values; write fewer");
	return walk->n_visited >= DOCUMENT_MAX_NODES;
}

static int fill_defaults(const struct schema_table *schema, void *base, struct report *report)
{
	for (size_t i = 0; i < schema->n_keys; i++) {
		const struct schema_key *key = &schema->keys[i];
		int code = key->kind == SCHEMA_TABLE ? fill_defaults(key->table, base, report)
						     : value_store_fallback(key, base, report);
		if (code != 0)
			return code;
	}
	return 0;
}

// Room for one more element of the array that `key` describes: zeroed and counted, or NULL.
static void *array_add(const struct schema_key *key, void *base)
{
	void *items;
	size_t count;
	char *items_field = (char *)base + key->offset;
	char *count_field = (char *)base + key->offset2;
	memcpy(&items, items_field, sizeof(items));
	memcpy(&count, count_field, sizeof(count));
	if ((count & (count - 1)) == 0) { // full at every power of two
		items = reallocarray(items, count > 0 ? count * 2 : 1, key->size);
		if (!items)
			return NULL;
		memcpy(items_field, &items, sizeof(items));
	}
	void *added = (char *)items + count * key->size;
	memset(added, 0, key->size);
	count++;
	memcpy(count_field, &count, sizeof(count));
	return added;
}

static size_t array_count(const struct schema_key *key, const void *base)
{
	size_t count;
	memcpy(&count, (const char *)base + key->offset2, sizeof(count));
	return count;
}

static void array_drop_last(const struct schema_key *key, void *base)
{
	size_t count = array_count(key, base) - 1;
	memcpy((char *)base + key->offset2, &count, sizeof(count));
}

static bool is_array_full(struct walk *walk, const struct schema_key *key, const void *base,
			  struct position at)
{
	if (array_count(key, base) < (size_t)key->max)
		return false;
	report_add(walk->report, at, "%s: more than %lld; take some out", key->name,
		   (long long)key->max);
	return true;
}

static int walk_item(struct walk *walk, const struct schema_key *key, const yaml_node_t *item,
		     const struct scope *scope)
{
	void *field = array_add(key, scope->base);
	if (!field)
		return -ENOMEM;
	int code = value_store(key, item, scope->base, field, walk->report);
	if (code != 0)
		array_drop_last(key, scope->base);
	return code == -ENOMEM ? code : 0;
}

static int walk_list(struct walk *walk, const struct schema_key *key, const yaml_node_t *node,
		     const struct scope *scope)
{
	if (key->may_be_single && node->type == YAML_SCALAR_NODE)
		return walk_item(walk, key, node, scope);
	if (node->type != YAML_SEQUENCE_NODE) {
		report_add(walk->report, node_position(node),
			   "%s: this is %s; write a list, as in [\"...\"]", key->name,
			   node_kind_name(node_kind(node)));
		return 0;
	}
	size_t n_items = list_size(node);
	for (size_t i = 0; i < n_items; i++) {
		const yaml_node_t *item = list_item(walk->document, node, i);
		struct position at = node_position(item);
		if (is_array_full(walk, key, scope->base, at) || is_budget_spent(walk, at))
			return 0;
		int code = walk_item(walk, key, item, scope);
		if (code != 0)
			return code;
	}
	return 0;
}

// Names go into logs, statistics and the command line.
static void check_name(struct walk *walk, const yaml_node_t *name)
{
	const char *text = node_text(name);
	char quoted[REPORT_QUOTE_MAX];
	const char *problem = NULL;
	size_t length = name->data.scalar.length;
	if (length == 0)
		problem = "is empty";
	else if (length > CONFIG_NAME_MAX_BYTES)
		problem = "is too long";
	for (size_t i = 0; i < length && !problem; i++) {
		if (text[i] < ' ' || text[i] > '~')
			problem = "has a character that is not printable ASCII";
	}
	if (problem)
		report_add(walk->report, node_position(name),
			   "the name \"%s\" %s; use 1 to %d letters, digits and signs",
			   node_quote(name, quoted), problem, CONFIG_NAME_MAX_BYTES);
}

static int walk_entry(struct walk *walk, const struct schema_key *key, struct entry entry,
		      const struct scope *scope)
{
	check_name(walk, entry.key);
	void *item = array_add(key, scope->base);
	char *name = strndup(node_text(entry.key), CONFIG_NAME_MAX_BYTES);
	if (item && name)
		memcpy((char *)item + key->table->name_offset, &name, sizeof(name));
	if (!item || !name) {
		if (!item)
			free(name);
		return -ENOMEM;
	}
	int code = fill_defaults(key->table, item, walk->report);
	if (code != 0)
		return code;
	struct scope inner = {scope, name, node_position(entry.key), item};
	return walk_table(walk, key->table, entry.value, &inner);
}

static int walk_named(struct walk *walk, const struct schema_key *key, const yaml_node_t *node,
		      const struct scope *scope)
{
	if (node->type != YAML_MAPPING_NODE) {
		report_add(walk->report, node_position(node),
			   "%s: this is %s; write a table of names, one section for each",
			   key->name, node_kind_name(node_kind(node)));
		return 0;
	}
	struct scope inner = {scope, key->name, node_position(node), scope->base};
	size_t n_entries = table_size(node);
	for (size_t i = 0; i < n_entries; i++) {
		struct entry entry = table_entry(walk->document, node, i);
		struct position at = node_position(entry.key);
		if (is_array_full(walk, key, scope->base, at) || is_budget_spent(walk, at))
			return 0;
		int code = walk_entry(walk, key, entry, &inner);
		if (code != 0)
			return code;
	}
	return 0;
}

static int walk_key(struct walk *walk, const struct schema_key *key, struct entry entry,
		    const struct scope *scope)
{
	if (key->kind == SCHEMA_NAMED)
		return walk_named(walk, key, entry.value, scope);
	if (key->is_list)
		return walk_list(walk, key, entry.value, scope);
	if (key->kind == SCHEMA_TABLE) {
		struct scope inner = {scope, key->name, node_position(entry.key), scope->base};
		return walk_table(walk, key->table, entry.value, &inner);
	}
	int code = value_store(key, entry.value, scope->base, (char *)scope->base + key->offset,
			       walk->report);
	return code == -ENOMEM ? code : 0;
}

static int walk_table(struct walk *walk, const struct schema_table *schema, const yaml_node_t *node,
		      const struct scope *scope)
{
	bool is_table = node->type == YAML_MAPPING_NODE;
	if (!is_table && node_kind(node) != NODE_EMPTY) {
		report_add(walk->report, node_position(node),
			   "%s: this is %s; write a section with keys", scope->name,
			   node_kind_name(node_kind(node)));
		return 0;
	}
	uint64_t seen = 0; // one bit for each key of the schema
	size_t n_entries = is_table ? table_size(node) : 0;
	for (size_t i = 0; i < n_entries; i++) {
		struct entry entry = table_entry(walk->document, node, i);
		if (is_budget_spent(walk, node_position(entry.key)))
			return 0;
		const struct schema_key *key = schema_find(schema, node_text(entry.key));
		if (!key) {
			scope_report_unknown(scope, schema, entry.key, walk->report);
			continue;
		}
		uint64_t bit = UINT64_C(1) << (key - schema->keys);
		int code = seen & bit ? 0 : walk_key(walk, key, entry, scope);
		if (code != 0)
			return code;
		seen |= bit;
	}
	for (size_t i = 0; i < schema->n_keys; i++) {
		if (schema->keys[i].is_required && !(seen & (UINT64_C(1) << i)))
			scope_report_missing(scope, &schema->keys[i], walk->report);
	}
	return 0;
}

int config_walk(yaml_document_t *document, struct config *config, struct report *report)
{
	struct walk walk = {.document = document, .report = report};
	struct scope root = {.at = {1, 1}, .base = config};
	int code = fill_defaults(&schema_root, config, report);
	if (code != 0)
		return code;
	return walk_table(&walk, &schema_root, yaml_document_get_root_node(document), &root);
}
