// SPDX-License-Identifier: Apache-2.0
// The least that a forwarder can do with culvert's own I/O: the same sockets and batches, and
// nothing between them but new link addresses. What this forwards is what the driver lets through.
// Runs until SIGINT or SIGTERM, then prints how many frames it has sent.
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/packet/io.h"
#include "packet/packet_pool.h"

enum { N_PACKETS = 2 * PACKET_BURST, WAIT_MS = 100, LINK_IN = 0, LINK_OUT = 1 };

struct options {
	const char *in;
	const char *out;
	const char *filter;
	struct mac_addr to;
	bool has_to;
	const struct io_driver *driver;
	struct endpoint taken; // by AF_XDP sockets
};

struct forwarder {
	const struct io_driver *driver;
	struct io *io;
	uint32_t out; // the link that frames leave by
	struct packet_pool pool;
	struct mac_addr from;
	struct mac_addr to;
	uint64_t n_sent;
};

static atomic_bool is_stopping; // w: the signal's handler, r: main; orders nothing

static void stop(int number)
{
	(void)number;
	atomic_store_explicit(&is_stopping, true, memory_order_relaxed);
}

__attribute__((noreturn)) static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "null_forwarder: %s: %s\n", what, why);
	exit(1);
}

static bool parse_mac(const char *text, struct mac_addr *mac)
{
	struct ether_addr addr;
	if (!ether_aton_r(text, &addr))
		return false;
	memcpy(mac, &addr, sizeof(*mac));
	return true;
}

static struct mac_addr mac_of(const char *name)
{
	struct ifreq request = {0};
	struct mac_addr mac;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		give_up(name, strerror(errno));
	close(fd);
	memcpy(&mac, request.ifr_hwaddr.sa_data, sizeof(mac));
	return mac;
}

static struct io_link link_of(const char *name, const char *filter)
{
	struct io_link link = {.name = name, .ifindex = if_nametoindex(name), .filter = filter};
	if (!link.ifindex)
		give_up(name, strerror(errno));
	return link;
}

static void open_forwarder(struct forwarder *forwarder, const struct options *options)
{
	struct err err = {0};
	struct io_link links[] = {link_of(options->in, options->filter),
				  link_of(options->out, "less 0")};
	bool is_one = strcmp(options->in, options->out) == 0;
	struct io_scope scope = {.vips = &options->taken, .n_vips = 1};
	const struct io_driver *driver = options->driver;
	*forwarder = (struct forwarder){.driver = driver,
					.out = is_one ? LINK_IN : LINK_OUT,
					.from = mac_of(options->out),
					.to = options->to};
	if (driver->open(&forwarder->io, links, is_one ? 1 : 2, &err))
		give_up("cannot open", err.message);
	if (driver->set_scope && driver->set_scope(forwarder->io, &scope, &err))
		give_up("cannot open", err.message);
	if (packet_pool_init(&forwarder->pool, N_PACKETS, &err))
		give_up("cannot start", err.message);
	forwarder->pool.release = driver->release;
	forwarder->pool.io = forwarder->io;
}

static void readdress(const struct forwarder *forwarder, struct packet *packet)
{
	memcpy(packet->frame, &forwarder->to, sizeof(forwarder->to));
	memcpy(packet->frame + sizeof(forwarder->to), &forwarder->from, sizeof(forwarder->from));
	packet->verdict = VERDICT_FORWARDED;
}

// Returns false when nothing had come.
static bool forward_burst(struct forwarder *forwarder)
{
	struct packet *packets[PACKET_BURST];
	uint32_t n_taken = packet_pool_take(&forwarder->pool, packets, PACKET_BURST);
	int received = forwarder->driver->recv_burst(forwarder->io, LINK_IN, packets, n_taken);
	uint32_t n = received > 0 ? (uint32_t)received : 0;
	for (uint32_t i = 0; i < n; i++)
		readdress(forwarder, packets[i]);
	forwarder->driver->send_burst(forwarder->io, forwarder->out, packets, n);
	for (uint32_t i = 0; i < n; i++)
		forwarder->n_sent += packets[i]->verdict == VERDICT_FORWARDED;
	packet_pool_give_back(&forwarder->pool, packets, n_taken);
	return n > 0;
}

static void run(struct forwarder *forwarder)
{
	while (!atomic_load_explicit(&is_stopping, memory_order_relaxed)) {
		if (!forward_burst(forwarder))
			forwarder->driver->wait(forwarder->io, -1, WAIT_MS);
	}
}

static void usage(FILE *out)
{
	fputs("Usage: null_forwarder --in DEV --out DEV --to MAC [--filter EXPRESSION]\n"
	      "                      [--xdp ADDR:PORT/tcp|udp]\n"
	      "Sends every frame that comes in by --in, and that the filter (as tcpdump's) lets\n"
	      "through, out by --out to the link address --to. With --xdp, packets to that\n"
	      "address go by AF_XDP sockets.\n",
	      out);
}

// "10.0.0.1:80/udp".
static bool parse_taken(char *text, struct endpoint *endpoint)
{
	char *proto = strchr(text, '/');
	if (!proto)
		return false;
	*proto++ = '\0';
	if (!endpoint_parse(text, endpoint))
		return false;
	endpoint->proto = strcmp(proto, "udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	return endpoint->proto == IPPROTO_UDP || strcmp(proto, "tcp") == 0;
}

static bool parse_option(int c, char *value, struct options *options)
{
	switch (c) {
	case 'i':
		options->in = value;
		return true;
	case 'o':
		options->out = value;
		return true;
	case 'f':
		options->filter = value;
		return true;
	case 't':
		options->has_to = parse_mac(value, &options->to);
		return options->has_to;
	case 'x':
		options->driver = &io_afxdp;
		return parse_taken(value, &options->taken);
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"in", required_argument, NULL, 'i'},
					      {"out", required_argument, NULL, 'o'},
					      {"to", required_argument, NULL, 't'},
					      {"filter", required_argument, NULL, 'f'},
					      {"xdp", required_argument, NULL, 'x'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	struct options options = {.driver = &io_afpacket};
	struct forwarder forwarder;
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
	if (!options.in || !options.out || !options.has_to || optind != argc) {
		usage(stderr);
		return 2;
	}
	struct sigaction action = {.sa_handler = stop};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	open_forwarder(&forwarder, &options);
	puts("ready");
	fflush(stdout);
	run(&forwarder);
	printf("%llu\n", (unsigned long long)forwarder.n_sent);
	forwarder.driver->close(forwarder.io);
	packet_pool_fini(&forwarder.pool);
	return 0;
}
