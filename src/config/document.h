// SPDX-License-Identifier: Apache-2.0
// Text to document, for both syntaxes.
#pragma once

#include <stddef.h>
#include <yaml.h>

#include "config/report.h"

enum config_syntax { SYNTAX_TOML, SYNTAX_YAML };

// Bounds on what a file may ask of memory and of the stack. A configuration that uses up every cap
// of config.h stays below them, unless each of very many frontends has networks by the dozen.
enum {
	DOCUMENT_MAX_NODES = 1 << 18,
	DOCUMENT_MAX_DEPTH = 8, // of values below the root
	DOCUMENT_MAX_ANCHORS = 1000,
};

extern const char document_too_deep[];
extern const char document_too_many_values[];

// Fill *document, for yaml_document_delete(): a table at its root, every key a scalar, no zero byte
// in a scalar. A key that is in a table twice is reported and is no failure. On failure there is
// nothing to delete, and the report says why (unless memory is short). Returns 0, -EINVAL or
// -ENOMEM.
int document_read(yaml_document_t *document, const char *text, size_t length,
		  enum config_syntax syntax, struct report *report);
