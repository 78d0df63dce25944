// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of fuzz_pipeline and fuzz_parse: whole packets of every kind in the notation of
// tests/golden, and damaged copies of each, and recipes for packets of flows in both families; and
// those of fuzz_proxy_header, which damages them itself. The same files on every run.
//
//	make_corpus tests/fuzz/corpus
#include <stdio.h>
#include <string.h>

#include "../support/lib/barrage.h"
#include "../support/lib/notation.h"
#include "../support/lib/recipe.h"
#include "culvert/net/parse.h"

enum { N_DAMAGED = 4, SEED_MAX = 8192 };

struct seed {
	uint8_t flags;
	const char *text;
};

enum {
	MENDED = BARRAGE_FIX_IP | BARRAGE_FIX_L4,
	FROM_BACKEND = BARRAGE_BACK | BARRAGE_TO_FLOW | BARRAGE_FIX_L4,
	UDP_ANSWER = BARRAGE_BACK | BARRAGE_TO_UDP_FLOW,
};

static const struct seed seeds[] = {
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp S seq 9 opts mss,sack,ts,ws"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp S seq 9 pad 6"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp S seq 9 ipopts rr,alert opts mss"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp S seq 9 ipopts lsrr"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp PA seq 1 ack 1 len 33"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp FA seq 1 ack 1"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp R seq 1"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp S seq 77"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp A seq 1 ack 1 len 7 pad 3"},
	{BARRAGE_PARTIAL, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp A seq 1 ack 1 len 99 partial"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp A seq 1 ack 1 len 9 badsum"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:80 tcp A seq 1 ack 1 ttl 1"},
	{FROM_BACKEND, "back 10.2.0.21:8080 > 10.2.0.1:1 tcp A seq 1 ack 1 len 40"},
	{FROM_BACKEND, "back 10.2.0.21:8080 > 10.2.0.1:1 tcp FA seq 1 ack 1 ipopts ts"},
	{FROM_BACKEND, "back 10.2.0.21:8080 > 10.2.0.1:1 tcp RA seq 1 ack 1"},
	{BARRAGE_BACK, "back 10.2.0.21:8080 > 10.2.0.1:40003 tcp A seq 1 ack 1"},
	{FROM_BACKEND, "back 10.2.0.22:8080 > 10.2.0.1:1 tcp A seq 1 ack 1"},
	{0, "front 10.1.0.11:1000 > 10.1.0.100:53 udp len 20"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:53 udp len 20 nosum"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:53 udp len 21 corrupt"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:53 udp pad 18"},
	{UDP_ANSWER, "back 10.2.0.21:5353 > 10.2.0.1:1 udp len 30 nosum"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 udp len 20"},
	{BARRAGE_FIX_L4, "front 10.1.0.1 > 10.1.0.100 icmp frag-needed 1300 "
			 "{ 10.1.0.100:80 > 10.1.0.11:1000 tcp A seq 1 }"},
	{BARRAGE_FIX_L4, "front 10.1.0.1 > 10.1.0.100 icmp time-exceeded "
			 "{ 10.1.0.100:53 > 10.1.0.11:1000 udp len 8 ipopts rr } quote 16"},
	{BARRAGE_BACK | BARRAGE_QUOTE_FLOW | BARRAGE_FIX_L4,
	 "back 10.2.0.9 > 10.2.0.1 icmp frag-needed 1300 "
	 "{ 10.2.0.1:1 > 10.2.0.21:8080 tcp A seq 1 } quote 20"},
	{0, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp S seq 9 mf len 8"},
	{0, "front 10.1.0.12 > 10.1.0.100 proto 47 len 24"},
	{MENDED, "front 10.1.0.12:1000 > 10.1.0.100:80 tcp SECU seq 4294967295 len 3 tos 3 df"},
};

// For the parser alone; packets of IPv6 reach the packet path by recipes.
static const char *const frames_v6[] = {
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp S seq 9 opts mss,sack,ts,ws",
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp PA seq 1 ack 1 len 9 ext hop,dest pad 5",
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp S seq 1 ext route0",
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp S seq 1 ext dest,hop",
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp S seq 1 ext ah",
	"front [fd00:1::12]:1000 > [fd00:1::100]:53 udp len 40 ext hop",
	"front [fd00:1::12]:1000 > [fd00:1::100]:80 tcp S seq 9 mf len 8",
	"front [fd00:1::9] > [fd00:1::100] icmp6 too-big 1400 "
	"{ [fd00:1::100]:80 > [fd00:1::12]:1000 tcp A seq 501 ack 101 len 900 }",
	"front [fd00:1::9] > [fd00:1::100] icmp6 addr-unreachable "
	"{ [fd00:1::100]:53 > [fd00:1::12]:1000 udp len 9 ext dest }",
};

// Each becomes a file for every way and both families. Flow 0 is TCP, flow 1 UDP, and 2 and 3 are
// theirs in IPv6.
enum {
	FLOW = BARRAGE_WHO_FLOW,
	REPLY = BARRAGE_WHO_FLOW | BARRAGE_WHO_BACK,
	SYN = TCP_FLAG_SYN,
	ACK = TCP_FLAG_ACK,
	FIN = TCP_FLAG_FIN,
	RST = TCP_FLAG_RST,
	PARTIAL = 3,
	SUPER = PARTIAL | RECIPE_SUMS_GSO,
};

static const struct recipe recipes[] = {
	{.who = 1, .flags = SYN, .chain = 0x40},
	{.who = 1, .flags = SYN, .chain = 0x20, .sums = PARTIAL},
	{.who = 1, .flags = SYN | ACK},
	{.who = 1, .flags = ACK, .len = {0, 9}},
	{.who = 1, .kind = RECIPE_UDP, .len = {0, 33}},
	{.who = 1, .kind = RECIPE_UDP, .len = {0, 33}, .sums = 2},
	{.who = 1, .flags = SYN, .tags = 1},
	{.who = 1, .flags = SYN, .tags = 2 | RECIPE_TAGS_VLAN},
	{.who = 1, .flags = SYN, .chain = 0x13, .tags = 2 | RECIPE_TAGS_PROVIDER},
	{.who = FLOW, .flags = ACK, .len = {0, 40}},
	{.who = FLOW, .flags = ACK, .len = {5, 180}, .fragment = 1},
	{.who = FLOW, .flags = ACK, .len = {15, 0}, .sums = SUPER, .chain = 0x30},
	{.who = FLOW, .flags = ACK | FIN},
	{.who = FLOW, .flags = RST},
	{.who = FLOW, .flags = ACK, .ttl = 1},
	{.who = FLOW, .flags = ACK, .len = {0, 7}, .sums = 1},
	{.who = FLOW, .flags = SYN, .seq = 2},
	{.who = FLOW | 1, .kind = RECIPE_UDP, .len = {0, 21}, .chain = 2},
	{.who = FLOW | 1, .kind = RECIPE_UDP, .len = {1, 21}, .fragment = 2},
	{.who = FLOW | 1, .kind = RECIPE_UDP, .len = {8, 0}, .sums = SUPER},
	{.who = REPLY, .flags = ACK, .len = {0, 40}},
	{.who = REPLY, .flags = ACK | FIN, .chain = 1},
	{.who = REPLY, .flags = ACK, .len = {15, 255}, .sums = SUPER},
	{.who = REPLY, .flags = RST | ACK},
	{.who = REPLY | 1, .kind = RECIPE_UDP, .len = {0, 50}},
	{.who = FLOW, .kind = RECIPE_ICMP_ABOUT_TCP, .ack = 80},
	{.who = FLOW | 1, .kind = RECIPE_ICMP_ABOUT_UDP, .flags = 2, .len = {0, 60}},
	{.who = REPLY, .kind = RECIPE_ICMP_ABOUT_TCP, .ack = 85},
	{.who = REPLY | 1, .kind = RECIPE_ICMP_ABOUT_UDP, .flags = 4, .len = {0, 28}},
	{.who = REPLY, .kind = RECIPE_ICMP_ABOUT_TUNNEL, .ack = 90},
	{.who = FLOW, .kind = RECIPE_ECHO, .len = {0, 56}},
	{.who = FLOW, .kind = RECIPE_OTHER, .flags = 50, .len = {0, 56}},
	{.who = FLOW, .flags = ACK, .chain = 0x14},
	{.who = FLOW, .flags = ACK, .chain = 0x0f, .sums = RECIPE_SUMS_PADDING * 3},
	{.who = FLOW, .flags = ACK, .sums = RECIPE_SUMS_BAD_IP},
};

#define HEADER(bytes)                    \
	{                                \
		bytes, sizeof(bytes) - 1 \
	}
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ADDRS_V4  "\12\0\0\1\12\0\0\2\60\71\0\120"
#define ADDR_V6   "\375\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"

static const struct {
	const char *bytes;
	size_t len;
} headers[] = {
	HEADER("PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n"),
	HEADER("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\nGET / HTTP/1.1\r\n"),
	HEADER("PROXY TCP6 fd00::1 1:2:3:4:5:6:7:8 12345 80\r\n"),
	HEADER("PROXY TCP6 ::FFFF:10.0.0.1 ::ffff:a00:2 12345 80\r\n"),
	HEADER("PROXY TCP6 1:: ::2:3:4:5:6:7:8 1 2\r\n"),
	HEADER("PROXY UNKNOWN\r\n"),
	HEADER("PROXY UNKNOWN fd00::1 \r fd00::2 12345 80\r\n"),
	HEADER(SIGNATURE "\x21\x11\0\14" ADDRS_V4),
	HEADER(SIGNATURE "\x21\x21\0\44" ADDR_V6 ADDR_V6 "\60\71\0\120"),
	HEADER(SIGNATURE "\x21\x11\0\33" ADDRS_V4 "\1\0\2h2\4\0\0\356\0\4abcd"),
	HEADER(SIGNATURE "\x21\x11\0\26\177\0\0\1\177\0\0\1\311\154\33\130"
			 "\3\0\4\301\122\274\115\5\0\0"), // with a right CRC32C
	HEADER(SIGNATURE "\x21\x12\0\14" ADDRS_V4),
	HEADER(SIGNATURE "\x21\x31\0\330/run/socket"),
	HEADER(SIGNATURE "\x21\x00\0\3abc"),
	HEADER(SIGNATURE "\x20\x00\0\0"),
	HEADER(SIGNATURE "\x20\x11\0\14" ADDRS_V4),
};

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static int write_file(const char *dir, const char *kind, size_t number, const uint8_t *bytes,
		      size_t len)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s/%03zu", dir, kind, number);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, len, file) != len) {
		perror(path);
		if (file)
			fclose(file);
		return -1;
	}
	return fclose(file);
}

static uint32_t build(const char *text, uint8_t *frame)
{
	static const struct mac_addr macs[] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}};
	struct notation_source source = {.default_ttl = 64, .link_macs = macs};
	struct names names = {0};
	struct notation notation;
	struct virtio_net_hdr vnet;
	char why[200];
	if (notation_parse(text, &names, &source, &notation, why, sizeof(why))) {
		fprintf(stderr, "%s: %s\n", text, why);
		return 0;
	}
	return frame_build(&notation.spec, frame, &vnet);
}

static size_t add_record(uint8_t *seed, size_t len, uint8_t flags, const uint8_t *frame,
			 uint32_t frame_len)
{
	seed[len++] = flags;
	seed[len++] = (uint8_t)(frame_len >> 8);
	seed[len++] = (uint8_t)frame_len;
	memcpy(seed + len, frame, frame_len);
	return len + frame_len;
}

// Bits turned, bytes overwritten with the ends of their range, the end cut off; then the IP
// checksum is mended half of the time, or nothing would get beyond it.
static uint32_t damage(uint8_t *frame, uint32_t len, uint32_t *state)
{
	uint32_t n = 1 + next_random(state) % 3;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = 12 + next_random(state) % (len - 12);
		switch (next_random(state) % 3) {
		case 0:
			frame[at] ^= (uint8_t)(1U << next_random(state) % 8);
			break;
		case 1:
			frame[at] = next_random(state) % 2 ? 0xff : 0;
			break;
		default:
			frame[at] = (uint8_t)next_random(state);
		}
	}
	return next_random(state) % 4 ? len : next_random(state) % (len + 1);
}

// A frame, an event, and the frame again: in one file per kind of event.
static size_t add_with_event(uint8_t *out, uint8_t flags, const uint8_t *frame, uint32_t len,
			     uint8_t event)
{
	size_t size = add_record(out, 0, flags, frame, len);
	size = add_record(out, size, BARRAGE_EVENT, &event, 1);
	return add_record(out, size, flags, frame, len);
}

static int write_seeds(const char *dir, size_t s, size_t *number)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t damaged[FRAME_MAX];
	static uint8_t out[SEED_MAX];
	const struct seed *seed = &seeds[s];
	uint32_t state = (uint32_t)s + 1;
	uint32_t len = build(seed->text, frame);
	if (len == 0 || write_file(dir, "parse", s, frame, len))
		return -1;
	uint8_t way = (uint8_t)(s % BARRAGE_WAYS);
	out[0] = way;
	size_t size = 1 + add_with_event(out + 1, seed->flags, frame, len, (uint8_t)(s % 4));
	if (write_file(dir, "pipeline", (*number)++, out, size))
		return -1;
	for (int i = 0; i < N_DAMAGED; i++) {
		memcpy(damaged, frame, len);
		uint32_t damaged_len = damage(damaged, len, &state);
		uint8_t flags = seed->flags | (i % 2 ? BARRAGE_FIX_IP : 0);
		out[0] = (uint8_t)((way + i) % BARRAGE_WAYS);
		size = add_record(out, 1, flags, damaged, damaged_len);
		size = add_record(out, size, seed->flags, frame, len);
		if (write_file(dir, "pipeline", (*number)++, out, size))
			return -1;
	}
	return 0;
}

static int write_frames_v6(const char *dir, size_t first)
{
	static uint8_t frame[FRAME_MAX];
	for (size_t i = 0; i < sizeof(frames_v6) / sizeof(frames_v6[0]); i++) {
		uint32_t len = build(frames_v6[i], frame);
		if (len == 0 || write_file(dir, "parse", first + i, frame, len))
			return -1;
	}
	return 0;
}

static size_t add_recipe(uint8_t *out, size_t len, const struct recipe *recipe)
{
	uint8_t event[1 + sizeof(*recipe)] = {BARRAGE_RECIPE};
	memcpy(event + 1, recipe, sizeof(*recipe));
	return add_record(out, len, BARRAGE_EVENT, event, sizeof(event));
}

static size_t add_train(uint8_t *out, size_t len, const struct recipe *recipe, uint8_t order)
{
	uint8_t event[3 + sizeof(*recipe)] = {BARRAGE_TRAIN, 8, order};
	memcpy(event + 3, recipe, sizeof(*recipe));
	return add_record(out, len, BARRAGE_EVENT, event, sizeof(event));
}

// The packet, an event, and the packet again, with the sizes of everything changed now and then.
static int write_recipe(const char *dir, size_t r, unsigned way, bool is_v6, size_t *number)
{
	uint8_t out[100] = {(uint8_t)way};
	uint8_t event = (uint8_t)(*number % BARRAGE_N_EVENTS);
	struct recipe recipe = recipes[r];
	bool is_flow = recipe.who & BARRAGE_WHO_FLOW;
	if (*number % 2)
		out[0] |= (uint8_t)(BARRAGE_NARROW_BACK << *number / 2 % 4);
	if (is_v6)
		recipe.who = (uint8_t)(is_flow ? recipe.who + 2 : recipe.who | BARRAGE_WHO_V6);
	size_t size = add_recipe(out, 1, &recipe);
	if (event != BARRAGE_RECIPE && event != BARRAGE_TRAIN)
		size = add_record(out, size, BARRAGE_EVENT, &event, 1);
	size = add_recipe(out, size, &recipe);
	return write_file(dir, "pipeline", (*number)++, out, size);
}

static int write_recipes(const char *dir, size_t *number)
{
	for (size_t r = 0; r < sizeof(recipes) / sizeof(recipes[0]); r++) {
		for (unsigned way = 0; way < BARRAGE_WAYS; way++) {
			if (write_recipe(dir, r, way, false, number) ||
			    write_recipe(dir, r, way, true, number))
				return -1;
		}
	}
	return 0;
}

// A datagram of each flow, there and back, in order and in others.
static int write_trains(const char *dir, size_t *number)
{
	static const uint8_t orders[] = {0, 1, 2, 5};
	for (unsigned i = 0; i < BARRAGE_WAYS * 4 * 2; i++) {
		uint8_t out[100] = {(uint8_t)(i % BARRAGE_WAYS)};
		unsigned flow = i / BARRAGE_WAYS % 4;
		size_t size = 1;
		struct recipe recipe = {
			.who = (uint8_t)((i / (BARRAGE_WAYS * 4) ? REPLY : FLOW) | flow),
			.kind = flow % 2 ? RECIPE_UDP : RECIPE_TCP,
			.flags = ACK,
			.len = {1, (uint8_t)(i * 7)},
		};
		for (size_t o = 0; o < sizeof(orders); o++)
			size = add_train(out, size, &recipe, orders[o]);
		if (write_file(dir, "pipeline", (*number)++, out, size))
			return -1;
	}
	return 0;
}

static int write_headers(const char *dir)
{
	for (size_t h = 0; h < sizeof(headers) / sizeof(headers[0]); h++) {
		if (write_file(dir, "proxy_header", h, (const uint8_t *)headers[h].bytes,
			       headers[h].len))
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const size_t n_seeds = sizeof(seeds) / sizeof(seeds[0]);
	size_t number = 0;
	if (argc != 2) {
		fprintf(stderr, "usage: make_corpus DIRECTORY\n");
		return 2;
	}
	for (size_t s = 0; s < n_seeds; s++) {
		if (write_seeds(argv[1], s, &number))
			return 1;
	}
	if (write_frames_v6(argv[1], n_seeds))
		return 1;
	if (write_recipes(argv[1], &number) || write_trains(argv[1], &number))
		return 1;
	return write_headers(argv[1]) ? 1 : 0;
}
