// SPDX-License-Identifier: Apache-2.0
// One direction of a session: what goes in comes out, and how it ends.
#include "proxy/relay.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/relay_bench.h"
#include "../support/lib/sockets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MAX_PIPES = 4, PLENTY = 8 * 1024 * 1024 };

// By either way, over either kind of socket.
static const struct {
	const char *name;
	bool is_tcp;
	bool may_splice;
} ways[] = {
	{"TCP, copied", true, false},
	{"TCP, spliced", true, true},
	{"Unix, copied", false, false},
	{"Unix, spliced", false, true},
};

TestSuite(relay, .timeout = 120);

static struct relay relay;

static void open_bench(struct relay_bench *bench, size_t way)
{
	cr_assert_eq(relay_init(&relay, MAX_PIPES, ways[way].may_splice), 0);
	relay_bench_init(bench, &relay, ways[way].is_tcp);
}

static void close_bench(struct relay_bench *bench)
{
	relay_bench_fini(bench);
	relay_fini(&relay);
}

static void give_room(struct relay_bench *bench, int bytes)
{
	if (!sockets_set_room(bench->sender, bytes) || !sockets_set_room(bench->from.fd, bytes) ||
	    !sockets_set_room(bench->to.fd, bytes) || !sockets_set_room(bench->receiver, bytes))
		cr_skip_test("needs root for large socket buffers");
}

static size_t up_to(unsigned *seed, size_t max)
{
	return 1 + (size_t)rand_r(seed) % max;
}

static void transfer_at_random(struct relay_bench *bench, size_t total, size_t max, unsigned seed)
{
	while (bench->n_received < total) {
		if (bench->n_sent < total)
			relay_bench_write(bench, up_to(&seed, max) % (total - bench->n_sent + 1));
		if (rand_r(&seed) % 2)
			relay_bench_move(bench);
		if (rand_r(&seed) % 2)
			relay_bench_read(bench, up_to(&seed, max));
	}
}

Test(relay, every_byte_arrives_in_order_whatever_the_pieces)
{
	static const struct {
		size_t total;
		size_t max;
	} runs[] = {{1000, 3}, {200000, 5000}, {5000000, 300000}};
	for (size_t way = 0; way < COUNT(ways); way++) {
		for (size_t i = 0; i < COUNT(runs); i++) {
			struct relay_bench bench;
			open_bench(&bench, way);
			transfer_at_random(&bench, runs[i].total, runs[i].max, (unsigned)i + 1);
			shutdown(bench.sender, SHUT_WR);
			cr_expect(relay_bench_await(&bench, RELAY_ENDED), "%s", ways[way].name);
			cr_expect_eq(bench.stream.n_bytes, runs[i].total);
			cr_expect_eq(relay_bench_read(&bench, 1), 0, "more than was sent");
			cr_expect_not(bench.is_spoilt, "%s, run %zu", ways[way].name, i);
			close_bench(&bench);
		}
	}
}

Test(relay, single_bytes_arrive_one_by_one)
{
	for (size_t way = 0; way < COUNT(ways); way++) {
		struct relay_bench bench;
		open_bench(&bench, way);
		for (uint64_t i = 1; i <= 300; i++) {
			cr_assert_eq(relay_bench_write(&bench, 1), 1);
			cr_assert(relay_bench_await_received(&bench, i), "%s, byte %llu",
				  ways[way].name, (unsigned long long)i);
		}
		close_bench(&bench);
	}
}

static int n_unread(int fd)
{
	int n = -1;
	cr_assert_eq(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

Test(relay, a_receiver_that_does_not_read_stops_the_reading)
{
	for (size_t way = 0; way < COUNT(ways); way++) {
		struct relay_bench bench;
		open_bench(&bench, way);
		relay_bench_fill(&bench);
		cr_expect(stream_is_blocked(&bench.stream), "%s", ways[way].name);
		if (bench.stream.held)
			cr_expect_leq(bench.stream.held_end, (uint32_t)RELAY_BUFFER);
		if (bench.stream.pipe)
			cr_expect_leq(bench.stream.n_piped, (uint32_t)PIPE_BYTES);
		int n_before = n_unread(bench.from.fd);
		cr_expect_gt(n_before, 0);
		bench.from.is_readable = true;
		cr_expect_eq(relay_bench_move(&bench), RELAY_WAITING);
		cr_expect_eq(n_unread(bench.from.fd), n_before, "%s: read on", ways[way].name);

		cr_expect(relay_bench_await_received(&bench, bench.n_sent), "%s", ways[way].name);
		cr_expect_not(stream_is_blocked(&bench.stream));
		close_bench(&bench);
	}
}

Test(relay, the_end_is_passed_on_only_when_all_before_it_was_taken)
{
	for (size_t way = 0; way < COUNT(ways); way++) {
		struct relay_bench bench;
		open_bench(&bench, way);
		relay_bench_fill(&bench);
		shutdown(bench.sender, SHUT_WR);
		cr_expect_eq(relay_bench_move(&bench), RELAY_WAITING, "%s", ways[way].name);
		while (bench.stream.n_bytes < bench.n_sent) {
			cr_expect_not(bench.stream.has_eof && stream_is_blocked(&bench.stream));
			relay_bench_read(&bench, PLENTY);
			relay_bench_move(&bench);
		}
		cr_expect(relay_bench_await(&bench, RELAY_ENDED), "%s", ways[way].name);
		cr_expect_eq(bench.stream.n_bytes, bench.n_sent);
		cr_expect(relay_bench_await_received(&bench, bench.n_sent));
		close_bench(&bench);
	}
}

Test(relay, an_empty_stream_ends)
{
	struct relay_bench bench;
	open_bench(&bench, 0);
	cr_expect_eq(relay_bench_move(&bench), RELAY_WAITING);
	shutdown(bench.sender, SHUT_WR);
	cr_expect(relay_bench_await(&bench, RELAY_ENDED));
	cr_expect_eq(bench.stream.n_bytes, 0);
	close_bench(&bench);
}

Test(relay, what_came_before_a_reset_is_delivered)
{
	enum { SENT = 100000 };
	for (size_t way = 0; way < 2; way++) { // Unix sockets know no reset
		struct relay_bench bench;
		open_bench(&bench, way);
		give_room(&bench, SENT);
		cr_assert_eq(relay_bench_write(&bench, SENT), SENT);
		while (n_unread(bench.from.fd) < SENT)
			;
		sockets_close_by_reset(bench.sender);
		bench.sender = -1;
		cr_expect(relay_bench_await(&bench, RELAY_SOURCE_FAILED), "%s", ways[way].name);
		cr_expect_eq(bench.stream.n_bytes, SENT, "%s", ways[way].name);
		// The receiver is told by a reset in its turn, which takes back what has not left.
		sockets_close_by_reset(bench.to.fd);
		bench.to.fd = -1;
		cr_expect_eq(relay_bench_read(&bench, SENT), SENT, "%s", ways[way].name);
		close_bench(&bench);
	}
}

// SIGPIPE, which would end the test, is not blocked here: the calls themselves must not raise it.
Test(relay, a_receiver_that_is_gone_is_told)
{
	for (size_t way = 0; way < COUNT(ways); way += 2) { // by copying
		struct relay_bench bench;
		open_bench(&bench, way);
		if (ways[way].is_tcp)
			sockets_close_by_reset(bench.receiver);
		else
			close(bench.receiver);
		bench.receiver = -1;
		relay_bench_write(&bench, 1000);
		cr_expect(relay_bench_await(&bench, RELAY_SINK_FAILED), "%s", ways[way].name);
		close_bench(&bench);
	}
}

// While bytes are held for it.
Test(relay, a_receiver_that_goes_while_bytes_wait_for_it_is_told)
{
	for (size_t way = 0; way < COUNT(ways); way += 2) {
		struct relay_bench bench;
		open_bench(&bench, way);
		relay_bench_fill(&bench);
		cr_assert(stream_is_blocked(&bench.stream));
		close(bench.receiver);
		bench.receiver = -1;
		cr_expect(relay_bench_await(&bench, RELAY_SINK_FAILED), "%s", ways[way].name);
		close_bench(&bench);
	}
}

Test(relay, one_stream_moves_no_more_than_its_budget_in_a_row)
{
	for (size_t way = 0; way < COUNT(ways); way++) {
		enum { ROOM = 4 * RELAY_BUDGET };
		struct relay_bench bench;
		open_bench(&bench, way);
		give_room(&bench, ROOM);
		while (bench.n_sent < 2 * RELAY_BUDGET + RELAY_BUFFER)
			cr_assert_gt(relay_bench_write(&bench, RELAY_BUFFER), 0);
		cr_expect_eq(relay_bench_move(&bench), RELAY_MORE, "%s", ways[way].name);
		cr_expect_geq(bench.stream.n_bytes, (uint64_t)RELAY_BUDGET);
		cr_expect_lt(bench.stream.n_bytes, (uint64_t)(RELAY_BUDGET + RELAY_BUFFER));
		cr_expect_eq(relay_bench_move(&bench), RELAY_MORE);
		cr_expect(relay_bench_await_taken(&bench, bench.n_sent));
		cr_expect_eq(relay_bench_move(&bench), RELAY_WAITING);
		cr_expect(relay_bench_await_received(&bench, bench.n_sent));
		close_bench(&bench);
	}
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

// All the memory that there is; a list for free().
static void **use_up_memory(void)
{
	void **list = NULL;
	for (size_t size = RELAY_BUFFER; size >= sizeof(void *); size /= 2) {
		void **piece;
		while ((piece = malloc(size))) {
			*piece = list;
			list = piece;
		}
	}
	return list;
}

// Neither end is at fault then, and neither will show an error.
Test(relay, want_of_memory_is_told_apart)
{
#ifdef HAS_SANITIZER
	cr_skip_test("a sanitizer does not live without memory");
#endif
	enum { ROOM = 8192, SENT = 60000 };
	struct relay_bench bench;
	struct rlimit before;
	open_bench(&bench, 0);
	give_room(&bench, ROOM);
	cr_assert(sockets_set_room(bench.from.fd, SENT));
	cr_assert(sockets_set_room(bench.sender, SENT));
	cr_assert_eq(relay_bench_write(&bench, SENT), SENT);
	while (n_unread(bench.from.fd) < SENT)
		;
	cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
	struct rlimit none = {0, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
	void **list = use_up_memory();
	enum relay_state state = relay_bench_move(&bench);
	while (list) {
		void **next = *list;
		free(list);
		list = next;
	}
	cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
	cr_expect_eq(state, RELAY_LACK);
	close_bench(&bench);
}

Test(relay, a_stream_that_is_given_up_leaves_nothing)
{
	for (size_t way = 0; way < COUNT(ways); way++) {
		struct relay_bench bench;
		unsigned n_open = sockets_n_open();
		open_bench(&bench, way);
		relay_bench_fill(&bench);
		cr_assert(stream_is_blocked(&bench.stream), "%s", ways[way].name);
		close_bench(&bench);
		cr_expect_eq(sockets_n_open(), n_open, "%s", ways[way].name);
		cr_expect_eq(relay.pipes.n_open, 0);
	}
}
