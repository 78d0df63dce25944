// SPDX-License-Identifier: Apache-2.0
// A set of ports, and its text as the kernel's sysctls write it: "22,8000-8100". Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PORT_SET_BITS = 65536,
	// Every second port: 32768 numbers of up to 5 digits with a comma each, and a newline.
	PORT_SET_TEXT_MAX = 32768 * 6 + 2,
};

struct port_set {
	uint64_t words[PORT_SET_BITS / 64];
};

static inline bool port_set_has(const struct port_set *set, unsigned port)
{
	return set->words[port / 64] >> (port % 64) & 1;
}

static inline void port_set_add(struct port_set *set, unsigned port)
{
	set->words[port / 64] |= UINT64_C(1) << (port % 64);
}

bool port_set_is_empty(const struct port_set *set);

// Take every member of `removed` out of `set`.
void port_set_subtract(struct port_set *set, const struct port_set *removed);

// Ports and ranges between commas; blanks and newlines around them are skipped, and no text at all
// is the empty set. False leaves *set untouched.
bool port_set_parse(const char *text, struct port_set *set);

// The canonical text: ascending, neighbours joined to ranges, without a newline. `text` has room
// for PORT_SET_TEXT_MAX. Returns its length.
size_t port_set_format(const struct port_set *set, char *text);
