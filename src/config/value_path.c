// SPDX-License-Identifier: Apache-2.0
// Paths of files, and secrets.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/token.h"
#include "config/value_parts.h"

// In place of the default, which may be there already. `text` NULL: nothing.
static int replace(const struct value *value, const char *text)
{
	char *before;
	char *copy = text ? strdup(text) : NULL;
	if (text && !copy)
		return -ENOMEM;
	memcpy(&before, value->field, sizeof(before));
	free(before);
	memcpy(value->field, &copy, sizeof(copy));
	return 0;
}

int value_store_path(const struct value *value)
{
	char advice[ADVICE_MAX];
	if (value_find_choice(value))
		return replace(value, NULL);
	value_list_choices(value->key->choices, "a path that begins with \"/\"", advice);
	if (!value->text || value->text[0] != '/')
		return value_reject(value, "is not a whole path", advice);
	if (strlen(value->text) > (size_t)value->key->max)
		return value_reject(value, "is too long", "a shorter one");
	return replace(value, value->text);
}

bool token_is_good(const char *text)
{
	static const char signs[] = "-._~+/=";
	size_t length = strlen(text);
	for (const char *c = text; *c; c++) {
		bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
		if (!is_letter && !(*c >= '0' && *c <= '9') && !strchr(signs, *c))
			return false;
	}
	return length >= TOKEN_MIN && length <= TOKEN_MAX;
}

// Not value_reject(): what is wrong with a secret is not for the log.
int value_store_token(const struct value *value)
{
	if (value->text && value->kind == NODE_STRING && token_is_good(value->text))
		return replace(value, value->text);
	report_add(value->report, value->at, "%s: this is no token; write " TOKEN_ADVICE,
		   value->key->name);
	return -EINVAL;
}
