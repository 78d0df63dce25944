// SPDX-License-Identifier: Apache-2.0
#include "config/node.h"

#include <string.h>

static const char *const kind_names[] = {
	[NODE_EMPTY] = "empty",       [NODE_FLAG] = "true or false", [NODE_INTEGER] = "a number",
	[NODE_FRACTION] = "a number", [NODE_STRING] = "a string",    [NODE_LIST] = "a list",
	[NODE_TABLE] = "a table",
};

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++) {
		if (strcmp(text, *words) == 0)
			return true;
	}
	return false;
}

static size_t count_digits(const char *text)
{
	return strspn(text, "0123456789");
}

// The number forms of YAML's core schema (YAML 1.2.2 section 10.3.2) in base ten; those of TOML
// have been brought into this shape.
static enum node_kind number_kind(const char *text)
{
	text += *text == '-' || *text == '+';
	size_t whole = count_digits(text);
	text += whole;
	if (whole > 0 && *text == '\0')
		return NODE_INTEGER;
	size_t fraction = 0;
	if (*text == '.') {
		fraction = count_digits(text + 1);
		text += 1 + fraction;
	}
	if (whole + fraction == 0)
		return NODE_STRING;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		size_t exponent = count_digits(text);
		text += exponent;
		if (exponent == 0)
			return NODE_STRING;
	}
	return *text == '\0' ? NODE_FRACTION : NODE_STRING;
}

enum node_kind node_plain_kind(const char *text)
{
	static const char *const empty[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const flags[] = {"true",  "True",  "TRUE", "false",
					    "False", "FALSE", NULL};
	if (is_one_of(text, empty))
		return NODE_EMPTY;
	if (is_one_of(text, flags))
		return NODE_FLAG;
	return number_kind(text);
}

enum node_kind node_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_MAPPING_NODE:
		return NODE_TABLE;
	case YAML_SEQUENCE_NODE:
		return NODE_LIST;
	case YAML_SCALAR_NODE:
		if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
			return NODE_STRING;
		return node_plain_kind(node_text(node));
	case YAML_NO_NODE:
		break;
	}
	return NODE_EMPTY;
}

const char *node_kind_name(enum node_kind kind)
{
	return kind_names[kind];
}

const char *node_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

const char *node_quote(const yaml_node_t *node, char *quoted)
{
	if (node->type != YAML_SCALAR_NODE) {
		const char *name = node_kind_name(node_kind(node));
		return report_quote(name, strlen(name), quoted);
	}
	return report_quote(node_text(node), node->data.scalar.length, quoted);
}

struct position node_position(const yaml_node_t *node)
{
	return (struct position){
		.line = (unsigned)node->start_mark.line + 1,
		.column = (unsigned)node->start_mark.column + 1,
	};
}

size_t table_size(const yaml_node_t *table)
{
	return (size_t)(table->data.mapping.pairs.top - table->data.mapping.pairs.start);
}

struct entry table_entry(yaml_document_t *document, const yaml_node_t *table, size_t index)
{
	const yaml_node_pair_t *pair = &table->data.mapping.pairs.start[index];
	return (struct entry){
		.key = yaml_document_get_node(document, pair->key),
		.value = yaml_document_get_node(document, pair->value),
	};
}

bool table_find(yaml_document_t *document, const yaml_node_t *table, const char *key,
		struct entry *found)
{
	if (!table || table->type != YAML_MAPPING_NODE)
		return false;
	size_t n_entries = table_size(table);
	for (size_t i = 0; i < n_entries; i++) {
		struct entry entry = table_entry(document, table, i);
		if (strcmp(node_text(entry.key), key) == 0) {
			*found = entry;
			return true;
		}
	}
	return false;
}

size_t list_size(const yaml_node_t *list)
{
	return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

const yaml_node_t *list_item(yaml_document_t *document, const yaml_node_t *list, size_t index)
{
	return yaml_document_get_node(document, list->data.sequence.items.start[index]);
}
