// SPDX-License-Identifier: Apache-2.0
#include "ctl/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/field.h"
#include "ctl/paint.h"
#include "culvert/base/line.h"

enum { HTTP_OK = 200, HTTP_BAD_REQUEST = 400, REAL_DIGITS = 15 };

static void print_error(const char *text)
{
	char *clean = paint_clean(text);
	fprintf(stderr, "culvertctl: %s\n", clean ? clean : "not enough memory");
	free(clean);
}

// Its lines are ours, what is in them may be from anywhere.
static int unreachable(const struct err *err)
{
	const char *line = err->message;
	for (bool is_first = true; *line; is_first = false) {
		size_t length = strcspn(line, "\n");
		char *part = strndup(line, length);
		char *clean = part ? paint_clean(part) : NULL;
		fprintf(stderr, "%s%s\n", is_first ? "culvertctl: " : "", clean ? clean : "");
		free(clean);
		free(part);
		line += length + (line[length] == '\n');
	}
	return CTL_UNREACHABLE;
}

static int not_culvert(const struct ctl *ctl, long status)
{
	struct err err = {0};
	err_set(&err, 0,
		"what listens on %s does not answer as culvert does (status %ld)\n"
		"Is it another program, or a culvert of another version than " CULVERT_VERSION "?",
		ctl->socket_path, status);
	return unreachable(&err);
}

int ask_print_json(const json_t *answer)
{
	if (json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS)) ||
	    putchar('\n') == EOF)
		return CTL_NO;
	return CTL_OK;
}

json_t *ask_text_json(const char *text)
{
	char *copy = strdup(text);
	if (copy)
		line_make_valid(copy);
	json_t *string = json_string(copy);
	free(copy);
	return string;
}

int ask_refusal(const struct ctl *ctl, long status, const json_t *answer)
{
	int code = status == HTTP_BAD_REQUEST ? CTL_USAGE : CTL_NO;
	if (ctl->is_json && answer) {
		ask_print_json(answer);
		return code;
	}
	const char *message = field_text(answer, "error.message");
	if (!message)
		return not_culvert(ctl, status);
	print_error(message);
	const char *hint = field_text(answer, "error.hint");
	char *clean = hint ? paint_clean(hint) : NULL;
	if (clean)
		fprintf(stderr, "%s\n", clean);
	free(clean);
	return code;
}

int ask_any(const struct ctl *ctl, const char *path, json_t *body, long *status, json_t **answer)
{
	struct client_answer raw = {0};
	struct err err = {0};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	int code = client_ask(ctl, path, text, &raw, &err);
	free(text);
	if (code) {
		client_answer_fini(&raw);
		return unreachable(&err);
	}
	json_t *object = raw.text ? json_loadb(raw.text, raw.length, 0, NULL) : NULL;
	*status = raw.status;
	client_answer_fini(&raw);
	if (object && !json_is_object(object)) {
		json_decref(object);
		object = NULL;
	}
	if (!object && *status == HTTP_OK)
		return not_culvert(ctl, *status);
	*answer = object;
	return CTL_OK;
}

static int ask(const struct ctl *ctl, const char *path, json_t *body, json_t **answer)
{
	long status = 0;
	json_t *object = NULL;
	int code = ask_any(ctl, path, body, &status, &object);
	if (code != CTL_OK)
		return code;
	if (status == HTTP_OK) {
		*answer = object;
		return CTL_OK;
	}
	code = ask_refusal(ctl, status, object);
	json_decref(object);
	return code;
}

int ask_get(const struct ctl *ctl, const char *path, json_t **answer)
{
	return ask(ctl, path, NULL, answer);
}

int ask_post(const struct ctl *ctl, const char *path, json_t *body, json_t **answer)
{
	if (!body) {
		print_error("not enough memory");
		return CTL_NO;
	}
	return ask(ctl, path, body, answer);
}

int ask_stream_failure(const struct ctl *ctl, int code, const struct err *err,
		       const struct client_answer *answer)
{
	if (code)
		return unreachable(err);
	json_t *object = answer->text ? json_loadb(answer->text, answer->length, 0, NULL) : NULL;
	code = ask_refusal(ctl, answer->status, object);
	json_decref(object);
	return code;
}

int ask_show(const struct ctl *ctl, const char *path,
	     int (*show)(const struct ctl *ctl, const json_t *answer))
{
	json_t *answer = NULL;
	int code = ask_get(ctl, path, &answer);
	if (code != CTL_OK)
		return code;
	code = ctl->is_json ? ask_print_json(answer) : show(ctl, answer);
	json_decref(answer);
	return code;
}
