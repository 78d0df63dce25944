// SPDX-License-Identifier: Apache-2.0
// Sets of ports as bitmaps: pure functions, used by reserved_ports.c.
#include "control/port_set.h"

#include <stdio.h>
#include <string.h>

bool port_set_is_empty(const struct port_set *set)
{
	for (size_t i = 0; i < sizeof(set->words) / sizeof(set->words[0]); i++) {
		if (set->words[i])
			return false;
	}
	return true;
}

void port_set_subtract(struct port_set *set, const struct port_set *removed)
{
	for (size_t i = 0; i < sizeof(set->words) / sizeof(set->words[0]); i++)
		set->words[i] &= ~removed->words[i];
}

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

// Read a port at *text and move past it.
static bool parse_port(const char **text, unsigned *port)
{
	const char *c = *text;
	unsigned value = 0;
	while (*c >= '0' && *c <= '9') {
		value = value * 10 + (unsigned)(*c++ - '0');
		if (value >= PORT_SET_BITS)
			return false;
	}
	if (c == *text)
		return false;
	*text = c;
	*port = value;
	return true;
}

static bool parse_range(const char **text, struct port_set *set)
{
	unsigned first = 0;
	unsigned last = 0;
	if (!parse_port(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		(*text)++;
		if (!parse_port(text, &last) || last < first)
			return false;
	}
	for (unsigned port = first; port <= last; port++)
		port_set_add(set, port);
	return true;
}

bool port_set_parse(const char *text, struct port_set *set)
{
	struct port_set parsed = {0};
	text = skip_blanks(text);
	while (*text) {
		if (!parse_range(&text, &parsed))
			return false;
		text = skip_blanks(text);
		if (!*text)
			break;
		if (*text != ',')
			return false;
		text = skip_blanks(text + 1);
		if (!*text)
			return false;
	}
	*set = parsed;
	return true;
}

size_t port_set_format(const struct port_set *set, char *text)
{
	size_t used = 0;
	text[0] = '\0';
	for (unsigned first = 0; first < PORT_SET_BITS; first++) {
		if (!port_set_has(set, first))
			continue;
		unsigned last = first;
		while (last + 1 < PORT_SET_BITS && port_set_has(set, last + 1))
			last++;
		int n = last == first ? snprintf(text + used, PORT_SET_TEXT_MAX - used, "%s%u",
						 used ? "," : "", first)
				      : snprintf(text + used, PORT_SET_TEXT_MAX - used, "%s%u-%u",
						 used ? "," : "", first, last);
		used += (size_t)n;
		first = last;
	}
	return used;
}
