// SPDX-License-Identifier: Apache-2.0
// Sends TCP SYNs or UDP datagrams with invented source addresses at a steady rate, through the
// kernel's own routing and neighbour resolution (a raw IP socket). Prints how many it sent.
#include "args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64 };

struct options {
	struct sockaddr_in dst;
	struct network sources;
	unsigned rate; // packets per second
	double seconds;
	bool is_udp;
};

struct packet {
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

// xorshift64: speed matters here, quality does not.
static uint32_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

static uint32_t sum_bytes(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

// Over the pseudo header and a transport header of even size (RFC 9293 section 3.1).
static uint16_t transport_checksum_be(const struct packet *packet, size_t size)
{
	uint32_t sum = sum_bytes(&packet->ip.saddr, 8) + packet->ip.protocol + (uint32_t)size;
	sum += sum_bytes(&packet->tcp, size);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

// Returns the size. The kernel fills in the length, identification and checksum of the IP header.
static size_t packet_build(struct packet *packet, const struct options *options, uint64_t *state)
{
	*packet = (struct packet){
		.ip = {.version = 4,
		       .ihl = 5,
		       .ttl = 64,
		       .protocol = options->is_udp ? IPPROTO_UDP : IPPROTO_TCP,
		       .saddr = htonl(options->sources.first +
				      random_next(state) % options->sources.count),
		       .daddr = options->dst.sin_addr.s_addr},
	};
	uint16_t source_be = htons((uint16_t)(1024 + random_next(state) % 64000));
	if (options->is_udp) {
		packet->udp.source = source_be;
		packet->udp.dest = options->dst.sin_port;
		packet->udp.len = htons(sizeof(packet->udp));
		packet->udp.check = transport_checksum_be(packet, sizeof(packet->udp));
		return sizeof(packet->ip) + sizeof(packet->udp);
	}
	packet->tcp.source = source_be;
	packet->tcp.dest = options->dst.sin_port;
	packet->tcp.seq = random_next(state);
	packet->tcp.doff = 5;
	packet->tcp.syn = 1;
	packet->tcp.window = htons(64240);
	packet->tcp.check = transport_checksum_be(packet, sizeof(packet->tcp));
	return sizeof(packet->ip) + sizeof(packet->tcp);
}

static unsigned send_batch(int fd, const struct options *options, uint64_t *state, unsigned count)
{
	static struct packet packets[BATCH];
	struct sockaddr_in dst = options->dst;
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	for (unsigned i = 0; i < count; i++) {
		iov[i].iov_base = &packets[i];
		iov[i].iov_len = packet_build(&packets[i], options, state);
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &dst;
		messages[i].msg_hdr.msg_namelen = sizeof(dst);
	}
	int sent = sendmmsg(fd, messages, count, 0);
	if (sent < 0 && errno != ENOBUFS && errno != EAGAIN) {
		perror("flood: sendmmsg");
		exit(1);
	}
	return sent < 0 ? 0 : (unsigned)sent;
}

// Behind schedule it sends as fast as it can; ahead of it, it sleeps a millisecond.
static void flood(int fd, const struct options *options)
{
	uint64_t state = now_ns() | 1;
	uint64_t start = now_ns();
	uint64_t end = start + (uint64_t)(options->seconds * 1e9);
	uint64_t sent = 0;
	for (uint64_t now = start; now < end; now = now_ns()) {
		uint64_t due = (uint64_t)((double)(now - start) * options->rate / 1e9);
		if (due <= sent) {
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			continue;
		}
		unsigned count = due - sent < BATCH ? (unsigned)(due - sent) : BATCH;
		sent += send_batch(fd, options, &state, count);
	}
	printf("%llu\n", (unsigned long long)sent);
}

static void usage(void)
{
	fputs("Usage: flood --dst ADDR:PORT [--udp] [--sources NET/LEN] [--rate N] [--seconds S]\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"dst", required_argument, NULL, 'd'},
					      {"sources", required_argument, NULL, 's'},
					      {"rate", required_argument, NULL, 'r'},
					      {"seconds", required_argument, NULL, 't'},
					      {"udp", no_argument, NULL, 'u'},
					      {0}};
	struct options options = {.rate = 1000, .seconds = 1};
	bool is_valid = parse_network("10.128.0.0/10", &options.sources);
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'd':
			is_valid &= parse_endpoint(optarg, &options.dst);
			break;
		case 's':
			is_valid &= parse_network(optarg, &options.sources);
			break;
		case 'r':
			options.rate = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			options.seconds = strtod(optarg, NULL);
			break;
		case 'u':
			options.is_udp = true;
			break;
		default:
			usage();
		}
	}
	if (!is_valid || options.dst.sin_family != AF_INET || optind != argc)
		usage();
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0) {
		perror("flood: socket");
		return 1;
	}
	flood(fd, &options);
	return 0;
}
