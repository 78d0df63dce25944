// SPDX-License-Identifier: Apache-2.0
// Sends prepared frames of 60 bytes (64 with their check sequence) as fast as one thread can, past
// queueing disciplines: UDP datagrams, or TCP SYNs, of so many flows in turn. With
// PACKET_QDISC_BYPASS a frame that the device does not take is lost, and counted. Prints a JSON
// object.
#include "args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,
	FRAME_BYTES = 60,
	MAX_FLOWS = 1 << 24,
	CLIENTS_PER_PORT = 1 << 16,
	FIRST_PORT = 1024,
	SEND_BUFFER_BYTES = 16 << 20,
};

struct options {
	const char *dev;
	struct sockaddr_in dst;
	uint8_t to[ETH_ALEN];
	struct network sources;
	uint32_t n_flows;
	uint64_t rate; // packets per second; 0: as fast as can be
	double seconds;
	bool is_tcp;
	bool has_to;
};

union frame {
	uint8_t bytes[64];
	struct {
		struct ethhdr eth;
		struct iphdr ip;
		union {
			struct tcphdr tcp;
			struct udphdr udp;
		};
	} __attribute__((packed));
};

struct flood {
	union frame *frames; // owned, one for each flow
	uint32_t n_frames;
	uint32_t next;
	int fd;
	uint64_t n_sent;
	uint64_t n_refused;
};

static atomic_bool is_stopping; // w: the signal's handler, r: main; orders nothing

static void stop(int number)
{
	(void)number;
	atomic_store_explicit(&is_stopping, true, memory_order_relaxed);
}

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "frame_flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

// ---- frames ------------------------------------------------------------------------------------

static uint32_t sum_bytes(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < size; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static uint16_t folded_be(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

// Over the pseudo header and what follows (RFC 9293 section 3.1, RFC 768).
static uint16_t transport_sum_be(const union frame *frame)
{
	size_t at = offsetof(union frame, tcp);
	uint32_t sum = sum_bytes((const uint8_t *)&frame->ip.saddr, 8) + frame->ip.protocol +
		       (uint32_t)(FRAME_BYTES - at);
	return folded_be(sum + sum_bytes(frame->bytes + at, FRAME_BYTES - at));
}

static void put_transport(union frame *frame, const struct options *options, uint32_t flow)
{
	uint32_t port = FIRST_PORT + flow / CLIENTS_PER_PORT;
	if (options->is_tcp) {
		frame->tcp.source = htons((uint16_t)port);
		frame->tcp.dest = options->dst.sin_port;
		frame->tcp.seq = htonl(flow);
		frame->tcp.doff = 5;
		frame->tcp.syn = 1;
		frame->tcp.window = htons(64240);
		frame->tcp.check = transport_sum_be(frame);
		return;
	}
	frame->udp.source = htons((uint16_t)port);
	frame->udp.dest = options->dst.sin_port;
	frame->udp.len = htons(FRAME_BYTES - offsetof(union frame, udp));
	frame->udp.check = transport_sum_be(frame);
}

static void put_frame(union frame *frame, const struct options *options, const uint8_t *from,
		      uint32_t flow)
{
	uint32_t client = flow % CLIENTS_PER_PORT % options->sources.count;
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->eth.h_dest, options->to, ETH_ALEN);
	memcpy(frame->eth.h_source, from, ETH_ALEN);
	frame->eth.h_proto = htons(ETH_P_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.ttl = 64;
	frame->ip.tot_len = htons(FRAME_BYTES - sizeof(frame->eth));
	frame->ip.frag_off = htons(IP_DF);
	frame->ip.protocol = options->is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
	frame->ip.saddr = htonl(options->sources.first + client);
	frame->ip.daddr = options->dst.sin_addr.s_addr;
	frame->ip.check = folded_be(sum_bytes((const uint8_t *)&frame->ip, sizeof(frame->ip)));
	put_transport(frame, options, flow);
}

// ---- the socket --------------------------------------------------------------------------------

static void open_socket(struct flood *flood, const struct options *options, uint8_t *from)
{
	int one = 1;
	int bytes = SEND_BUFFER_BYTES;
	struct ifreq request = {0};
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_ifindex = (int)if_nametoindex(options->dev)};
	flood->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (flood->fd < 0)
		give_up("socket");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", options->dev);
	if (ioctl(flood->fd, SIOCGIFHWADDR, &request))
		give_up(options->dev);
	memcpy(from, request.ifr_hwaddr.sa_data, ETH_ALEN);
	if (setsockopt(flood->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(flood->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
	    bind(flood->fd, (struct sockaddr *)&addr, sizeof(addr)))
		give_up(options->dev);
}

static void send_batch(struct flood *flood, uint32_t n)
{
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	for (uint32_t i = 0; i < n; i++) {
		iov[i].iov_base = &flood->frames[flood->next];
		iov[i].iov_len = FRAME_BYTES;
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		flood->next = flood->next + 1 == flood->n_frames ? 0 : flood->next + 1;
	}
	for (uint32_t done = 0; done < n;) {
		int sent = sendmmsg(flood->fd, messages + done, n - done, 0);
		if (sent > 0) {
			flood->n_sent += (uint32_t)sent;
			done += (uint32_t)sent;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			flood->n_refused++;
			done++;
		} else if (errno != EINTR) {
			give_up("sendmmsg");
		}
	}
}

// Behind schedule it sends as fast as it can; ahead of it, it sleeps a little.
static double run(struct flood *flood, const struct options *options)
{
	uint64_t start = now_ns();
	uint64_t length = (uint64_t)(options->seconds * 1e9);
	uint64_t passed = 0;
	while (!atomic_load_explicit(&is_stopping, memory_order_relaxed) &&
	       (passed = now_ns() - start) < length) {
		uint64_t due = (uint64_t)((double)passed * (double)options->rate / 1e9);
		uint64_t done = flood->n_sent + flood->n_refused;
		if (options->rate && done >= due)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		else
			send_batch(flood, options->rate && due - done < BATCH
						  ? (uint32_t)(due - done)
						  : BATCH);
	}
	return (double)(now_ns() - start) / 1e9;
}

// ---- the command line --------------------------------------------------------------------------

static bool parse_mac(const char *text, uint8_t *mac)
{
	struct ether_addr addr;
	if (!ether_aton_r(text, &addr))
		return false;
	memcpy(mac, &addr, ETH_ALEN);
	return true;
}

static void usage(FILE *out)
{
	fputs("Usage: frame_flood --dev DEV --to MAC --dst ADDR:PORT [--tcp] [--flows N]\n"
	      "                   [--sources NET/LEN] [--rate N] [--seconds S]\n"
	      "Without --rate as fast as one thread can. Prints {\"sent\", \"refused\", "
	      "\"seconds\"}.\n",
	      out);
}

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;
	*seconds = strtod(text, &end);
	return *text && *end == '\0' && *seconds > 0 && *seconds < 1e6;
}

static bool parse_option(int c, const char *value, struct options *options)
{
	uint64_t number;
	switch (c) {
	case 'i':
		options->dev = value;
		return true;
	case 'm':
		options->has_to = parse_mac(value, options->to);
		return options->has_to;
	case 'd':
		return parse_endpoint(value, &options->dst);
	case 's':
		return parse_network(value, &options->sources);
	case 'r':
		return parse_number(value, 0, UINT32_MAX, &options->rate);
	case 'n':
		if (!parse_number(value, 1, MAX_FLOWS, &number))
			return false;
		options->n_flows = (uint32_t)number;
		return true;
	case 't':
		return parse_seconds(value, &options->seconds);
	case 'T':
		options->is_tcp = true;
		return true;
	default:
		return false;
	}
}

static void flood(const struct options *options)
{
	uint8_t from[ETH_ALEN];
	struct flood flood = {.n_frames = options->n_flows};
	open_socket(&flood, options, from);
	flood.frames = calloc(options->n_flows, sizeof(*flood.frames));
	if (!flood.frames)
		give_up("memory for the frames");
	for (uint32_t i = 0; i < options->n_flows; i++)
		put_frame(&flood.frames[i], options, from, i);
	double seconds = run(&flood, options);
	printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.6f}\n",
	       (unsigned long long)flood.n_sent, (unsigned long long)flood.n_refused, seconds);
	close(flood.fd);
	free(flood.frames);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"dev", required_argument, NULL, 'i'},
					      {"to", required_argument, NULL, 'm'},
					      {"dst", required_argument, NULL, 'd'},
					      {"sources", required_argument, NULL, 's'},
					      {"flows", required_argument, NULL, 'n'},
					      {"rate", required_argument, NULL, 'r'},
					      {"seconds", required_argument, NULL, 't'},
					      {"tcp", no_argument, NULL, 'T'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	struct options options = {.n_flows = 1, .seconds = 1};
	(void)parse_network("10.128.0.0/10", &options.sources);
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (!parse_option(c, optarg, &options)) {
			usage(stderr);
			return 2;
		}
	}
	bool is_whole = options.dev && options.has_to && options.dst.sin_family == AF_INET;
	if (!is_whole || optind != argc) {
		usage(stderr);
		return 2;
	}
	struct sigaction action = {.sa_handler = stop};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	flood(&options);
	return 0;
}
