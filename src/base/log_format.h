// SPDX-License-Identifier: Apache-2.0
// An event as the line, or the datagram, that says it.
#pragma once

#include <stddef.h>
#include <time.h>

#include "culvert/base/log.h"

// At most what a pipe takes or refuses as a whole (pipe(7)).
enum { LOG_LINE_MAX = 4096, LOG_TEXT_MAX = 1024 };

struct log_entry {
	enum log_level level;
	const char *area;
	const char *text;
	const struct log_field *fields; // NULL: none
	struct timespec time;
};

const char *log_level_name(enum log_level level);
int log_level_priority(enum log_level level); // of syslog: RFC 5424 section 6.2.1

// Each fills `line`, of LOG_LINE_MAX bytes, and returns the length; a zero follows.
size_t log_format_line(const struct log_entry *entry, enum log_format format, char *line);
// For standard error when the journal reads it: the priority, and no time of ours before text.
size_t log_format_stream(const struct log_entry *entry, enum log_format format, char *line);
// RFC 3164 as local syslog daemons read it: without the host.
size_t log_format_syslog(const struct log_entry *entry, enum log_format format, char *line);
// systemd's native protocol: a field a line.
size_t log_format_journal(const struct log_entry *entry, char *line);
