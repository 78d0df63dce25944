// SPDX-License-Identifier: Apache-2.0
#include "config/scope.h"

#include <stdio.h>
#include <string.h>

#include "culvert/base/suggest.h"

enum { PATH_MAX_BYTES = 256, KEYS_MAX_BYTES = 512 };

// "backends.web.servers.a"; nothing for the root.
static size_t scope_path(const struct scope *scope, char *path, size_t size)
{
	if (!scope->parent) {
		path[0] = '\0';
		return 0;
	}
	char quoted[REPORT_QUOTE_MAX];
	size_t used = scope_path(scope->parent, path, size);
	report_quote(scope->name, strlen(scope->name), quoted);
	if (used < size)
		used += (size_t)snprintf(path + used, size - used, "%s%s", used > 0 ? "." : "",
					 quoted);
	return used;
}

// The section that has a key of this name, for one that stands at the wrong place.
static const char *find_home(const char *name)
{
	for (size_t i = 0; i < schema_root.n_keys; i++) {
		const struct schema_key *section = &schema_root.keys[i];
		if (section->kind == SCHEMA_TABLE && schema_find(section->table, name))
			return section->name;
	}
	return NULL;
}

// What to do about an unknown key: the near one, its right place, or all there are.
static void advise(const struct schema_table *schema, const char *name, char *advice, size_t size)
{
	struct suggestion near = {.wanted = name};
	for (size_t i = 0; i < schema->n_keys; i++)
		suggest_offer(&near, schema->keys[i].name);
	const char *home = find_home(name);
	if (near.best) {
		snprintf(advice, size, "did you mean \"%s\"?", near.best);
		return;
	}
	if (home) {
		snprintf(advice, size, "it belongs in the section %s", home);
		return;
	}
	size_t used = (size_t)snprintf(advice, size, "the keys here are ");
	for (size_t i = 0; i < schema->n_keys && used < size; i++)
		used += (size_t)snprintf(advice + used, size - used, "%s%s", i > 0 ? ", " : "",
					 schema->keys[i].name);
}

void scope_report_unknown(const struct scope *scope, const struct schema_table *schema,
			  const yaml_node_t *key, struct report *report)
{
	if (report->is_full)
		return;
	char quoted[REPORT_QUOTE_MAX];
	char path[PATH_MAX_BYTES];
	char advice[KEYS_MAX_BYTES];
	bool is_root = scope_path(scope, path, sizeof(path)) == 0;
	advise(schema, node_text(key), advice, sizeof(advice));
	report_add(report, node_position(key), "unknown key \"%s\"%s%s; %s",
		   node_quote(key, quoted), is_root ? "" : " in ", path, advice);
}

void scope_report_missing(const struct scope *scope, const struct schema_key *key,
			  struct report *report)
{
	char path[PATH_MAX_BYTES];
	scope_path(scope, path, sizeof(path));
	report_add(report, scope->at, "%s has no %s; add that key", path, key->name);
}
