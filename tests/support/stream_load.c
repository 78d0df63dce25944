// SPDX-License-Identifier: Apache-2.0
// Opens TCP connections, and holds them or has an echo server tested over them.
//
//	stream_load --dst ADDR:PORT --connections N --idle
//	stream_load --dst ADDR:PORT --connections N --seconds S [--max-message BYTES]
//	            [--max-messages N] [--max-pause-ms N]
//
// --rate N     opens so many connections per second at most
// --timeout-ms N   for a connection to be made, or for the next bytes to move (10000)
//
// With --idle it prints "open K" once every connection has been tried, K of them open, and closes
// them at SIGTERM. Else each of N places talks for S seconds: it connects, sends up to
// --max-messages (16) of up to --max-message bytes (65536), awaits and compares the echo of each,
// rests up to --max-pause-ms (100) before the next, sends its FIN, awaits the server's, and
// connects anew. SIGTERM ends that early. What is under way at the end is brought to its end, a
// connection that is only being made with one message.
//
// The last line is JSON: connections tried = completed + failed, the failed by kind, messages
// echoed, bytes both ways. Each failure is a line on standard error when it happens:
//
//	1700000000000 reset 10.0.0.10:40000 talking, 12 sent, 3 received: Connection reset by peer
//
// beginning with milliseconds since 1970 and the kind:
//
// refused   by the other side, before there was a connection
// reset     by the other side
// timeout   nothing moved for so long
// mismatch  what came is not the echo, or more than that
// short     the server closed before its time
// other     as the line says; "Cannot assign requested address" when all ports are in TIME-WAIT,
// which
//           the sysctl net.ipv4.tcp_tw_reuse=1 shortens to a second
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "args.h"
#include "stream/process.h"
#include "stream/session.h"

enum { N_EVENTS = 256, MAX_CONNECTIONS = 1000000 };

static uint64_t count_in(const struct load *load, enum session_state state)
{
	uint64_t n = 0;
	for (uint64_t i = 0; i < load->n_sessions; i++)
		n += load->sessions[i].state == state;
	return n;
}

// With --idle: is every connection open, or lost?
static bool are_all_tried(const struct load *load)
{
	return count_in(load, SESSION_WAITING) + count_in(load, SESSION_CONNECTING) == 0;
}

// False when a signal says to end.
static bool handle_events(struct load *load, int signals, int timeout_ms)
{
	struct epoll_event events[N_EVENTS];
	bool goes_on = true;
	int n = epoll_wait(load->epoll, events, N_EVENTS, timeout_ms);
	if (n < 0 && errno != EINTR)
		load_fail("epoll_wait");
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			session_event(load, events[i].data.ptr, events[i].events);
		else
			goes_on = false;
	}
	if (!goes_on)
		close(signals); // one is enough: it stays readable
	return goes_on;
}

static void run(struct load *load, int signals, uint64_t end_ns)
{
	uint64_t next_tick = 0;
	bool has_said = !load->is_idle;
	uint64_t n_over = 0;
	while (n_over < load->n_sessions || !load->is_over) {
		if (!handle_events(load, signals, SESSION_TICK_MS))
			load->is_over = true;
		uint64_t now = process_now_ns();
		if (now < next_tick)
			continue;
		next_tick = now + SESSION_TICK_MS * UINT64_C(1000000);
		load->is_over |= now >= end_ns;
		for (uint64_t i = 0; i < load->n_sessions; i++)
			session_tick(load, &load->sessions[i], now);
		n_over = count_in(load, SESSION_OVER);
		if (!has_said && are_all_tried(load)) {
			printf("open %" PRIu64 "\n", count_in(load, SESSION_HELD));
			fflush(stdout);
			has_said = true;
		}
	}
}

static void report(const struct load *load)
{
	printf("{\"tried\": %" PRIu64 ", \"completed\": %" PRIu64 ", \"failed\": {", load->tried,
	       load->completed);
	for (int i = 0; i < N_FAILURES; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", failure_name(i), load->failed[i]);
	printf("}, \"messages\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"received\": %" PRIu64 "}\n",
	       load->messages, load->sent, load->received);
}

static _Noreturn void usage(void)
{
	fputs("Usage: stream_load --dst ADDR:PORT --connections N --idle | --seconds S [--rate N]\n"
	      "           [--timeout-ms N] [--max-message BYTES] [--max-messages N] "
	      "[--max-pause-ms N]\n",
	      stderr);
	exit(2);
}

struct options {
	struct load *load;
	uint64_t rate;
	uint64_t seconds;
};

static bool parse_option(struct options *options, int option)
{
	struct load *load = options->load;
	switch (option) {
	case 'd':
		return parse_any_endpoint(optarg, &load->dst, &load->dst_len);
	case 'c':
		return parse_number(optarg, 1, MAX_CONNECTIONS, &load->n_sessions);
	case 'i':
		load->is_idle = true;
		return true;
	case 's':
		return parse_number(optarg, 1, 86400, &options->seconds);
	case 'r':
		return parse_number(optarg, 1, 1000000, &options->rate);
	case 't':
		return parse_number(optarg, 1, 3600000, &load->timeout_ms);
	case 'b':
		return parse_number(optarg, 1, UINT32_MAX, &load->max_message);
	case 'm':
		return parse_number(optarg, 1, UINT32_MAX, &load->max_messages);
	case 'p':
		return parse_number(optarg, 0, 3600000, &load->max_pause_ms);
	default:
		return false;
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {{"dst", required_argument, NULL, 'd'},
					      {"connections", required_argument, NULL, 'c'},
					      {"idle", no_argument, NULL, 'i'},
					      {"seconds", required_argument, NULL, 's'},
					      {"rate", required_argument, NULL, 'r'},
					      {"timeout-ms", required_argument, NULL, 't'},
					      {"max-message", required_argument, NULL, 'b'},
					      {"max-messages", required_argument, NULL, 'm'},
					      {"max-pause-ms", required_argument, NULL, 'p'},
					      {0}};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (!parse_option(options, c))
			usage();
	}
	const struct load *load = options->load;
	if (load->dst_len == 0 || load->n_sessions == 0 || optind != argc ||
	    load->is_idle == (options->seconds > 0))
		usage();
}

static int open_signals(const struct load *load)
{
	struct epoll_event event = {.events = EPOLLIN}; // without a session
	int signals = process_open_signals();
	if (signals < 0 || epoll_ctl(load->epoll, EPOLL_CTL_ADD, signals, &event) != 0)
		load_fail("signals");
	return signals;
}

int main(int argc, char **argv)
{
	struct load load = {.max_message = 65536,
			    .max_messages = 16,
			    .max_pause_ms = 100,
			    .timeout_ms = 10000,
			    .random = stream_seed()};
	struct options options = {.load = &load};
	parse_options(argc, argv, &options);
	process_raise_file_limit();
	uint64_t now = process_now_ns();
	load.interval_ns = options.rate ? 1000000000U / options.rate : 0;
	load.next_connect_ns = now;
	load.sessions = calloc(load.n_sessions, sizeof(*load.sessions)); // waiting
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!load.sessions || load.epoll < 0)
		load_fail("start");
	int signals = open_signals(&load);
	run(&load, signals, load.is_idle ? UINT64_MAX : now + options.seconds * 1000000000U);
	report(&load);
	free(load.sessions);
	return 0;
}
