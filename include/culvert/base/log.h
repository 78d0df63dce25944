// SPDX-License-Identifier: Apache-2.0
// One line per event: to standard error, to syslog or to the journal; for people, as logfmt or as
// JSON. Lines of several threads do not mix, and nothing in a line can look like another one. Who
// reads them cannot hold up who writes them: what the other side does not take is left out, and
// counted. Never called on the packet path. Any thread, but where it says otherwise.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_AS_TEXT, LOG_AS_LOGFMT, LOG_AS_JSON };
enum log_output { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_JOURNAL };

enum { LOG_LIMIT_PERIOD_S = 10, LOG_SAMPLE_MAX = 120 };

struct log_settings {
	enum log_level level;
	enum log_format format; // the journal has fields of its own instead
	enum log_output output;
	const char *socket_path; // of syslog or the journal; NULL: where the system has it
};

// Before the first thread is started. Until then: level info, text, standard error. 0 or -errno;
// nothing has changed then.
int log_open(const struct log_settings *settings, struct err *err);

// The level alone, at any time.
void log_set_level(enum log_level level);

// "error", "warn", "info" or "debug", in lower case. Returns false when the name is none of them.
bool log_level_parse(const char *name, enum log_level *level);

// What a program wants to know apart from the sentence; a NULL key ends an array of them. Keys are
// lower-case identifiers other than time, level, area and msg.
struct log_field {
	const char *key;
	const char *value;
};

// `area` is the part of the program that speaks, in lower case: "health", "config", "firewall".
// `fields` (NULL: none) are not shown in text: the sentence says what people need.
__attribute__((format(printf, 4, 5))) void log_event(enum log_level level, const char *area,
						     const struct log_field *fields,
						     const char *format, ...);

#define log_error(area, ...) log_event(LOG_ERROR, area, NULL, __VA_ARGS__)
#define log_warn(area, ...)  log_event(LOG_WARN, area, NULL, __VA_ARGS__)
#define log_info(area, ...)  log_event(LOG_INFO, area, NULL, __VA_ARGS__)
#define log_debug(area, ...) log_event(LOG_DEBUG, area, NULL, __VA_ARGS__)

// Of a message that others can provoke: at most `max` lines in LOG_LIMIT_PERIOD_S. Static, one for
// each message: struct log_limit limit = LOG_LIMIT(1). The rest belongs to log.c, under its lock.
struct log_limit {
	unsigned max;
	unsigned n;          // of this period
	unsigned n_left_out; // since the last line
	uint64_t until_ns;   // the end of this period
	enum log_level level;
	const char *area;
	char sample[LOG_SAMPLE_MAX]; // how the last line began
	struct log_limit *next;      // of those that have left out something
	bool is_listed;
};

#define LOG_LIMIT(n_max)       \
	{                      \
		.max = (n_max) \
	}

// As log_event(), within the limit.
__attribute__((format(printf, 5, 6))) void log_limited(struct log_limit *limit,
						       enum log_level level, const char *area,
						       const struct log_field *fields,
						       const char *format, ...);

// Say how much has been left out by limits whose period is over at `now_ns`; to be called every few
// seconds. Called by: control.
void log_flush_limits(uint64_t now_ns);
