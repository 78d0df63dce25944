// SPDX-License-Identifier: Apache-2.0
// Every rewritten frame is compared with one that was built from nothing for the new endpoints.
#include "culvert/net/rewrite.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../support/lib/frame.h"
#include "culvert/net/checksum.h"

enum { N_ROUNDS = 20000 };

static uint32_t random32(void)
{
	return (uint32_t)rand() << 17 ^ (uint32_t)rand();
}

// A source that a packet can have: 1.0.0.0 to 126.255.255.255, or 2000::/8.
static struct ip_addr random_addr(bool is_v6)
{
	struct ip_addr addr = frame_v4(0x01000000 + random32() % 0x7e000000);
	if (!is_v6)
		return addr;
	for (size_t i = 0; i < sizeof(addr.bytes); i++)
		addr.bytes[i] = (uint8_t)(rand() >> 4);
	addr.bytes[0] = 0x20;
	return addr;
}

static struct endpoint endpoint_of(const struct ip_addr *addr, uint16_t port, uint8_t proto)
{
	return (struct endpoint){.addr = *addr, .port_be = htons(port), .proto = proto};
}

// Options, and a routing header that names no further stop.
static void add_random_headers(struct frame_spec *spec)
{
	static const uint8_t options[8] = {0, 0, 1, 4};
	static const uint8_t route[8] = {0, 0, 2, 0};
	if (rand() % 4 == 0)
		frame_add_extension(&spec->extensions, IPPROTO_HOPOPTS, options, sizeof(options));
	while (rand() % 3 == 0 && spec->extensions.len < 40) {
		bool is_route = rand() % 2;
		frame_add_extension(&spec->extensions, is_route ? IPPROTO_ROUTING : IPPROTO_DSTOPTS,
				    is_route ? route : options, sizeof(route));
	}
}

static struct frame_spec random_spec(void)
{
	bool is_v6 = rand() % 2;
	struct frame_spec spec = {
		.src = random_addr(is_v6),
		.dst = random_addr(is_v6),
		.proto = rand() % 2 ? IPPROTO_TCP : IPPROTO_UDP,
		.ttl = (uint8_t)(2 + rand() % 254),
		.tos = (uint8_t)rand(),
		.id = (uint16_t)rand(),
		.src_port = (uint16_t)(1 + rand() % 65535),
		.dst_port = (uint16_t)rand(),
		.sum = (enum frame_sum)(rand() % 4),
		.payload_len = (uint32_t)(rand() % 50),
		.seq = random32(),
		.ack = random32(),
		.flags = TCP_FLAG_ACK,
		.window = (uint16_t)rand(),
		.padding = (uint32_t)(rand() % 7),
	};
	spec.dst.bytes[15] ^= spec.dst.bytes[15] == spec.src.bytes[15];
	spec.ip_options.len = (uint8_t)(is_v6 ? 0 : rand() % 3 * 4);
	memset(spec.ip_options.bytes, 1, sizeof(spec.ip_options.bytes));
	if (is_v6)
		add_random_headers(&spec);
	if (spec.proto == IPPROTO_TCP && spec.sum == SUM_NONE)
		spec.sum = SUM_RIGHT;
	return spec;
}

// Somebody else, of the same family.
static void readdress(struct frame_spec *spec)
{
	bool is_v6 = frame_is_v6(spec);
	spec->src = random_addr(is_v6);
	spec->dst = random_addr(is_v6);
}

static void rewrite_to(uint8_t *frame, uint32_t len, const struct frame_spec *to, bool is_partial)
{
	struct frame_view view;
	cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
	struct endpoint src = endpoint_of(&to->src, to->src_port, to->proto);
	struct endpoint dst = endpoint_of(&to->dst, to->dst_port, to->proto);
	struct rewrite rewrite = {.src = &src, .dst = &dst};
	rewrite.deltas = rewrite_deltas(&view.src, &view.dst, &src, &dst);
	rewrite_packet(frame, &view, &rewrite, is_partial);
}

Test(rewrite, equals_a_frame_built_for_the_new_endpoints)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(1);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct frame_spec spec = random_spec();
		struct frame_spec to = spec;
		struct virtio_net_hdr vnet;
		char why[200];
		readdress(&to);
		to.src_port = (uint16_t)rand();
		to.dst_port = (uint16_t)rand();
		to.ttl--;
		uint32_t len = frame_build(&spec, frame, &vnet);
		uint32_t expected_len = frame_build(&to, expected, &vnet);
		rewrite_to(frame, len, &to, spec.sum == SUM_PARTIAL);
		cr_assert_null(frame_difference(expected, expected_len, frame, len, why,
						sizeof(why)),
			       "round %d, sum %d: %s", i, spec.sum, why);
	}
}

Test(rewrite, the_time_to_live_alone)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(4);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct frame_spec spec = random_spec();
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK, "round %d", i);
		rewrite_ttl(frame, &view);
		spec.ttl--;
		frame_build(&spec, expected, &vnet);
		cr_assert_arr_eq(frame, expected, len, "round %d", i);
	}
}

// Of all ports, one makes the checksum come out as 0.
static void try_all_ports(const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	struct frame_layout layout;
	unsigned n_ones = 0;
	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		struct frame_spec to = *spec;
		struct virtio_net_hdr vnet;
		to.dst_port = (uint16_t)port;
		to.ttl--;
		uint32_t len = frame_build(spec, frame, &vnet);
		frame_build(&to, expected, &vnet);
		rewrite_to(frame, len, &to, false);
		cr_assert_arr_eq(frame, expected, len, "port %u", port);
		cr_assert(frame_read_layout(frame, len, &layout));
		n_ones += frame[layout.l4 + 6] == 0xff && frame[layout.l4 + 7] == 0xff;
	}
	cr_expect_eq(n_ones, 1, "the port was not among them");
}

Test(rewrite, a_UDP_checksum_never_becomes_none)
{
	struct frame_spec spec = {
		.src = frame_v4(0x0a000001),
		.dst = frame_v4(0x0a000002),
		.proto = IPPROTO_UDP,
		.ttl = 9,
		.src_port = 1,
		.dst_port = 2,
	};
	try_all_ports(&spec);
	spec.src = (struct ip_addr){{0xfd, [15] = 1}};
	spec.dst = (struct ip_addr){{0xfd, [15] = 2}};
	try_all_ports(&spec);
}

Test(rewrite, the_negative_deltas_lead_back)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(2);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct frame_spec there = random_spec();
		struct frame_spec back = there;
		struct frame_view view;
		struct virtio_net_hdr vnet;
		readdress(&back);
		struct endpoint client = endpoint_of(&there.src, there.src_port, there.proto);
		struct endpoint vip = endpoint_of(&there.dst, there.dst_port, there.proto);
		struct endpoint local = endpoint_of(&back.dst, 40000, there.proto);
		struct endpoint backend = endpoint_of(&back.src, 8080, there.proto);
		struct csum_deltas deltas = rewrite_deltas(&client, &vip, &local, &backend);

		// A reply, backend to local, becomes vip to client.
		back.src_port = 8080;
		back.dst_port = 40000;
		uint32_t len = frame_build(&back, frame, &vnet);
		if (parse_frame(frame, len, &view) != PARSE_OK)
			continue; // two random addresses were the same
		struct rewrite rewrite = {
			.src = &vip,
			.dst = &client,
			.deltas = csum_negate_both(deltas),
		};
		rewrite_packet(frame, &view, &rewrite, back.sum == SUM_PARTIAL);
		back.src = there.dst;
		back.src_port = there.dst_port;
		back.dst = there.src;
		back.dst_port = there.src_port;
		back.ttl--;
		frame_build(&back, expected, &vnet);
		cr_assert_arr_eq(frame, expected, len, "round %d", i);
	}
}

// About a packet, to its sender.
static struct frame_spec random_error(const struct frame_spec *quoted)
{
	bool is_v6 = frame_is_v6(quoted);
	struct frame_spec error = {
		.src = random_addr(is_v6),
		.dst = quoted->src,
		.proto = is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.ttl = 50,
		.icmp_type = is_v6 ? 2 : 3,
		.icmp_code = is_v6 ? 0 : 4,
		.icmp_rest = 1400,
		.quoted = quoted,
		.quote_len = (uint32_t)(8 + rand() % 80),
	};
	if (is_v6)
		add_random_headers(&error);
	return error;
}

// Quotes of every length from the least to the whole packet and beyond.
Test(rewrite, an_ICMP_error_is_right_in_all_its_checksums)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(3);
	for (int i = 0; i < N_ROUNDS; i++) {
		struct virtio_net_hdr vnet;
		struct frame_view view;
		char why[200];
		struct frame_spec quoted = random_spec();
		quoted.padding = 0;
		quoted.sum = quoted.sum == SUM_PARTIAL ? SUM_RIGHT : quoted.sum;
		struct frame_spec error = random_error(&quoted);
		// Half a checksum cannot be updated; it stays as it is.
		if (quoted.proto == IPPROTO_TCP && error.quote_len == 17)
			continue;
		uint32_t len = frame_build(&error, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK, "round %d", i);
		readdress(&quoted);
		readdress(&error);
		quoted.src_port = (uint16_t)rand();
		quoted.dst_port = (uint16_t)rand();
		error.ttl--;
		struct endpoint src = endpoint_of(&quoted.src, quoted.src_port, quoted.proto);
		struct endpoint dst = endpoint_of(&quoted.dst, quoted.dst_port, quoted.proto);
		rewrite_icmp_error(frame, &view, &src, &dst, &error.src, &error.dst);
		frame_build(&error, expected, &vnet);
		cr_assert_null(frame_difference(expected, len, frame, len, why, sizeof(why)),
			       "round %d, quote %u: %s", i, error.quote_len, why);
	}
}

// Every single byte turned: the checksum was wrong on arrival and is wrong when it leaves.
Test(rewrite, what_was_damaged_on_arrival_is_still_seen_to_be)
{
	static uint8_t frame[FRAME_MAX];
	srand(5);
	for (int i = 0; i < N_ROUNDS / 10; i++) {
		struct virtio_net_hdr vnet;
		struct frame_layout layout;
		struct frame_spec spec = random_spec();
		spec.sum = SUM_RIGHT;
		spec.payload_len++;
		struct frame_spec to = spec;
		uint32_t len = frame_build(&spec, frame, &vnet);
		cr_assert(frame_read_layout(frame, len, &layout));
		readdress(&to);
		frame[layout.end - 1] ^= (uint8_t)(1U << rand() % 8);
		rewrite_to(frame, len, &to, false);
		cr_assert_eq(frame_transport_sum(frame, len, false), SUM_WRONG, "round %d", i);
	}
}

// A checksum that an error's receiver would have refused is no better for having been passed on.
Test(rewrite, a_damaged_ICMP_error_stays_damaged)
{
	static uint8_t frame[FRAME_MAX];
	static uint8_t expected[FRAME_MAX];
	srand(6);
	for (int i = 0; i < N_ROUNDS / 10; i++) {
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct frame_spec quoted = random_spec();
		quoted.padding = 0;
		quoted.sum = SUM_RIGHT;
		struct frame_spec error = random_error(&quoted);
		error.sum = SUM_WRONG;
		error.quote_len = 20;
		uint32_t len = frame_build(&error, frame, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		struct endpoint src = view.src;
		readdress(&error);
		error.dst = quoted.src;
		rewrite_icmp_error(frame, &view, &src, &view.dst, &error.src, &error.dst);
		error.ttl--;
		frame_build(&error, expected, &vnet);
		cr_assert_arr_eq(frame, expected, len, "round %d", i);
	}
}
