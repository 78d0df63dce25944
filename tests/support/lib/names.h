// SPDX-License-Identifier: Apache-2.0
// Names for addresses and ports in packet tables. Plain names are given before use; those that
// begin with '$' stand for what is only known at run time, and are bound at first sight.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum { NAMES_MAX = 64, NAME_MAX_LEN = 24 };

enum name_kind { NAME_HOST, NAME_NUMBER };

struct names {
	struct {
		char text[NAME_MAX_LEN];
		enum name_kind kind;
		struct ip_addr host;
		uint32_t number; // ports, host byte order; whatever else is counted
	} list[NAMES_MAX];
	unsigned n;
};

// False when there is no such name yet.
bool names_find_host(const struct names *names, const char *text, struct ip_addr *host);
bool names_find_number(const struct names *names, const char *text, uint32_t *number);

// False when it has another value already, or when there is no room.
bool names_bind_host(struct names *names, const char *text, const struct ip_addr *host);
bool names_bind_number(struct names *names, const char *text, uint32_t number);
