// SPDX-License-Identifier: Apache-2.0
// Reading JSON that another program has made: whatever is missing, or is of another kind than it
// should be, is absent and no more. Paths name members through objects: "connections.current".
// Results are borrowed from the root.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

const json_t *field_at(const json_t *root, const char *path); // NULL: absent, or null
const char *field_text(const json_t *root, const char *path); // NULL: no text
const char *field_text_or(const json_t *root, const char *path, const char *otherwise);
bool field_number(const json_t *root, const char *path, double *number); // false: untouched
double field_number_or(const json_t *root, const char *path, double otherwise);
bool field_is_true(const json_t *root, const char *path);
// The array, or an empty one: never NULL.
const json_t *field_list(const json_t *root, const char *path);
