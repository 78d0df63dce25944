// SPDX-License-Identifier: Apache-2.0
#include "base/log_format.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "culvert/base/line.h"

enum { FACILITY_DAEMON = 3 << 3, FIELD_MAX = 600, STAMP_MAX = 32 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

int log_level_priority(enum log_level level)
{
	static const int priorities[] = {
		[LOG_ERROR] = 3,
		[LOG_WARN] = 4,
		[LOG_INFO] = 6,
		[LOG_DEBUG] = 7,
	};
	return priorities[level];
}

// The sentence and a newline behind `used` bytes that are in `line` already.
static size_t add_text(const struct log_entry *entry, char *line, size_t used)
{
	used += (size_t)snprintf(line + used, LOG_LINE_MAX - used, "%s: ", entry->area);
	used += line_escape(entry->text, line + used, LOG_LINE_MAX - used - 1);
	line[used++] = '\n';
	line[used] = '\0';
	return used;
}

static size_t add_pairs(const struct log_entry *entry, enum log_format format, char *at,
			size_t size)
{
	char stamp[LINE_TIME_MAX];
	struct line line;
	line_begin(&line, at, size, format == LOG_AS_JSON ? LINE_JSON : LINE_LOGFMT);
	line_add(&line, "time", line_format_time(&entry->time, stamp));
	line_add(&line, "level", level_names[entry->level]);
	line_add(&line, "area", entry->area);
	line_add(&line, "msg", entry->text);
	for (const struct log_field *field = entry->fields; field && field->key; field++)
		line_add(&line, field->key, field->value);
	return line_end(&line);
}

// Behind a prefix of `used` bytes.
static size_t add_body(const struct log_entry *entry, enum log_format format, char *line,
		       size_t used)
{
	if (format == LOG_AS_TEXT)
		return add_text(entry, line, used);
	return used + add_pairs(entry, format, line + used, LOG_LINE_MAX - used);
}

size_t log_format_line(const struct log_entry *entry, enum log_format format, char *line)
{
	char stamp[LINE_TIME_MAX];
	size_t used = 0;
	if (format == LOG_AS_TEXT)
		used = (size_t)snprintf(line, LOG_LINE_MAX, "%s %-5s ",
					line_format_time(&entry->time, stamp),
					level_names[entry->level]);
	return add_body(entry, format, line, used);
}

size_t log_format_stream(const struct log_entry *entry, enum log_format format, char *line)
{
	int used = snprintf(line, LOG_LINE_MAX, "<%d>", log_level_priority(entry->level));
	return add_body(entry, format, line, (size_t)used);
}

size_t log_format_syslog(const struct log_entry *entry, enum log_format format, char *line)
{
	struct tm local;
	char stamp[STAMP_MAX];
	localtime_r(&entry->time.tv_sec, &local);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	int used =
		snprintf(line, LOG_LINE_MAX,
			 "<%d>%s culvert[%d]: ", FACILITY_DAEMON | log_level_priority(entry->level),
			 stamp, (int)getpid());
	size_t len = add_body(entry, format, line, (size_t)used);
	line[--len] = '\0'; // a datagram is one message
	return len;
}

// Escaped, a value has no newline, which would begin another field.
static size_t add_field(char *line, size_t used, const char *key, const char *value)
{
	char text[FIELD_MAX];
	line_escape(value, text, sizeof(text));
	size_t room = LOG_LINE_MAX - used;
	int n = snprintf(line + used, room, "CULVERT_%s=%s\n", key, text);
	if (n < 0 || (size_t)n >= room)
		return used; // left out whole
	for (char *c = line + used + strlen("CULVERT_"); *c != '='; c++)
		*c = (char)toupper((unsigned char)*c);
	return used + (size_t)n;
}

size_t log_format_journal(const struct log_entry *entry, char *line)
{
	char text[2 * LOG_TEXT_MAX];
	line_escape(entry->text, text, sizeof(text));
	size_t used = (size_t)snprintf(line, LOG_LINE_MAX,
				       "PRIORITY=%d\nSYSLOG_IDENTIFIER=culvert\nMESSAGE=%s: %s\n",
				       log_level_priority(entry->level), entry->area, text);
	used = add_field(line, used, "area", entry->area);
	for (const struct log_field *field = entry->fields; field && field->key; field++)
		used = add_field(line, used, field->key, field->value);
	line[used] = '\0';
	return used;
}
