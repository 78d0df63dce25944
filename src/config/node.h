// SPDX-License-Identifier: Apache-2.0
// Reading a yaml_document_t, which holds the configuration whichever syntax it was written in.
// Nodes are borrowed from the document.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "config/report.h"

enum node_kind {
	NODE_EMPTY, // YAML's null
	NODE_FLAG,
	NODE_INTEGER,
	NODE_FRACTION,
	NODE_STRING,
	NODE_LIST,
	NODE_TABLE,
};

// A key of a table and its value.
struct entry {
	const yaml_node_t *key;
	const yaml_node_t *value;
};

// What a value is: a plain scalar counts by its looks, a quoted one is always a string.
enum node_kind node_kind(const yaml_node_t *node);
enum node_kind node_plain_kind(const char *text);
const char *node_kind_name(enum node_kind kind); // "a number", "a table", ...

// The text of a scalar, terminated by zero.
const char *node_text(const yaml_node_t *node);

// As the file shows it, for a message; see report_quote().
const char *node_quote(const yaml_node_t *node, char *quoted);

struct position node_position(const yaml_node_t *node);

size_t table_size(const yaml_node_t *table);
struct entry table_entry(yaml_document_t *document, const yaml_node_t *table, size_t index);

// False when the table (which may be NULL, or no table at all) has no such key.
bool table_find(yaml_document_t *document, const yaml_node_t *table, const char *key,
		struct entry *found);

size_t list_size(const yaml_node_t *list);
const yaml_node_t *list_item(yaml_document_t *document, const yaml_node_t *list, size_t index);
