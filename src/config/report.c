// SPDX-License-Identifier: Apache-2.0
#include "config/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct err *errors_grow(struct config_errors *errors)
{
	struct err *list = reallocarray(errors->list, errors->count + 1, sizeof(*list));
	if (!list)
		return NULL;
	errors->list = list;
	struct err *added = &list[errors->count++];
	*added = (struct err){0};
	return added;
}

void report_add(struct report *report, struct position at, const char *format, ...)
{
	if (report->errors->count >= REPORT_MAX_FINDINGS) {
		report->is_full = true;
		return;
	}
	struct err *err = errors_grow(report->errors);
	if (!err) {
		report->code = -ENOMEM;
		return;
	}
	err->file = report->path;
	err->line = at.line;
	err->column = at.column;
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
}

static int compare_findings(const void *left, const void *right)
{
	const struct err *a = left;
	const struct err *b = right;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return 0;
}

int report_finish(struct report *report)
{
	struct config_errors *errors = report->errors;
	if (errors->count > 1)
		qsort(errors->list, errors->count, sizeof(*errors->list), compare_findings);
	if (report->is_full) {
		struct err *last = errors_grow(errors);
		if (last) {
			last->file = report->path;
			err_set(last, 0, "there are more errors; mend the %d above first",
				REPORT_MAX_FINDINGS);
		}
	}
	if (report->code != 0)
		return report->code;
	return errors->count > 0 ? -EINVAL : 0;
}

const char *report_quote(const char *text, size_t length, char *quoted)
{
	static const char more[] = "...";
	static const char hex[] = "0123456789abcdef";
	size_t room = REPORT_QUOTE_MAX - sizeof(more);
	size_t used = 0;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_plain = c >= ' ' && c < 0x7f;
		if (used + (is_plain ? 1 : 4) > room) {
			snprintf(quoted + used, sizeof(more), "%s", more);
			return quoted;
		}
		if (is_plain) {
			quoted[used++] = (char)c;
			continue;
		}
		quoted[used++] = '\\';
		quoted[used++] = 'x';
		quoted[used++] = hex[c >> 4];
		quoted[used++] = hex[c & 15];
	}
	quoted[used] = '\0';
	return quoted;
}
