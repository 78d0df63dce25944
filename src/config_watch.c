// SPDX-License-Identifier: Apache-2.0
#include "config_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum {
	SETTLE_MS = 200,      // a file that is written piece by piece is read once
	SETTLE_MAX_MS = 2000, // and one that never rests is read too
	EVENTS_BYTES = 16 * (sizeof(struct inotify_event) + NAME_MAX + 1),
	READS_AT_ONCE = 64,
};

struct config_watch {
	char *path; // owned
	void (*on_change)(void *arg);
	void *arg;
	int fd;                  // owned; inotify
	int directory;           // its number there
	struct event *on_events; // owned; not pending while `settling` is
	struct event *settling;  // owned; pending, time after time, since first_ns
	uint64_t first_ns;
	struct stat looked; // of what was at `path` when it was last looked at; zeros: nothing
	struct stat seen;   // when on_change was called, or at the start
	bool is_gone;       // as far as the log says
};

// Not the time alone: a swapped link may lead to an older file. And not that of the contents, for
// who may read it changes as well.
static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

// Between two names it is nowhere for a moment, shorter than this waits.
static void log_gone(const struct config_watch *watch, bool is_gone)
{
	char detail[128];
	if (!is_gone) {
		log_info("reload", "%s is there again", watch->path);
		return;
	}
	int error = access(watch->path, F_OK) ? errno : ENOENT;
	bool is_hidden = error != ENOENT;
	log_warn("reload",
		 "%s %s%s: culvert goes on with the configuration that it has, and could not start "
		 "again",
		 watch->path, is_hidden ? "cannot be looked at, " : "is gone",
		 is_hidden ? strerror_r(error, detail, sizeof(detail)) : "");
}

static struct stat look_at(const char *path)
{
	struct stat found;
	return stat(path, &found) ? (struct stat){0} : found;
}

static void judge(struct config_watch *watch)
{
	bool is_gone = watch->looked.st_mode == 0;
	if (is_gone != watch->is_gone)
		log_gone(watch, is_gone);
	watch->is_gone = is_gone;
	if (is_gone || is_same_file(&watch->looked, &watch->seen))
		return;
	watch->seen = watch->looked;
	watch->on_change(watch->arg);
}

// Or it may not be where it was any more, which the queue was too full to say.
static bool is_directory_gone(const struct config_watch *watch, const char *events, ssize_t n)
{
	bool is_gone = false;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *event = (const struct inotify_event *)(events + at);
		is_gone |= (event->mask & IN_Q_OVERFLOW) != 0;
		is_gone |= event->wd == watch->directory &&
			   (event->mask & (IN_IGNORED | IN_MOVE_SELF));
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return is_gone;
}

// The one that has the path now.
static int watch_directory(struct config_watch *watch, struct err *err)
{
	char *copy = strdup(watch->path); // dirname() writes into it
	if (!copy)
		return err_set(err, -ENOMEM, "not enough memory to watch a file");
	const char *directory = dirname(copy);
	int before = watch->directory;
	int added = inotify_add_watch(watch->fd, directory,
				      IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
					      IN_DELETE | IN_ATTRIB | IN_MODIFY | IN_MOVE_SELF |
					      IN_ONLYDIR);
	int code = added < 0 ? err_sys(err, -errno, "cannot watch %s", directory) : 0;
	free(copy);
	watch->directory = added;
	if (before >= 0 && before != added)
		(void)inotify_rm_watch(watch->fd, before); // it may be gone
	return code;
}

static void follow_directory(struct config_watch *watch)
{
	struct err err;
	bool was_lost = watch->directory < 0;
	if (watch_directory(watch, &err) && !was_lost)
		log_warn("reload", "%s; until that works changes of %s are noticed late",
			 err.message, watch->path);
}

// Which file of the directory it was does not matter: it may be a link on the way to ours.
static void take_events(struct config_watch *watch)
{
	_Alignas(struct inotify_event) char buffer[EVENTS_BYTES];
	bool is_gone = false;
	ssize_t n = 1;
	for (int i = 0; i < READS_AT_ONCE && n > 0; i++) {
		n = read(watch->fd, buffer, sizeof(buffer));
		is_gone |= n > 0 && is_directory_gone(watch, buffer, n);
	}
	if (is_gone)
		follow_directory(watch);
}

static void look_again_later(const struct config_watch *watch)
{
	static const struct timeval wait = {.tv_usec = (suseconds_t)SETTLE_MS * 1000};
	event_add(watch->settling, &wait);
}

// Events are taken before the look: what changes after it makes a new one.
static void on_settling(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct config_watch *watch = arg;
	take_events(watch);
	struct stat before = watch->looked;
	watch->looked = look_at(watch->path);
	bool is_patient = clock_now_ns() - watch->first_ns < SETTLE_MAX_MS * NS_PER_MS;
	if (is_patient && !is_same_file(&watch->looked, &before)) {
		look_again_later(watch);
		return;
	}
	judge(watch);
	event_add(watch->on_events, NULL);
}

// From here on the file is looked at from time to time until it has come to rest, and events wait:
// other files of the directory may be written thousands of times a second.
static void start_looking(struct config_watch *watch)
{
	event_del(watch->on_events);
	watch->first_ns = clock_now_ns();
	watch->looked = look_at(watch->path);
	look_again_later(watch);
}

static void on_events(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct config_watch *watch = arg;
	take_events(watch);
	start_looking(watch);
}

void config_watch_look(struct config_watch *watch)
{
	if (!watch || event_pending(watch->settling, EV_TIMEOUT, NULL))
		return;
	follow_directory(watch);
	struct stat now = look_at(watch->path);
	if (!is_same_file(&now, &watch->looked))
		start_looking(watch);
}

// By the clock that files are dated by, in steps of some milliseconds.
static bool is_since(const struct stat *file, struct timespec read_at)
{
	return file->st_ctim.tv_sec > read_at.tv_sec ||
	       (file->st_ctim.tv_sec == read_at.tv_sec && file->st_ctim.tv_nsec >= read_at.tv_nsec);
}

static int open_all(struct config_watch *watch, struct event_base *base, struct timespec read_at,
		    struct err *err)
{
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		return err_sys(err, -errno, "cannot watch files");
	watch->on_events = event_new(base, watch->fd, EV_READ | EV_PERSIST, on_events, watch);
	watch->settling = evtimer_new(base, on_settling, watch);
	if (!watch->path || !watch->on_events || !watch->settling ||
	    event_add(watch->on_events, NULL))
		return err_set(err, -ENOMEM, "not enough memory to watch a file");
	int code = watch_directory(watch, err);
	watch->seen = watch->looked = look_at(watch->path);
	if (!code && is_since(&watch->seen, read_at)) {
		watch->seen = (struct stat){0};
		start_looking(watch);
	}
	return code;
}

int config_watch_start(struct config_watch **watch, struct event_base *base, const char *path,
		       struct timespec read_at, void (*on_change)(void *arg), void *arg,
		       struct err *err)
{
	struct config_watch *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory to watch a file");
	*made = (struct config_watch){
		.path = strdup(path),
		.on_change = on_change,
		.arg = arg,
		.fd = -1,
		.directory = -1,
	};
	int code = open_all(made, base, read_at, err);
	if (code) {
		config_watch_stop(made);
		return code;
	}
	*watch = made;
	return 0;
}

void config_watch_stop(struct config_watch *watch)
{
	if (!watch)
		return;
	if (watch->on_events)
		event_free(watch->on_events);
	if (watch->settling)
		event_free(watch->settling);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch->path);
	free(watch);
}
