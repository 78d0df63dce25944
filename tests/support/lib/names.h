// SPDX-License-Identifier: Apache-2.0
// Names for addresses and ports in packet tables. Plain names are given before use; those that
// begin with '$' stand for what is only known at run time, and are bound at first sight.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { NAMES_MAX = 64, NAME_MAX_LEN = 24 };

enum name_kind { NAME_HOST, NAME_PORT };

struct names {
	struct {
		char text[NAME_MAX_LEN];
		enum name_kind kind;
		uint32_t value; // host byte order
	} list[NAMES_MAX];
	unsigned n;
};

// False when there is no such name yet.
bool names_find(const struct names *names, enum name_kind kind, const char *text, uint32_t *value);

// False when it has another value already, or when there is no room.
bool names_bind(struct names *names, enum name_kind kind, const char *text, uint32_t value);
