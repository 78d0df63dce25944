// SPDX-License-Identifier: Apache-2.0
// One thread: it looks at the journals ten times a second, and again at once while they are full of
// records; when none have come for a while it sleeps until one does. Lines gather in a buffer and
// are written when it is full or nothing more is there. What the file does not take is counted and
// given up: the next lines may find room.
#include "flow_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"
#include "culvert/base/thread.h"
#include "culvert/ds/doorbell.h"

enum {
	RECORDS_AT_ONCE = 64,
	BUFFER_SIZE = RECORDS_AT_ONCE * FLOW_LINE_MAX,
	LOOK_MS = 100,
	REST_LOOKS = 10, // in a row that have found nothing: waking for each record costs more
	FILE_MODE = 0640,
};

struct flow_writer {
	pthread_mutex_t names_lock; // held while names are read, never while a file is written to
	struct flow_names names;
	uint64_t generation; // of the registry that they are from
	struct flow_journal **journals;
	uint32_t n_journals;
	char *path;
	int wake_fd; // eventfd
	pthread_t thread;
	_Atomic bool is_reopening; // w: control and the thread; relaxed, the bell follows
	_Atomic bool is_stopping;  // w: control (release), r: the thread (acquire)

	// The thread's own, once it runs.
	struct flow_line_style style;
	struct pollfd *bells; // owned; of the journals, and wake_fd behind them
	unsigned n_idle_looks;
	int fd;
	bool is_torn;    // a line's beginning has been written, and its end has not
	bool is_failing; // the last write
	size_t used;
	char buffer[BUFFER_SIZE];
	counter_t lines;     // w: the thread, r: any
	counter_t unwritten; // likewise
};

// ---- the file ----------------------------------------------------------------------------------

// Not to wait for the reader of a pipe.
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		      FILE_MODE);
	return fd < 0 ? -errno : fd;
}

static void reopen(struct flow_writer *writer)
{
	int fd = open_file(writer->path);
	if (fd < 0) {
		log_error("flow_log",
			  "cannot open %s again: %s; going on with the file that was open",
			  writer->path, strerrordesc_np(-fd));
		return;
	}
	close(writer->fd);
	writer->fd = fd;
	writer->is_torn = false;
	log_info("flow_log", "opened %s again", writer->path);
}

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

// Once when it begins and once when it is over.
static void note_failure(struct flow_writer *writer, int error)
{
	if (error && !writer->is_failing)
		log_error("flow_log",
			  "cannot write to %s: %s; lines are counted and left out until it can be "
			  "written to again",
			  writer->path, strerrordesc_np(error));
	if (!error && writer->is_failing)
		log_info("flow_log", "%s can be written to again", writer->path);
	writer->is_failing = error != 0;
}

// How much was taken; *error is 0 when it was all.
static size_t write_buffer(struct flow_writer *writer, const char *text, size_t len, int *error)
{
	size_t done = 0;
	*error = 0;
	while (done < len && !*error) {
		ssize_t n = write(writer->fd, text + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			*error = n < 0 ? errno : EIO;
	}
	return done;
}

static void flush(struct flow_writer *writer)
{
	int error = 0;
	if (writer->used == 0)
		return;
	// Whoever reads the file shall not take a line for the end of a torn one.
	if (writer->is_torn && write_buffer(writer, "\n", 1, &error))
		writer->is_torn = false;
	size_t done = error ? 0 : write_buffer(writer, writer->buffer, writer->used, &error);
	counter_add(&writer->lines, count_lines(writer->buffer, done));
	counter_add(&writer->unwritten, count_lines(writer->buffer + done, writer->used - done));
	if (done)
		writer->is_torn = writer->buffer[done - 1] != '\n';
	writer->used = 0;
	note_failure(writer, error);
}

// ---- the journals ------------------------------------------------------------------------------

// From the monotonic clock to that of the calendar, which may be set at any time.
static int64_t clock_offset_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)(clock_now_ns() / NS_PER_MS);
}

// Up to RECORDS_AT_ONCE of one journal into the empty buffer.
static uint32_t take(struct flow_writer *writer, struct flow_journal *journal)
{
	struct flow_record *records[RECORDS_AT_ONCE];
	pthread_mutex_lock(&writer->names_lock);
	uint32_t n = flow_journal_take(journal, records, RECORDS_AT_ONCE);
	for (uint32_t i = 0; i < n; i++)
		writer->used += flow_line_format(records[i], &writer->names, &writer->style,
						 writer->buffer + writer->used);
	pthread_mutex_unlock(&writer->names_lock);
	flow_journal_give_back(journal, records, n);
	return n;
}

// True when there may be more at once.
static bool look(struct flow_writer *writer)
{
	bool has_more = false;
	writer->n_idle_looks++;
	writer->style.clock_ms = clock_offset_ms();
	for (uint32_t i = 0; i < writer->n_journals; i++) {
		uint32_t n = take(writer, writer->journals[i]);
		flush(writer);
		has_more = has_more || n == RECORDS_AT_ONCE;
		if (n)
			writer->n_idle_looks = 0;
	}
	return has_more;
}

static bool is_any_written(const struct flow_writer *writer)
{
	for (uint32_t i = 0; i < writer->n_journals; i++) {
		if (!flow_journal_is_empty(writer->journals[i]))
			return true;
	}
	return false;
}

static void rest(struct flow_writer *writer)
{
	for (uint32_t i = 0; i < writer->n_journals; i++)
		doorbell_arm(flow_journal_bell(writer->journals[i]));
	if (!is_any_written(writer))
		(void)poll(writer->bells, writer->n_journals + 1, -1);
	for (uint32_t i = 0; i < writer->n_journals; i++)
		doorbell_disarm(flow_journal_bell(writer->journals[i]));
}

static void await_records(struct flow_writer *writer)
{
	uint64_t rung;
	if (writer->n_idle_looks < REST_LOOKS)
		(void)poll(&writer->bells[writer->n_journals], 1, LOOK_MS);
	else
		rest(writer);
	(void)!read(writer->wake_fd, &rung, sizeof(rung));
}

static void *run(void *arg)
{
	struct flow_writer *writer = arg;
	// Pairs with the release in flow_writer_stop(): what was written down before is seen.
	while (!atomic_load_explicit(&writer->is_stopping, memory_order_acquire)) {
		if (atomic_exchange_explicit(&writer->is_reopening, false, memory_order_relaxed))
			reopen(writer);
		if (!look(writer))
			await_records(writer);
	}
	while (look(writer)) {
	}
	return NULL;
}

// ---- control -----------------------------------------------------------------------------------

static void ring(struct flow_writer *writer)
{
	static const uint64_t one = 1;
	(void)!write(writer->wake_fd, &one, sizeof(one));
}

static void destroy(struct flow_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->wake_fd >= 0)
		close(writer->wake_fd);
	pthread_mutex_destroy(&writer->names_lock);
	flow_names_fini(&writer->names);
	free(writer->bells);
	free(writer->journals);
	free(writer->path);
	free(writer);
}

static int copy_params(struct flow_writer *writer, const struct flow_writer_params *params)
{
	uint32_t n = params->n_journals;
	writer->style.mode = params->config->mode;
	writer->style.is_json = params->config->flow_log.format == LOG_AS_JSON;
	writer->path = strdup(params->config->flow_log.path);
	writer->journals = calloc(n + 1, sizeof(struct flow_journal *));
	writer->bells = calloc(n + 1, sizeof(*writer->bells));
	if (!writer->path || !writer->journals || !writer->bells)
		return -ENOMEM;
	memcpy(writer->journals, params->journals, n * sizeof(struct flow_journal *));
	writer->n_journals = n;
	writer->generation = registry_generation(params->registry);
	return flow_names_update(&writer->names, params->registry);
}

static void fill_in_bells(struct flow_writer *writer)
{
	uint32_t n = writer->n_journals;
	for (uint32_t i = 0; i < n; i++)
		writer->bells[i] = (struct pollfd){.fd = flow_journal_bell(writer->journals[i])->fd,
						   .events = POLLIN};
	writer->bells[n] = (struct pollfd){.fd = writer->wake_fd, .events = POLLIN};
}

static int open_all(struct flow_writer *writer, const struct flow_writer_params *params,
		    struct err *err)
{
	const char *path = params->config->flow_log.path;
	int code = copy_params(writer, params);
	if (code)
		return err_set(err, code, "not enough memory for the flow log");
	writer->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (writer->wake_fd < 0)
		return err_sys(err, -errno, "cannot open an eventfd");
	fill_in_bells(writer);
	writer->fd = open_file(path);
	if (writer->fd < 0)
		return err_sys(err, writer->fd,
			       "[flow_log] path: cannot open %s (its directory must be there, and "
			       "writable for the user that culvert runs as)",
			       path);
	return thread_start(&writer->thread, "cv-flow-log", run, writer, err);
}

int flow_writer_start(struct flow_writer **writer, const struct flow_writer_params *params,
		      struct err *err)
{
	struct flow_writer *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the flow log");
	made->fd = made->wake_fd = -1;
	pthread_mutex_init(&made->names_lock, NULL);
	int code = open_all(made, params, err);
	if (code) {
		destroy(made);
		return code;
	}
	*writer = made;
	return 0;
}

void flow_writer_follow(struct flow_writer *writer, const struct registry *registry)
{
	if (!writer || writer->generation == registry_generation(registry))
		return;
	pthread_mutex_lock(&writer->names_lock);
	// Short of memory: tried again with the next snapshot.
	if (flow_names_update(&writer->names, registry) == 0)
		writer->generation = registry_generation(registry);
	pthread_mutex_unlock(&writer->names_lock);
}

void flow_writer_reopen(struct flow_writer *writer)
{
	if (!writer)
		return;
	atomic_store_explicit(&writer->is_reopening, true, memory_order_relaxed);
	ring(writer);
}

void flow_writer_stop(struct flow_writer *writer)
{
	if (!writer)
		return;
	// Pairs with the acquire in run().
	atomic_store_explicit(&writer->is_stopping, true, memory_order_release);
	ring(writer);
	pthread_join(writer->thread, NULL);
	destroy(writer);
}

void flow_writer_stats(const struct flow_writer *writer, struct flow_log_stats *stats)
{
	*stats = (struct flow_log_stats){.is_on = writer != NULL};
	if (!writer)
		return;
	stats->lines = counter_read(&writer->lines);
	stats->unwritten = counter_read(&writer->unwritten);
	for (uint32_t i = 0; i < writer->n_journals; i++)
		stats->dropped += flow_journal_dropped(writer->journals[i]);
}
