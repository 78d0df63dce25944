// SPDX-License-Identifier: Apache-2.0
// Which keys a configuration has: constant tables, read by the walk (walk.c) and by the tests that
// hold the example and the manual page to them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_kind {
	SCHEMA_NUMBER,       // a whole number in [min, max], or one of `choices`
	SCHEMA_SECONDS,      // seconds, fractions allowed; stored as milliseconds, as min and max
	SCHEMA_SHARE,        // a fraction from 0 to 1; stored as thousandths
	SCHEMA_FLAG,         // true or false
	SCHEMA_CHOICE,       // one of `choices`
	SCHEMA_ADDR,         // struct ip_addr
	SCHEMA_ENDPOINT,     // address and port of a struct endpoint; its other fields stay
	SCHEMA_BACKEND_ADDR, // the same, or a path: then a new string at `offset2`
	SCHEMA_NETWORK,      // struct ip_network
	SCHEMA_PORT_RANGE,   // two uint16_t: `offset` the first port, `offset2` the last
	SCHEMA_TEXT,         // a new string of `min` to `max` bytes
	SCHEMA_OCTETS,       // struct config_octets: text, or "hex:...", of at most `max` bytes
	SCHEMA_STATUS,       // struct config_status_range: "200-399", or "204"
	SCHEMA_LINK,         // name of a network interface: a new string
	SCHEMA_TOKEN,        // a secret that clients send: a new string; never quoted in messages
	SCHEMA_PATH,      // from "/", of at most `max` bytes: a new string; one of `choices`: NULL
	SCHEMA_USER,      // name of a user: a new string
	SCHEMA_REFERENCE, // name of another table; stored by resolve.c
	SCHEMA_TABLE,     // a section: keys of `table`, in the same struct
	SCHEMA_NAMED,     // NAME → section: an array of structs
};

struct schema_choice {
	const char *name; // NULL ends the list
	int64_t value;
};

struct schema_key {
	const char *name;
	enum schema_kind kind;
	bool is_list;       // an array of `kind`
	bool may_be_single; // an array that a file may write as its only element
	bool is_required;
	bool is_secret;       // not for showing
	bool can_change;      // outside of frontends and pools: by a reload too
	bool may_be_text;     // a number in quotes will do
	size_t offset;        // of the field, or of the pointer to the array
	size_t offset2;       // of the number of elements, or as the kind says
	size_t size;          // of the field, or of an element
	const char *fallback; // the default as a file would say it; NULL: zero, or empty
	int64_t min;
	int64_t max; // arrays: of elements
	const struct schema_choice *choices;
	const struct schema_table *table;
};

struct schema_table {
	const struct schema_key *keys;
	size_t n_keys;
	size_t name_offset; // SCHEMA_NAMED: of the owned name in the struct
};

extern const struct schema_table schema_root; // of struct config

const struct schema_key *schema_find(const struct schema_table *table, const char *name);
