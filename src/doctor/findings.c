// SPDX-License-Identifier: Apache-2.0
#include "doctor/findings.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/line.h"

static const char *const names[N_STATUS] = {"ok", "note", "warning", "error", "skipped"};
static const char *const colours[N_STATUS] = {"\033[32m", "\033[36m", "\033[33m", "\033[31m",
					      "\033[2m"};

enum { CHECK_WIDTH = 14 };

const char *status_name(enum status status)
{
	return names[status];
}

// ---- collecting --------------------------------------------------------------------------------

__attribute__((format(printf, 1, 0))) static char *format_text(const char *format, va_list args)
{
	char *text;
	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

static void drop_finding(struct finding *finding)
{
	free(finding->subject);
	free(finding->found);
	free(finding->fix);
}

static void append(struct findings *findings, struct finding *finding)
{
	struct finding *list = reallocarray(findings->list, findings->n + 1, sizeof(*list));
	if (list)
		findings->list = list;
	if (!list || !finding->subject || !finding->found || !finding->fix) {
		drop_finding(finding);
		findings->is_incomplete = true;
		return;
	}
	list[findings->n++] = *finding;
}

void findings_add(struct findings *findings, const char *check, enum status status,
		  const char *subject, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct finding finding = {
		.check = check,
		.status = status,
		.subject = strdup(subject),
		.found = format_text(format, args),
		.fix = strdup(""),
	};
	va_end(args);
	append(findings, &finding);
}

void findings_fix(struct findings *findings, const char *format, ...)
{
	if (findings->is_incomplete || findings->n == 0)
		return;
	va_list args;
	va_start(args, format);
	char *text = format_text(format, args);
	va_end(args);
	if (!text)
		return;
	free(findings->list[findings->n - 1].fix);
	findings->list[findings->n - 1].fix = text;
}

void findings_fini(struct findings *findings)
{
	for (size_t i = 0; i < findings->n; i++)
		drop_finding(&findings->list[i]);
	free(findings->list);
	*findings = (struct findings){0};
}

size_t findings_count(const struct findings *findings, enum status status)
{
	size_t n = 0;
	for (size_t i = 0; i < findings->n; i++)
		n += findings->list[i].status == status;
	return n;
}

// ---- lines -------------------------------------------------------------------------------------

// Processes and files are called what anybody likes, and this may be a terminal.
static void print_clean(const char *text, FILE *out)
{
	size_t size = 4 * strlen(text) + 1; // every byte as \x1b
	char *clean = malloc(size);
	if (clean)
		line_escape(text, clean, size);
	fputs(clean ? clean : "?", out);
	free(clean);
}

static void print_finding(const struct finding *finding, struct findings_style style, size_t n_more,
			  FILE *out)
{
	fprintf(out, "%s%-7s%s  %-*s  ", style.is_coloured ? colours[finding->status] : "",
		names[finding->status], style.is_coloured ? "\033[0m" : "", CHECK_WIDTH,
		finding->check);
	print_clean(finding->subject, out);
	fputs(*finding->subject ? ": " : "", out);
	print_clean(finding->found, out);
	if (n_more)
		fprintf(out, " (and %zu more)", n_more);
	fputc('\n', out);
	if (!*finding->fix)
		return;
	fputs("           -> ", out);
	print_clean(finding->fix, out);
	fputc('\n', out);
}

// The same but for its numbers: how long an answer took, which interface it was.
static bool is_alike(const char *a, const char *b)
{
	static const char digits[] = "0123456789.";
	while (*a && *b) {
		size_t n_a = strspn(a, digits);
		size_t n_b = strspn(b, digits);
		if ((n_a == 0) != (n_b == 0) || (n_a == 0 && *a != *b))
			return false;
		a += n_a ? n_a : 1;
		b += n_b ? n_b : 1;
	}
	return *a == *b;
}

// How many others of the same check say the same as this one; 0 too when one before has told it.
static size_t count_like(const struct findings *findings, size_t first, bool *is_told)
{
	size_t n_more = 0;
	const struct finding *finding = &findings->list[first];
	*is_told = false;
	for (size_t i = 0; i < findings->n; i++) {
		const struct finding *other = &findings->list[i];
		if (other->check != finding->check || other->status != finding->status ||
		    !is_alike(other->found, finding->found) ||
		    strcmp(other->fix, finding->fix) != 0)
			continue;
		*is_told |= i < first;
		n_more += i > first;
	}
	return n_more;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

void findings_print(const struct findings *findings, struct findings_style style, FILE *out)
{
	for (size_t i = 0; i < findings->n; i++) {
		bool is_told = false;
		size_t n_more = 0;
		if (findings->list[i].status <= STATUS_NOTE && !style.is_verbose)
			n_more = count_like(findings, i, &is_told);
		if (!is_told)
			print_finding(&findings->list[i], style, n_more, out);
	}
	size_t n_errors = findings_count(findings, STATUS_ERROR);
	size_t n_warnings = findings_count(findings, STATUS_WARNING);
	size_t n_notes = findings_count(findings, STATUS_NOTE);
	size_t n_skipped = findings_count(findings, STATUS_SKIPPED);
	fprintf(out, "%zu error%s, %zu warning%s", n_errors, plural(n_errors), n_warnings,
		plural(n_warnings));
	if (n_notes)
		fprintf(out, ", %zu note%s", n_notes, plural(n_notes));
	if (n_skipped)
		fprintf(out, ", %zu not looked at", n_skipped);
	fprintf(out, "%s\n",
		findings->is_incomplete ? "; memory ran short, there may be more" : "");
}

// ---- JSON --------------------------------------------------------------------------------------

// Names of files and interfaces need not be UTF-8, which JSON is.
static json_t *make_string(const char *text)
{
	json_t *string = json_string(text);
	if (string)
		return string;
	char *copy = strdup(text);
	for (char *c = copy; c && *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}

static json_t *make_finding(const struct finding *finding)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", finding->check, "status",
			 names[finding->status], "subject", make_string(finding->subject), "found",
			 make_string(finding->found), "fix", make_string(finding->fix));
}

static json_t *make_summary(const struct findings *findings, const char *config_path,
			    const char *mode)
{
	json_t *summary = json_pack("{s:o, s:s, s:b}", "config", make_string(config_path), "mode",
				    mode, "is_complete", !findings->is_incomplete);
	for (int i = 0; summary && i < N_STATUS; i++)
		json_object_set_new(summary, names[i],
				    json_integer(
					    (json_int_t)findings_count(findings, (enum status)i)));
	return summary;
}

int findings_print_json(const struct findings *findings, const char *config_path, const char *mode,
			FILE *out)
{
	json_t *checks = json_array();
	for (size_t i = 0; checks && i < findings->n; i++)
		json_array_append_new(checks, make_finding(&findings->list[i]));
	json_t *root = json_pack("{s:o, s:o}", "checks", checks, "summary",
				 make_summary(findings, config_path, mode));
	int code = root ? json_dumpf(root, out, JSON_INDENT(2)) : -1;
	fputc('\n', out);
	json_decref(root);
	return code ? -ENOMEM : 0;
}
