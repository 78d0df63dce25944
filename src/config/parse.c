// SPDX-License-Identifier: Apache-2.0
#include "config/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/check_mode.h"
#include "config/draft.h"
#include "config/walk.h"

// Whether to look at the mode, and at which.
struct look {
	bool at_mode;
	const enum mode *mode; // borrowed; NULL: that of the file, or proxy
};

// False: the file names one that there is not.
static bool find_mode(const struct draft *draft, const enum mode *given, enum mode *mode)
{
	const yaml_node_t *node = draft_section(draft, "mode");
	*mode = given ? *given : node ? draft->config->mode : MODE_PROXY;
	return given || !node ||
	       (node->type == YAML_SCALAR_NODE && strcmp(node_text(node), mode_name(*mode)) == 0);
}

static int fill(yaml_document_t *document, struct config *config, const struct look *look,
		struct report *report)
{
	enum mode mode;
	struct draft draft = {document, config, report};
	int code = config_walk(document, config, report);
	if (code != 0)
		return code;
	draft_resolve(&draft);
	code = draft_check(&draft);
	// Of a file that is well config_check_mode() says more.
	if (code == 0 && look->at_mode && report->errors->count > 0 &&
	    find_mode(&draft, look->mode, &mode))
		check_mode_rest(config, mode, report);
	return code;
}

static int parse(const struct config_text *text, const struct look *look, struct config **config,
		 struct config_errors *errors)
{
	struct report report = {.errors = errors, .path = text->path};
	yaml_document_t document;
	int code = document_read(&document, text->text, text->length, text->syntax, &report);
	if (code != 0)
		return report_finish(&report) == 0 ? code : -EINVAL;

	struct config *filled = calloc(1, sizeof(*filled));
	code = -ENOMEM;
	if (filled && (filled->path = strdup(text->path)))
		code = fill(&document, filled, look, &report);
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

int config_parse(const char *text, size_t length, enum config_syntax syntax, const char *path,
		 struct config **config, struct config_errors *errors)
{
	const struct config_text whole = {text, length, syntax, path};
	const struct look look = {0};
	return parse(&whole, &look, config, errors);
}

int config_parse_for(const struct config_text *text, const enum mode *mode, struct config **config,
		     struct config_errors *errors)
{
	const struct look look = {.at_mode = true, .mode = mode};
	return parse(text, &look, config, errors);
}
