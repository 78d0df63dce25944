// SPDX-License-Identifier: Apache-2.0
// The configuration's file and directory, as they change before anybody looks.
#include "config_watch.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "culvert/base/clock.h"

enum { PATH_MAX_BYTES = 128, READ_MAX = 4096, NOISE_MS = 1500, WAKE_UPS_MAX = 40 };

struct bench {
	char directory[PATH_MAX_BYTES];
	char path[PATH_MAX_BYTES + 16];
	struct event_base *base;
	struct config_watch *watch;
	unsigned n_changes;
};

static void on_change(void *arg)
{
	struct bench *bench = arg;
	bench->n_changes++;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

// With a configuration that was read so long after now.
static void start(struct bench *bench, time_t after_s)
{
	struct err err = {0};
	struct timespec read_at;
	clock_gettime(CLOCK_REALTIME_COARSE, &read_at);
	read_at.tv_sec += after_s;
	bench->base = event_base_new();
	cr_assert_eq(config_watch_start(&bench->watch, bench->base, bench->path, read_at, on_change,
					bench, &err),
		     0, "%s", err.message);
}

static void bench_init(struct bench *bench)
{
	*bench = (struct bench){.directory = "/tmp/config-watch-XXXXXX"};
	cr_assert(mkdtemp(bench->directory));
	snprintf(bench->path, sizeof(bench->path), "%s/culvert.toml", bench->directory);
	write_file(bench->path, "one");
	start(bench, 3600);
}

static void bench_fini(struct bench *bench)
{
	config_watch_stop(bench->watch);
	event_base_free(bench->base);
	unlink(bench->path);
	rmdir(bench->directory);
}

// What the log says while all events that are there are taken.
static void take_events(struct bench *bench, char *said)
{
	int kept = dup(STDERR_FILENO);
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	cr_assert(kept >= 0 && file >= 0);
	dup2(file, STDERR_FILENO);
	event_base_loop(bench->base, EVLOOP_NONBLOCK);
	dup2(kept, STDERR_FILENO);
	ssize_t n = pread(file, said, READ_MAX - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(kept);
	close(file);
}

Test(config_watch, pieces_of_one_write_are_one_change)
{
	struct bench bench;
	bench_init(&bench);
	write_file(bench.path, "two two");
	write_file(bench.path, "three three");
	while (bench.n_changes == 0)
		event_base_loop(bench.base, EVLOOP_ONCE);
	event_base_loop(bench.base, EVLOOP_NONBLOCK);
	cr_expect_eq(bench.n_changes, 1);
	bench_fini(&bench);
}

static void await_change(struct bench *bench)
{
	for (int i = 0; i < 500 && bench->n_changes == 0; i++) {
		event_base_loop(bench->base, EVLOOP_NONBLOCK);
		usleep(10000);
	}
	cr_expect_eq(bench->n_changes, 1);
}

Test(config_watch, who_may_read_it_is_a_change)
{
	struct bench bench;
	bench_init(&bench);
	cr_assert_eq(chmod(bench.path, 0640), 0);
	await_change(&bench);
	bench_fini(&bench);
}

// While culvert was busy starting.
Test(config_watch, what_has_changed_since_it_was_read_is_a_change)
{
	struct bench bench;
	bench_init(&bench);
	config_watch_stop(bench.watch);
	event_base_free(bench.base);
	start(&bench, -1);
	await_change(&bench);
	bench_fini(&bench);
}

Test(config_watch, another_directory_in_its_place_is_watched)
{
	char before[PATH_MAX_BYTES + 16];
	char old[PATH_MAX_BYTES + 32];
	struct bench bench;
	bench_init(&bench);
	snprintf(before, sizeof(before), "%s.old", bench.directory);
	snprintf(old, sizeof(old), "%s/culvert.toml", before);
	cr_assert_eq(rename(bench.directory, before), 0);
	cr_assert_eq(mkdir(bench.directory, 0700), 0);
	write_file(bench.path, "two two");
	await_change(&bench);
	bench.n_changes = 0;
	write_file(old, "three three three");
	write_file(bench.path, "four four four four");
	await_change(&bench);
	unlink(old);
	rmdir(before);
	bench_fini(&bench);
}

// And one that comes later, by a link or by its name.
Test(config_watch, a_directory_that_comes_back_is_watched)
{
	char away[PATH_MAX_BYTES + 16];
	char said[READ_MAX];
	struct bench bench;
	bench_init(&bench);
	snprintf(away, sizeof(away), "%s.away", bench.directory);
	cr_assert_eq(rename(bench.directory, away), 0);
	for (int i = 0; i < 40; i++) {
		take_events(&bench, said);
		config_watch_look(bench.watch);
		usleep(10000);
	}
	cr_assert_eq(symlink(away, bench.directory), 0);
	config_watch_look(bench.watch);
	write_file(bench.path, "two two");
	await_change(&bench);
	bench.n_changes = 0;
	write_file(bench.path, "three three three");
	await_change(&bench);
	unlink(bench.path);
	unlink(bench.directory);
	cr_assert_eq(rename(away, bench.directory), 0);
	bench_fini(&bench);
}

static void await_log(struct bench *bench, const char *text, char *said)
{
	said[0] = '\0';
	for (int i = 0; i < 500 && !strstr(said, text); i++) {
		take_events(bench, said);
		usleep(10000);
	}
	cr_expect(strstr(said, text), "%s", text);
}

Test(config_watch, a_file_that_goes_and_comes_is_told_once_each)
{
	char said[READ_MAX];
	char kept[PATH_MAX_BYTES + 16];
	struct bench bench;
	bench_init(&bench);
	snprintf(kept, sizeof(kept), "%s/kept", bench.directory);
	cr_assert_eq(rename(bench.path, kept), 0);
	await_log(&bench, "culvert.toml is gone", said);
	write_file(kept, "two two");
	for (int i = 0; i < 40; i++) { // the directory changes, and comes to rest
		take_events(&bench, said);
		cr_expect_null(strstr(said, "gone"), "once is enough: %s", said);
		usleep(10000);
	}
	cr_expect_eq(bench.n_changes, 0);
	cr_assert_eq(rename(kept, bench.path), 0);
	await_log(&bench, "culvert.toml is there again", said);
	cr_expect_eq(bench.n_changes, 1);
	bench_fini(&bench);
}

struct noise {
	char path[PATH_MAX_BYTES + 16];
	atomic_bool is_over;
};

static void *make_noise(void *arg)
{
	struct noise *noise = arg;
	int file = open(noise->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(file >= 0);
	while (!atomic_load(&noise->is_over))
		cr_assert_eq(pwrite(file, "x", 1, 0), 1);
	close(file);
	return NULL;
}

// A log in the same directory, say.
Test(config_watch, a_file_beside_it_that_is_written_all_the_time_costs_little)
{
	struct bench bench;
	struct noise noise = {0};
	pthread_t thread;
	unsigned n_wake_ups = 0;
	bench_init(&bench);
	snprintf(noise.path, sizeof(noise.path), "%s/log", bench.directory);
	cr_assert_eq(pthread_create(&thread, NULL, make_noise, &noise), 0);
	uint64_t begin_ns = clock_now_ns();
	while (clock_now_ns() - begin_ns < NOISE_MS * NS_PER_MS) {
		event_base_loop(bench.base, EVLOOP_ONCE);
		n_wake_ups++;
	}
	cr_expect_leq(n_wake_ups, WAKE_UPS_MAX);
	cr_expect_eq(bench.n_changes, 0);
	write_file(bench.path, "two two");
	while (bench.n_changes == 0)
		event_base_loop(bench.base, EVLOOP_ONCE);
	for (int i = 0; i < 4; i++)
		event_base_loop(bench.base, EVLOOP_ONCE);
	cr_expect_eq(bench.n_changes, 1, "and the change is noticed, once");
	atomic_store(&noise.is_over, true);
	pthread_join(thread, NULL);
	unlink(noise.path);
	bench_fini(&bench);
}

// Whoever removes a directory has mostly just been at work in it.
Test(config_watch, a_directory_that_goes_is_told_of_whatever_came_before)
{
	char said[READ_MAX];
	struct bench bench;
	bench_init(&bench);
	write_file(bench.path, "two");
	unlink(bench.path);
	rmdir(bench.directory);
	take_events(&bench, said);
	cr_expect(strstr(said, "cannot watch"), "%s", said);
	cr_expect_eq(bench.n_changes, 0);
	bench_fini(&bench);
}
