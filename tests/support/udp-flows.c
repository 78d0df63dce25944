// SPDX-License-Identifier: Apache-2.0
// Holds many UDP flows through a load balancer to udp-echo servers. A flow is a source address out
// of a network that the caller has made local (ip route add local NET dev lo) and one of a few
// source ports. Round 0 opens them, a few at a time: each speaks, has its echo, speaks again and
// has that echo too (a flow counts as live only once its client has spoken after the answer),
// before the next few begin. In each later round every flow sends one datagram more. A datagram
// carries its flow's number; what has no echo is sent again, a few times. Prints one line per
// round:
//   round R sent S echoed E wrong W moved M
// echoed: flows that had all their echoes. wrong: an echo reached another flow than its own. moved:
// it came from another server than before.
#include "args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	BATCH = 64,
	MAX_SOCKETS = 64,
	FIRST_PORT = 20000,
	BUFFER_BYTES = 16 << 20,
	TRIES = 5,
	QUIET_MS = 300, // without an echo for so long, what is missing is sent again
	WINDOW = 2048,  // datagrams under way
	OPENING = 256,  // flows that are being opened
};

struct options {
	struct sockaddr_in dst;
	struct network sources;
	uint32_t n_flows;
	unsigned rounds;
	unsigned pause_ms; // between rounds
};

struct round {
	uint64_t sent, echoed, wrong, moved;
};

// What a datagram carries. Steps 0 and 1 are round 0, step 2 is round 1, and so on.
struct mark {
	uint32_t flow;
	uint32_t step;
};

// Flows first to end - 1, of which each sends a datagram and waits for its echo.
struct exchange {
	uint32_t first;
	uint32_t end;
	uint32_t step;
	uint32_t echoed;
};

struct state {
	struct options options;
	int sockets[MAX_SOCKETS];
	unsigned n_sockets;
	uint8_t *server;    // by flow: who answered first, 0 none yet
	uint32_t *answered; // by flow: the last step it was answered in, plus 1
};

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static void fail(const char *what)
{
	fprintf(stderr, "udp-flows: %s: %s\n", what, strerror(errno));
	exit(1);
}

// Flow numbers walk over the addresses first, then over the sockets (ports).
static uint32_t flow_addr_be(const struct options *options, uint32_t flow)
{
	return htonl(options->sources.first + flow % options->sources.count);
}

static unsigned flow_socket(const struct options *options, uint32_t flow)
{
	return flow / options->sources.count;
}

static void open_sockets(struct state *state)
{
	const struct options *options = &state->options;
	int on = 1, size = BUFFER_BYTES;
	state->n_sockets = flow_socket(options, options->n_flows - 1) + 1;
	if (state->n_sockets > MAX_SOCKETS) {
		fputs("udp-flows: too many flows for so few source addresses\n", stderr);
		exit(2);
	}
	for (unsigned i = 0; i < state->n_sockets; i++) {
		struct sockaddr_in addr = {.sin_family = AF_INET,
					   .sin_port = htons((uint16_t)(FIRST_PORT + i))};
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
			fail("bind");
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0)
			fail("IP_PKTINFO");
		state->sockets[i] = fd;
	}
}

// Send the datagrams of `flows`, all of which use the same socket.
static void send_flows(struct state *state, const uint32_t *flows, unsigned count, uint32_t step)
{
	struct mark marks[BATCH];
	struct iovec iov[BATCH];
	union control control[BATCH];
	struct mmsghdr messages[BATCH];
	const struct options *options = &state->options;
	struct sockaddr_in dst = options->dst;
	for (unsigned i = 0; i < count; i++) {
		struct in_pktinfo info = {.ipi_spec_dst.s_addr = flow_addr_be(options, flows[i])};
		marks[i] = (struct mark){.flow = flows[i], .step = step};
		iov[i] = (struct iovec){.iov_base = &marks[i], .iov_len = sizeof(marks[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &dst,
						      .msg_namelen = sizeof(dst),
						      .msg_iov = &iov[i],
						      .msg_iovlen = 1,
						      .msg_control = &control[i],
						      .msg_controllen = sizeof(control[i])};
		struct cmsghdr *header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
		header->cmsg_level = IPPROTO_IP;
		header->cmsg_type = IP_PKTINFO;
		header->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(header), &info, sizeof(info));
	}
	// What the kernel does not take now is a lost datagram, and is sent again later.
	if (sendmmsg(state->sockets[flow_socket(options, flows[0])], messages, count, 0) < 0 &&
	    errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		fail("sendmmsg");
}

static void count_echo(struct state *state, struct round *round, struct exchange *exchange,
		       unsigned socket, struct msghdr *message, const uint8_t *payload, size_t size)
{
	const struct options *options = &state->options;
	struct mark mark;
	if (size != 1 + sizeof(mark))
		return;
	memcpy(&mark, payload + 1, sizeof(mark));
	if (mark.flow < exchange->first || mark.flow >= exchange->end ||
	    mark.step != exchange->step || state->answered[mark.flow] == exchange->step + 1)
		return; // late, or a second echo of a datagram that was sent twice
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	struct in_pktinfo info = {0};
	if (header && header->cmsg_type == IP_PKTINFO)
		memcpy(&info, CMSG_DATA(header), sizeof(info));
	if (info.ipi_addr.s_addr != flow_addr_be(options, mark.flow) ||
	    socket != flow_socket(options, mark.flow)) {
		round->wrong++;
		return;
	}
	if (state->server[mark.flow] != 0 && state->server[mark.flow] != payload[0])
		round->moved++;
	state->server[mark.flow] = payload[0];
	state->answered[mark.flow] = exchange->step + 1;
	exchange->echoed++;
}

static unsigned receive(struct state *state, struct round *round, struct exchange *exchange,
			unsigned socket)
{
	static uint8_t payloads[BATCH][64];
	struct iovec iov[BATCH];
	union control control[BATCH];
	struct mmsghdr messages[BATCH];
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = payloads[i], .iov_len = sizeof(payloads[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
						      .msg_iovlen = 1,
						      .msg_control = &control[i],
						      .msg_controllen = sizeof(control[i])};
	}
	int count = recvmmsg(state->sockets[socket], messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		count_echo(state, round, exchange, socket, &messages[i].msg_hdr, payloads[i],
			   messages[i].msg_len);
	return count > 0 ? (unsigned)count : 0;
}

// Take what has arrived on every socket; wait up to `timeout_ms` for the first.
static unsigned receive_all(struct state *state, struct round *round, struct exchange *exchange,
			    int timeout_ms)
{
	struct pollfd fds[MAX_SOCKETS];
	unsigned total = 0;
	for (unsigned i = 0; i < state->n_sockets; i++)
		fds[i] = (struct pollfd){.fd = state->sockets[i], .events = POLLIN};
	if (poll(fds, state->n_sockets, timeout_ms) <= 0)
		return 0;
	for (unsigned i = 0; i < state->n_sockets; i++) {
		for (unsigned n;
		     (fds[i].revents & POLLIN) && (n = receive(state, round, exchange, i));)
			total += n;
	}
	return total;
}

// Send every flow that has no answer in this step yet, never more than WINDOW ahead of the echoes.
static void send_unanswered(struct state *state, struct round *round, struct exchange *exchange)
{
	const struct options *options = &state->options;
	uint32_t flows[BATCH];
	uint64_t under_way = 0;
	for (uint32_t flow = exchange->first; flow < exchange->end;) {
		unsigned count = 0;
		unsigned socket = flow_socket(options, flow);
		for (;
		     count < BATCH && flow < exchange->end && flow_socket(options, flow) == socket;
		     flow++) {
			if (state->answered[flow] != exchange->step + 1)
				flows[count++] = flow;
		}
		if (count == 0)
			continue;
		send_flows(state, flows, count, exchange->step);
		round->sent += count;
		under_way += count;
		while (under_way > WINDOW) {
			unsigned n = receive_all(state, round, exchange, 20);
			under_way = n == 0 || n > under_way ? 0 : under_way - n; // none: lost
		}
	}
}

// Returns how many flows had their echo.
static uint32_t run_exchange(struct state *state, struct round *round, uint32_t first, uint32_t end,
			     uint32_t step)
{
	struct exchange exchange = {.first = first, .end = end, .step = step};
	uint32_t count = end - first;
	for (unsigned try = 0; try < TRIES && exchange.echoed < count; try++) {
		send_unanswered(state, round, &exchange);
		while (exchange.echoed < count &&
		       receive_all(state, round, &exchange, QUIET_MS) > 0)
			;
	}
	return exchange.echoed;
}

// A few flows at a time, since those that are half open make way for others.
static void open_flows(struct state *state, struct round *round)
{
	uint32_t n_flows = state->options.n_flows;
	for (uint32_t first = 0, end; first < n_flows; first = end) {
		end = n_flows - first > OPENING ? first + OPENING : n_flows;
		uint32_t opened = run_exchange(state, round, first, end, 0);
		uint32_t held = run_exchange(state, round, first, end, 1);
		round->echoed += opened < held ? opened : held;
	}
}

static void run_round(struct state *state, uint32_t number)
{
	struct round round = {0};
	if (number == 0)
		open_flows(state, &round);
	else
		round.echoed = run_exchange(state, &round, 0, state->options.n_flows, number + 1);
	printf("round %u sent %llu echoed %llu wrong %llu moved %llu\n", number,
	       (unsigned long long)round.sent, (unsigned long long)round.echoed,
	       (unsigned long long)round.wrong, (unsigned long long)round.moved);
	fflush(stdout);
}

static void usage(void)
{
	fputs("Usage: udp-flows --dst ADDR:PORT --sources NET/LEN --flows N [--rounds N] "
	      "[--pause-ms N]\n",
	      stderr);
	exit(2);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {{"dst", required_argument, NULL, 'd'},
					      {"sources", required_argument, NULL, 's'},
					      {"flows", required_argument, NULL, 'f'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"pause-ms", required_argument, NULL, 'p'},
					      {0}};
	bool is_valid = true;
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'd')
			is_valid &= parse_endpoint(optarg, &options->dst);
		else if (c == 's')
			is_valid &= parse_network(optarg, &options->sources);
		else if (c == 'f')
			options->n_flows = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'r')
			options->rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'p')
			options->pause_ms = (unsigned)strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (!is_valid || options->dst.sin_family != AF_INET || options->sources.count == 0 ||
	    options->n_flows == 0 || optind != argc)
		usage();
}

int main(int argc, char **argv)
{
	struct state state = {.options.rounds = 2};
	parse_options(argc, argv, &state.options);
	state.server = calloc(state.options.n_flows, sizeof(*state.server));
	state.answered = calloc(state.options.n_flows, sizeof(*state.answered));
	if (!state.server || !state.answered)
		fail("memory");
	open_sockets(&state);
	for (uint32_t round = 0; round < state.options.rounds; round++) {
		if (round > 0 && state.options.pause_ms > 0)
			nanosleep(&(struct timespec){.tv_sec = state.options.pause_ms / 1000,
						     .tv_nsec = state.options.pause_ms % 1000 *
								1000000L},
				  NULL);
		run_round(&state, round);
	}
	free(state.server);
	free(state.answered);
	return 0;
}
