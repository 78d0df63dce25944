// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <stdio.h>
#include <string.h>

bool names_find(const struct names *names, enum name_kind kind, const char *text, uint32_t *value)
{
	for (unsigned i = 0; i < names->n; i++) {
		if (names->list[i].kind != kind || strcmp(names->list[i].text, text) != 0)
			continue;
		*value = names->list[i].value;
		return true;
	}
	return false;
}

bool names_bind(struct names *names, enum name_kind kind, const char *text, uint32_t value)
{
	uint32_t known;
	if (names_find(names, kind, text, &known))
		return known == value;
	if (names->n == NAMES_MAX || strlen(text) >= NAME_MAX_LEN)
		return false;
	snprintf(names->list[names->n].text, NAME_MAX_LEN, "%s", text);
	names->list[names->n].kind = kind;
	names->list[names->n].value = value;
	names->n++;
	return true;
}
