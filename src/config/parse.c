// SPDX-License-Identifier: Apache-2.0
#include "config/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/draft.h"
#include "config/walk.h"

static int fill(yaml_document_t *document, struct config *config, struct report *report)
{
	struct draft draft = {document, config, report};
	int code = config_walk(document, config, report);
	if (code != 0)
		return code;
	draft_resolve(&draft);
	return draft_check(&draft);
}

int config_parse(const char *text, size_t length, enum config_syntax syntax, const char *path,
		 struct config **config, struct config_errors *errors)
{
	struct report report = {.errors = errors, .path = path};
	yaml_document_t document;
	int code = document_read(&document, text, length, syntax, &report);
	if (code != 0)
		return report_finish(&report) == 0 ? code : -EINVAL;

	struct config *filled = calloc(1, sizeof(*filled));
	code = -ENOMEM;
	if (filled && (filled->path = strdup(path)))
		code = fill(&document, filled, &report);
	yaml_document_delete(&document);
	if (code == 0)
		code = report_finish(&report);
	if (code != 0) {
		config_destroy(filled);
		return code;
	}
	*config = filled;
	return 0;
}
