// SPDX-License-Identifier: Apache-2.0
// When a stream changes to splice(2) and back, and the pipes that it takes for that.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/relay_bench.h"
#include "../support/lib/sockets.h"
#include "proxy/pipe_pool.h"
#include "proxy/relay.h"

enum { ROOM = 4 * 1024 * 1024 };

TestSuite(relay_splice, .timeout = 120);

static void give_room(struct relay_bench *bench)
{
	if (!sockets_set_room(bench->sender, ROOM) || !sockets_set_room(bench->from.fd, ROOM))
		cr_skip_test("needs root for large socket buffers");
}

// Splicing raises SIGPIPE where sending does not; the threads of proxy mode block every signal.
static void open_bench(struct relay_bench *bench, struct relay *relay, uint32_t max_pipes)
{
	sigset_t pipe_signal;
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
	cr_assert_eq(relay_init(relay, max_pipes, true), 0);
	relay_bench_init(bench, relay, true);
	give_room(bench);
}

// Through the whole stream and out.
static void pass(struct relay_bench *bench, size_t n)
{
	uint64_t end = bench->n_sent + n;
	while (bench->n_sent < end) {
		relay_bench_write(bench, end - bench->n_sent);
		relay_bench_move(bench);
		relay_bench_read(bench, n);
	}
	cr_assert(relay_bench_await_received(bench, end));
}

// What is written lies in one piece before the relay looks, so that every buffer but one is full.
static void pass_bulk(struct relay_bench *bench)
{
	enum { BULK = 2 * 1024 * 1024 };
	cr_assert_eq(relay_bench_write(bench, BULK), BULK);
	cr_assert(relay_bench_await_received(bench, bench->n_sent));
}

// Until the receiver's side is full and the rest waits in a pipe: all is there before the relay
// looks for the first time, so that it never comes in small pieces.
static void block(struct relay_bench *bench)
{
	enum { SENT = 3500000, TAKEN = 2000000, NARROW = 64 * 1024 };
	if (!sockets_set_room(bench->to.fd, NARROW) || !sockets_set_room(bench->receiver, NARROW))
		cr_skip_test("needs root for large socket buffers");
	cr_assert_eq(relay_bench_write(bench, SENT), SENT);
	while (bench->n_received < TAKEN) {
		relay_bench_move(bench);
		relay_bench_read(bench, NARROW);
	}
	cr_assert(relay_bench_await(bench, RELAY_WAITING));
	cr_assert_not_null(bench->stream.pipe);
}

Test(relay_splice, full_buffers_change_to_splice_and_small_ones_back)
{
	struct relay relay;
	struct relay_bench bench;
	open_bench(&bench, &relay, 1);
	pass(&bench, 20000);
	cr_expect_not(bench.stream.is_spliced);
	cr_expect_eq(relay.pipes.n_open, 0);
	for (int i = 0; i < 3; i++) {
		bool was_spliced = false;
		cr_assert_eq(relay_bench_write(&bench, ROOM / 2), ROOM / 2);
		while (bench.n_received < bench.n_sent) {
			relay_bench_move(&bench);
			was_spliced = was_spliced || bench.stream.is_spliced;
			relay_bench_read(&bench, ROOM);
		}
		cr_expect(was_spliced, "round %d", i);
		cr_expect_eq(relay.pipes.n_open, 1);
		for (int k = 0; k < 3; k++)
			pass(&bench, 100);
		cr_expect_not(bench.stream.is_spliced, "round %d", i);
		cr_expect_null(bench.stream.pipe);
	}
	cr_expect_not(bench.is_spoilt);
	relay_bench_fini(&bench);
	relay_fini(&relay);
}

Test(relay_splice, full_buffers_must_come_in_a_row)
{
	struct relay relay;
	struct relay_bench bench;
	open_bench(&bench, &relay, 1);
	for (int i = 0; i < 40; i++) {
		pass(&bench, (size_t)8 * RELAY_BUFFER);
		cr_expect_not(bench.stream.is_spliced);
		pass(&bench, 1);
	}
	relay_bench_fini(&bench);
	relay_fini(&relay);
}

Test(relay_splice, nothing_is_spliced_when_that_is_switched_off)
{
	struct relay relay;
	struct relay_bench bench;
	open_bench(&bench, &relay, 1);
	relay.may_splice = false;
	pass_bulk(&bench);
	cr_expect_not(bench.stream.is_spliced);
	cr_expect_eq(relay.pipes.n_open, 0);
	relay_bench_fini(&bench);
	relay_fini(&relay);
}

Test(relay_splice, without_pipes_it_goes_on_copying)
{
	struct relay relay;
	struct relay_bench bench;
	open_bench(&bench, &relay, 0);
	pass_bulk(&bench);
	pass_bulk(&bench);
	cr_expect_null(bench.stream.pipe);
	cr_expect_eq(relay.pipes.n_open, 0);
	shutdown(bench.sender, SHUT_WR);
	cr_expect(relay_bench_await(&bench, RELAY_ENDED));
	relay_bench_fini(&bench);
	relay_fini(&relay);
}

// The only pipe is with a stream whose receiver does not read.
Test(relay_splice, a_pipe_that_is_full_does_not_hold_up_other_streams)
{
	struct relay relay;
	struct relay_bench blocked;
	struct relay_bench bench;
	open_bench(&blocked, &relay, 1);
	relay_bench_init(&bench, &relay, true);
	give_room(&bench);
	block(&blocked);
	cr_expect_null(relay.pipes.idle);

	pass_bulk(&bench);
	pass_bulk(&bench);
	cr_expect_null(bench.stream.pipe);
	cr_expect(relay_bench_await_received(&blocked, blocked.n_sent));
	cr_expect_eq(relay.pipes.n_open, 1);
	cr_expect_not_null(relay.pipes.idle);
	relay_bench_fini(&bench);
	relay_bench_fini(&blocked);
	relay_fini(&relay);
}

Test(relay_splice, a_receiver_that_goes_while_a_pipe_waits_for_it_is_told)
{
	struct relay relay;
	struct relay_bench bench;
	unsigned n_open = sockets_n_open();
	open_bench(&bench, &relay, 2);
	block(&bench);
	sockets_close_by_reset(bench.receiver);
	bench.receiver = -1;
	cr_expect(relay_bench_await(&bench, RELAY_SINK_FAILED));
	relay_bench_fini(&bench);
	cr_expect_eq(relay.pipes.n_open, 0, "a pipe with bytes in it is of no more use");
	relay_fini(&relay);
	cr_expect_eq(sockets_n_open(), n_open);
}

Test(relay_splice, the_end_of_a_spliced_stream_is_passed_on)
{
	struct relay relay;
	struct relay_bench bench;
	open_bench(&bench, &relay, 1);
	block(&bench);
	shutdown(bench.sender, SHUT_WR);
	cr_expect(relay_bench_await_received(&bench, bench.n_sent));
	cr_expect(relay_bench_await(&bench, RELAY_ENDED));
	cr_expect_eq(bench.stream.n_bytes, bench.n_sent);
	cr_expect_eq(relay.pipes.n_open, 1);
	relay_bench_fini(&bench);
	relay_fini(&relay);
}

Test(pipe_pool, gives_as_many_as_it_may_and_the_same_again)
{
	enum { MAX = 3 };
	unsigned n_open = sockets_n_open();
	struct pipe_pool pool = {.max = MAX};
	struct pipe_ends *taken[MAX];
	for (unsigned i = 0; i < MAX; i++) {
		taken[i] = pipe_pool_take(&pool);
		cr_assert_not_null(taken[i]);
		cr_expect_eq(pool.n_open, i + 1);
	}
	cr_expect_null(pipe_pool_take(&pool));
	pipe_pool_give(&pool, taken[1]);
	cr_expect_eq(pool.n_open, MAX);
	cr_expect_eq(pipe_pool_take(&pool), taken[1]);
	cr_expect_null(pipe_pool_take(&pool));
	pipe_pool_discard(&pool, taken[0]);
	cr_expect_eq(pool.n_open, MAX - 1);
	pipe_pool_discard(&pool, NULL);
	cr_expect_eq(pool.n_open, MAX - 1);
	taken[0] = pipe_pool_take(&pool);
	cr_assert_not_null(taken[0]);
	for (unsigned i = 0; i < MAX; i++)
		pipe_pool_give(&pool, taken[i]);
	cr_expect_eq(sockets_n_open(), n_open + 2 * MAX);
	pipe_pool_fini(&pool);
	cr_expect_eq(pool.n_open, 0);
	cr_expect_eq(sockets_n_open(), n_open);
}

Test(pipe_pool, does_without_when_descriptors_are_short)
{
	struct pipe_pool pool = {.max = 2};
	struct rlimit before;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct pipe_ends *pipe = pipe_pool_take(&pool);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_expect_null(pipe);
	cr_expect_eq(pool.n_open, 0);
	pipe = pipe_pool_take(&pool);
	cr_assert_not_null(pipe);
	pipe_pool_give(&pool, pipe);
	pipe_pool_fini(&pool);
}
