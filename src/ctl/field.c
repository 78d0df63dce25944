// SPDX-License-Identifier: Apache-2.0
#include "ctl/field.h"

#include <string.h>

const json_t *field_at(const json_t *root, const char *path)
{
	while (root && *path) {
		size_t length = strcspn(path, ".");
		root = json_object_getn(root, path, length);
		path += length + (path[length] == '.');
	}
	return json_is_null(root) ? NULL : root;
}

const char *field_text(const json_t *root, const char *path)
{
	return json_string_value(field_at(root, path));
}

const char *field_text_or(const json_t *root, const char *path, const char *otherwise)
{
	const char *text = field_text(root, path);
	return text ? text : otherwise;
}

bool field_number(const json_t *root, const char *path, double *number)
{
	const json_t *value = field_at(root, path);
	if (!json_is_number(value))
		return false;
	*number = json_number_value(value);
	return true;
}

double field_number_or(const json_t *root, const char *path, double otherwise)
{
	field_number(root, path, &otherwise);
	return otherwise;
}

bool field_is_true(const json_t *root, const char *path)
{
	return json_is_true(field_at(root, path));
}

const json_t *field_list(const json_t *root, const char *path)
{
	static json_t *empty;
	const json_t *value = field_at(root, path);
	if (json_is_array(value))
		return value;
	if (!empty)
		empty = json_array();
	return empty;
}
