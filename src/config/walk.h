// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <yaml.h>

#include "config/report.h"
#include "culvert/config/config.h"

// Fill *config, all zero before, from the document by the schema: every default, every value that
// is usable by itself; one element per entry of `frontends`, `backends` and `servers`, in their
// order, unless there are too many. References are left to config_resolve(). What is wrong goes to
// the report. Returns 0, or -ENOMEM with *config still fit for config_destroy().
int config_walk(yaml_document_t *document, struct config *config, struct report *report);
