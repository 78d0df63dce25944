// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <stdio.h>
#include <string.h>

enum { UNKNOWN = -1 };

static int find(const struct names *names, enum name_kind kind, const char *text)
{
	for (unsigned i = 0; i < names->n; i++) {
		if (names->list[i].kind == kind && strcmp(names->list[i].text, text) == 0)
			return (int)i;
	}
	return UNKNOWN;
}

// The number of the new name, or UNKNOWN when there is no room.
static int add(struct names *names, enum name_kind kind, const char *text)
{
	if (names->n == NAMES_MAX || strlen(text) >= NAME_MAX_LEN)
		return UNKNOWN;
	snprintf(names->list[names->n].text, NAME_MAX_LEN, "%s", text);
	names->list[names->n].kind = kind;
	return (int)names->n++;
}

bool names_find_host(const struct names *names, const char *text, struct ip_addr *host)
{
	int i = find(names, NAME_HOST, text);
	if (i != UNKNOWN)
		*host = names->list[i].host;
	return i != UNKNOWN;
}

bool names_find_number(const struct names *names, const char *text, uint32_t *number)
{
	int i = find(names, NAME_NUMBER, text);
	if (i != UNKNOWN)
		*number = names->list[i].number;
	return i != UNKNOWN;
}

bool names_bind_host(struct names *names, const char *text, const struct ip_addr *host)
{
	struct ip_addr known;
	if (names_find_host(names, text, &known))
		return memcmp(&known, host, sizeof(known)) == 0;
	int i = add(names, NAME_HOST, text);
	if (i != UNKNOWN)
		names->list[i].host = *host;
	return i != UNKNOWN;
}

bool names_bind_number(struct names *names, const char *text, uint32_t number)
{
	uint32_t known;
	if (names_find_number(names, text, &known))
		return known == number;
	int i = add(names, NAME_NUMBER, text);
	if (i != UNKNOWN)
		names->list[i].number = number;
	return i != UNKNOWN;
}
