// SPDX-License-Identifier: Apache-2.0
// libyaml, guarded against files made to hurt.
#pragma once

#include <stddef.h>
#include <yaml.h>

#include "config/report.h"

// Fill *document, for yaml_document_delete(), with the one document of `text`. On failure there is
// nothing to delete, and the report says why. Returns 0, -EINVAL or -ENOMEM.
int yaml_reader_read(yaml_document_t *document, const char *text, size_t length,
		     struct report *report);
