// SPDX-License-Identifier: Apache-2.0
// `culvertctl check`: what is wrong with a configuration file. Needs no running culvert.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/paint.h"
#include "ctl/usage.h"
#include "culvert/config/config.h"

enum { MODE };

static const enum mode modes[] = {MODE_PROXY, MODE_PASSTHROUGH, MODE_DSR};

static bool parse_mode(const char *text, enum mode *mode)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(mode_name(modes[i]), text) == 0) {
			*mode = modes[i];
			return true;
		}
	}
	return false;
}

static void print_finding(const struct err *finding)
{
	char *clean = paint_clean(finding->message);
	const char *text = clean ? clean : "";
	if (finding->file && finding->line)
		printf("%s:%u:%u: %s\n", finding->file, finding->line, finding->column, text);
	else if (finding->file)
		printf("%s: %s\n", finding->file, text);
	else
		printf("%s\n", text);
	free(clean);
}

static json_t *finding_json(const struct err *finding)
{
	json_t *file = finding->file ? ask_text_json(finding->file) : json_null();
	return json_pack("{s:o,s:i,s:i,s:o}", "file", file, "line", (int)finding->line, "column",
			 (int)finding->column, "message", ask_text_json(finding->message));
}

static int print_json(const char *path, const char *mode, const struct config_errors *errors)
{
	json_t *list = json_array();
	for (size_t i = 0; i < errors->count; i++)
		json_array_append_new(list, finding_json(&errors->list[i]));
	json_t *report = json_pack("{s:o,s:b,s:s?,s:o}", "file", ask_text_json(path), "ok",
				   errors->count == 0, "mode", mode, "errors", list);
	int code = report ? ask_print_json(report) : CTL_NO;
	json_decref(report);
	return code;
}

static int report(const struct ctl *ctl, const char *path, const char *mode,
		  const struct config_errors *errors)
{
	int code = CTL_OK;
	if (ctl->is_json)
		code = print_json(path, mode, errors);
	else if (errors->count == 0)
		printf("%s: ok (%s mode)\n", path, mode);
	for (size_t i = 0; i < errors->count && !ctl->is_json; i++)
		print_finding(&errors->list[i]);
	return errors->count > 0 ? CTL_NO : code;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	enum mode mode = MODE_PROXY;
	const char *path = args->arguments[0];
	const char *wanted = args->values[MODE];
	if (wanted && !parse_mode(wanted, &mode))
		return usage_error(&check_command, "--mode takes proxy, passthrough or dsr");
	int code = config_load_for(path, wanted ? &mode : NULL, &config, &errors);
	if (code == 0) {
		if (!wanted && config->has_mode)
			mode = config->mode;
		config->mode = mode;
		code = config_check_mode(config, mode, &errors);
	}
	int result = report(ctl, path, config ? mode_name(mode) : NULL, &errors);
	if (code && errors.count == 0) {
		fputs("culvertctl: not enough memory\n", stderr);
		result = CTL_NO;
	}
	config_errors_fini(&errors);
	config_destroy(config);
	return result;
}

static const struct command_option options[] = {
	[MODE] = {"mode", "MODE", "proxy, passthrough or dsr; default: as the file says"},
};

const struct command check_command = {
	.name = "check",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "what is wrong with a configuration file",
	.help = "Say everything that is wrong with a configuration file, with line and column. "
		"Needs no\n"
		"running culvert.",
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.run = run,
};
