// SPDX-License-Identifier: Apache-2.0
// What value.c, value_addr.c, value_path.c and value_text.c share: one value on its way to its
// field.
#pragma once

#include "config/node.h"
#include "config/schema.h"

enum { ADVICE_MAX = 160 };

struct value {
	const struct schema_key *key;
	const char *text; // NULL: a list or a table
	enum node_kind kind;
	void *base;
	void *field;
	struct position at;
	struct report *report;
};

// Report "KEY: VALUE PROBLEM; write ADVICE", or that there is no value at all. Returns -EINVAL.
int value_reject(const struct value *value, const char *problem, const char *advice);

// Addresses of all kinds; each returns what value_store() does.
int value_store_addr(const struct value *value);
int value_store_endpoint(const struct value *value);
int value_store_backend_addr(const struct value *value);
int value_store_network(const struct value *value);

// Paths and secrets, likewise.
int value_store_path(const struct value *value);
int value_store_token(const struct value *value);

const struct schema_choice *value_find_choice(const struct value *value);
// `"a", "b" or "c"`; `last` (which may be NULL) is one choice more, said as it is. `advice` has
// room for ADVICE_MAX.
void value_list_choices(const struct schema_choice *choice, const char *last, char *advice);

// Strings of a health check, likewise.
int value_store_text(const struct value *value);
int value_store_octets(const struct value *value);
int value_store_status(const struct value *value);
