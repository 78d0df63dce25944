// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/node.h"
#include "config/toml_bridge.h"
#include "config/toml_guard.h"
#include "config/toml_hint.h"
#include "config/yaml_reader.h"

const char document_too_deep[] = "nested too deeply for a configuration";
const char document_too_many_values[] = "more values than any configuration needs; split the file";

// Where in the text the byte at `offset` stands.
static struct position position_at(const char *text, size_t offset)
{
	struct position at = {1, 1};
	for (size_t i = 0; i < offset; i++) {
		at.column++;
		if (text[i] == '\n')
			at = (struct position){at.line + 1, 1};
	}
	return at;
}

static bool is_blank(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
			return false;
	}
	return true;
}

static int check_bytes(const char *text, size_t length, struct report *report)
{
	if (is_blank(text, length)) {
		report_add(report, (struct position){0},
			   "the file is empty; config.example.toml shows what belongs in it");
		return -EINVAL;
	}
	const char *zero = memchr(text, '\0', length);
	if (zero) {
		report_add(report, position_at(text, (size_t)(zero - text)),
			   "zero byte: this is no text file; write the configuration in UTF-8");
		return -EINVAL;
	}
	return 0;
}

static int read_toml(yaml_document_t *document, const char *text, size_t length,
		     struct report *report)
{
	static const struct toml_limits limits = {
		.max_nodes = DOCUMENT_MAX_NODES,
		.max_depth = DOCUMENT_MAX_DEPTH,
		.too_many_nodes = document_too_many_values,
		.too_deep = document_too_deep,
	};
	int code = toml_guard_check(text, length, report);
	if (code != 0)
		return code;
	struct err err = {0};
	code = toml_bridge_read(document, text, length, &limits, &err);
	if (code == -EINVAL)
		toml_hint(text, length, &err);
	if (code != 0)
		report_add(report, (struct position){err.line, err.column}, "%s", err.message);
	return code;
}

static int check_root(yaml_document_t *document, struct report *report)
{
	const yaml_node_t *root = yaml_document_get_root_node(document);
	if (root && root->type == YAML_MAPPING_NODE)
		return 0;
	report_add(report, root ? node_position(root) : (struct position){0},
		   "%s; config.example.toml shows what belongs in a configuration",
		   root ? "the file is no table of sections" : "the file says nothing");
	return -EINVAL;
}

static int check_scalars(yaml_document_t *document, struct report *report)
{
	for (const yaml_node_t *node = document->nodes.start; node < document->nodes.top; node++) {
		if (node->type != YAML_SCALAR_NODE ||
		    !memchr(node->data.scalar.value, '\0', node->data.scalar.length))
			continue;
		report_add(report, node_position(node), "zero byte in a string; take it out");
		return -EINVAL;
	}
	return 0;
}

static int compare_entries(const void *left, const void *right)
{
	const yaml_node_t *a = ((const struct entry *)left)->key;
	const yaml_node_t *b = ((const struct entry *)right)->key;
	int order = strcmp(node_text(a), node_text(b));
	if (order != 0)
		return order;
	return (a->start_mark.index > b->start_mark.index) -
	       (a->start_mark.index < b->start_mark.index);
}

static void report_duplicates(struct entry *entries, size_t n_entries, struct report *report)
{
	char quoted[REPORT_QUOTE_MAX];
	qsort(entries, n_entries, sizeof(*entries), compare_entries);
	for (size_t i = 1; i < n_entries; i++) {
		const yaml_node_t *first = entries[i - 1].key;
		const yaml_node_t *again = entries[i].key;
		if (strcmp(node_text(first), node_text(again)) == 0)
			report_add(report, node_position(again),
				   "the key \"%s\" is already in line %u; keep one of them",
				   node_quote(again, quoted), node_position(first).line);
	}
}

static int check_keys(yaml_document_t *document, const yaml_node_t *table, struct report *report)
{
	size_t n_entries = table_size(table);
	struct entry *entries = calloc(n_entries + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	int code = 0;
	for (size_t i = 0; i < n_entries && code == 0; i++) {
		entries[i] = table_entry(document, table, i);
		const yaml_node_t *key = entries[i].key;
		if (key->type == YAML_SCALAR_NODE)
			continue;
		report_add(report, node_position(key), "%s as a key; write a name",
			   node_kind_name(node_kind(key)));
		code = -EINVAL;
	}
	if (code == 0)
		report_duplicates(entries, n_entries, report);
	free(entries);
	return code;
}

// Each table once, in whatever way aliases tie them together.
static int check_tables(yaml_document_t *document, struct report *report)
{
	for (const yaml_node_t *node = document->nodes.start; node < document->nodes.top; node++) {
		if (node->type != YAML_MAPPING_NODE)
			continue;
		int code = check_keys(document, node, report);
		if (code != 0)
			return code;
	}
	return 0;
}

int document_read(yaml_document_t *document, const char *text, size_t length,
		  enum config_syntax syntax, struct report *report)
{
	int code = check_bytes(text, length, report);
	if (code != 0)
		return code;
	code = syntax == SYNTAX_TOML ? read_toml(document, text, length, report)
				     : yaml_reader_read(document, text, length, report);
	if (code != 0)
		return code;
	code = check_root(document, report);
	if (code == 0)
		code = check_scalars(document, report);
	if (code == 0)
		code = check_tables(document, report);
	if (code != 0)
		yaml_document_delete(document);
	return code;
}
