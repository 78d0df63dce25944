// SPDX-License-Identifier: Apache-2.0
// The process-wide log. What it is set to is written before other threads start; lines and limits
// have a lock each, and none is held for long: nothing that is written to is waited for.
#include "culvert/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log_format.h"
#include "base/log_sink.h"
#include "culvert/base/clock.h"

struct sink {
	enum log_format format;
	enum log_output output;
	const char *path; // of syslog or the journal
	int fd;
	bool is_stream; // the journal reads standard error
	uint64_t n_lost;
};

static struct sink sink = {.fd = STDERR_FILENO};
static _Atomic int current_level = LOG_INFO;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;

static struct log_limit *limits; // those that have left out something
static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

// ---- where it goes -----------------------------------------------------------------------------

static int open_sink(const struct log_settings *settings, struct sink *opened, struct err *err)
{
	static const char *const paths[] = {
		[LOG_TO_SYSLOG] = "/dev/log",
		[LOG_TO_JOURNAL] = "/run/systemd/journal/socket",
	};
	*opened = (struct sink){
		.format = settings->format,
		.output = settings->output,
		.fd = STDERR_FILENO,
		.is_stream = log_sink_is_journal_stream(STDERR_FILENO),
	};
	if (settings->output == LOG_TO_STDERR)
		return 0;
	opened->path = settings->socket_path ? settings->socket_path : paths[settings->output];
	opened->fd = log_sink_open_socket(opened->path, err);
	return opened->fd < 0 ? opened->fd : 0;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

int log_open(const struct log_settings *settings, struct err *err)
{
	struct sink opened;
	int code = open_sink(settings, &opened, err);
	if (code)
		return code;
	pthread_mutex_lock(&sink_lock);
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink = opened;
	pthread_mutex_unlock(&sink_lock);
	log_set_level(settings->level);
	return 0;
}

static int write_stderr(const struct log_entry *entry, char *line)
{
	size_t len = sink.is_stream ? log_format_stream(entry, sink.format, line)
				    : log_format_line(entry, sink.format, line);
	return log_sink_write(STDERR_FILENO, line, len);
}

static int write_entry(const struct log_entry *entry)
{
	char line[LOG_LINE_MAX + 1];
	int code = 0;
	switch (sink.output) {
	case LOG_TO_STDERR:
		return write_stderr(entry, line);
	case LOG_TO_SYSLOG:
		code = log_sink_send(sink.fd, sink.path, line,
				     log_format_syslog(entry, sink.format, line));
		break;
	case LOG_TO_JOURNAL:
		code = log_sink_send(sink.fd, sink.path, line, log_format_journal(entry, line));
		break;
	}
	// Full is for a moment; without a daemon the lines would be lost for good.
	return code && code != -EAGAIN ? write_stderr(entry, line) : code;
}

// Before the next line that is taken.
static bool say_lost(const struct log_entry *next)
{
	char text[LOG_TEXT_MAX];
	struct log_entry entry = {LOG_WARN, "log", text, NULL, next->time};
	snprintf(text, sizeof(text),
		 "%llu lines are missing here: whoever reads the log did not keep up",
		 (unsigned long long)sink.n_lost);
	return write_entry(&entry) == 0;
}

static void write_locked(const struct log_entry *entry)
{
	if (sink.n_lost && say_lost(entry))
		sink.n_lost = 0;
	if (write_entry(entry))
		sink.n_lost++;
}

static bool is_wanted(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static void write_text(enum log_level level, const char *area, const struct log_field *fields,
		       const char *text)
{
	struct log_entry entry = {level, area, text, fields, {0}};
	clock_gettime(CLOCK_REALTIME, &entry.time);
	pthread_mutex_lock(&sink_lock);
	write_locked(&entry);
	pthread_mutex_unlock(&sink_lock);
}

void log_event(enum log_level level, const char *area, const struct log_field *fields,
	       const char *format, ...)
{
	char text[LOG_TEXT_MAX];
	va_list args;
	if (!is_wanted(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_text(level, area, fields, text);
}

// ---- limits ------------------------------------------------------------------------------------

static void list(struct log_limit *limit)
{
	if (limit->is_listed)
		return;
	limit->is_listed = true;
	limit->next = limits;
	limits = limit;
}

// May the line be written? *n_left_out were not, before it.
static bool admit(struct log_limit *limit, uint64_t now_ns, unsigned *n_left_out)
{
	if (now_ns >= limit->until_ns) {
		limit->n = 0;
		limit->until_ns = now_ns + LOG_LIMIT_PERIOD_S * NS_PER_SEC;
	}
	if (limit->n >= limit->max) {
		limit->n_left_out++;
		list(limit);
		return false;
	}
	limit->n++;
	*n_left_out = limit->n_left_out;
	limit->n_left_out = 0;
	return true;
}

static void say_left_out(enum log_level level, const char *area, unsigned count, const char *sample)
{
	if (count)
		log_event(level, area, NULL, "%u more like this were left out: %s", count, sample);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *area,
		 const struct log_field *fields, const char *format, ...)
{
	char text[LOG_TEXT_MAX];
	char sample[LOG_SAMPLE_MAX];
	unsigned n_left_out;
	va_list args;
	if (!is_wanted(level))
		return;
	pthread_mutex_lock(&limits_lock);
	bool is_admitted = admit(limit, clock_now_ns(), &n_left_out);
	memcpy(sample, limit->sample, sizeof(sample));
	pthread_mutex_unlock(&limits_lock);
	if (!is_admitted)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_left_out(level, area, n_left_out, sample);
	write_text(level, area, fields, text);
	pthread_mutex_lock(&limits_lock);
	limit->level = level;
	limit->area = area;
	snprintf(limit->sample, sizeof(limit->sample), "%.*s", LOG_SAMPLE_MAX - 1, text);
	pthread_mutex_unlock(&limits_lock);
}

// The next limit whose period is over and that has something to say: as it is, and forgotten.
static bool take_due(uint64_t now_ns, struct log_limit *taken)
{
	struct log_limit **at = &limits;
	while (*at && now_ns < (*at)->until_ns)
		at = &(*at)->next;
	struct log_limit *due = *at;
	if (!due)
		return false;
	*at = due->next;
	due->is_listed = false;
	*taken = *due;
	due->n_left_out = 0;
	return true;
}

void log_flush_limits(uint64_t now_ns)
{
	struct log_limit taken;
	bool is_taken = true;
	while (is_taken) {
		pthread_mutex_lock(&limits_lock);
		is_taken = take_due(now_ns, &taken);
		pthread_mutex_unlock(&limits_lock);
		if (is_taken)
			say_left_out(taken.level, taken.area, taken.n_left_out, taken.sample);
	}
}
