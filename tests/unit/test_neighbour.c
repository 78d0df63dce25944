// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/neighbour.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { FRAME_LEN = 42, MINIMUM_LEN = 60 };

// "who has 10.0.0.200? tell 10.0.0.101", byte by byte from RFC 826.
static const uint8_t request[FRAME_LEN] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  1, 2, 3,   4, 5, 0x08, 0x06, // Ethernet
	0,    1,    8,    0,    6,    4,    0,  1,                           // a request
	2,    1,    2,    3,    4,    5,    10, 0, 0, 101,                   // the sender
	0,    0,    0,    0,    0,    0,    10, 0, 0, 200,                   // the target
};

static const struct mac_addr sender_mac = {{2, 1, 2, 3, 4, 5}};
static const struct mac_addr own_mac = {{2, 0, 0, 0, 0, 1}};

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr), "%s", text);
	return addr;
}

static bool is_addr(const struct ip_addr *addr, const char *text)
{
	struct ip_addr expected = addr_of(text);
	return ip_addr_equal(addr, &expected);
}

Test(arp, says_who_asks_for_whom)
{
	struct neighbour_packet arp;
	cr_assert(neighbour_parse(request, sizeof(request), &arp));
	cr_expect(arp.is_request);
	cr_expect_eq(memcmp(&arp.sender_mac, &sender_mac, sizeof(sender_mac)), 0);
	cr_expect(is_addr(&arp.sender, "10.0.0.101"));
	cr_expect(is_addr(&arp.target, "10.0.0.200"));
}

Test(arp, tells_replies_from_requests)
{
	struct neighbour_packet arp;
	uint8_t reply[FRAME_LEN];
	memcpy(reply, request, sizeof(reply));
	reply[21] = 2;
	cr_assert(neighbour_parse(reply, sizeof(reply), &arp));
	cr_expect_not(arp.is_request);
}

Test(arp, takes_frames_padded_to_the_least_length)
{
	struct neighbour_packet arp;
	uint8_t padded[MINIMUM_LEN] = {0};
	memcpy(padded, request, sizeof(request));
	cr_expect(neighbour_parse(padded, sizeof(padded), &arp));
}

Test(arp, refuses_what_is_not_arp_for_ipv4_over_ethernet)
{
	static const struct {
		unsigned offset;
		uint8_t value;
		const char *what;
	} cases[] = {
		{13, 0x00, "another EtherType"}, {15, 6, "another hardware"},
		{17, 0x06, "another protocol"},  {18, 8, "longer hardware addresses"},
		{19, 16, "longer addresses"},    {21, 3, "a reverse request"},
		{21, 0, "no operation"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct neighbour_packet arp = {.is_request = true, .sender_mac = own_mac};
		const struct neighbour_packet before = arp;
		uint8_t frame[FRAME_LEN];
		memcpy(frame, request, sizeof(frame));
		frame[cases[i].offset] = cases[i].value;
		cr_expect_not(neighbour_parse(frame, sizeof(frame), &arp), "%s", cases[i].what);
		cr_expect_eq(memcmp(&arp, &before, sizeof(arp)), 0, "%s", cases[i].what);
	}
}

// In memory of its own length, where a sanitizer sees every byte read behind it.
Test(arp, refuses_frames_cut_anywhere)
{
	for (uint32_t len = 0; len < FRAME_LEN; len++) {
		struct neighbour_packet arp;
		uint8_t *frame = malloc(len ? len : 1);
		cr_assert(frame);
		memcpy(frame, request, len);
		cr_expect_not(neighbour_parse(frame, len, &arp), "%u bytes", len);
		free(frame);
	}
}

Test(arp, a_claim_is_an_announcement_a_reply_or_a_probe_of_another_host)
{
	static const struct {
		bool is_request;
		bool is_own;
		const char *sender;
		const char *target;
		bool is_claim;
		const char *what;
	} cases[] = {
		{true, false, "10.0.0.101", "10.0.0.200", false, "somebody looks for it"},
		{true, false, "10.0.0.200", "10.0.0.200", true, "an announcement"},
		{true, false, "10.0.0.200", "10.0.0.101", true, "its holder looks for another"},
		{false, false, "10.0.0.200", "0.0.0.0", true, "its holder answers"},
		{true, false, "0.0.0.0", "10.0.0.200", true, "another one is about to take it"},
		{false, false, "0.0.0.0", "10.0.0.200", false, "an answer without a sender"},
		{true, false, "0.0.0.0", "10.0.0.101", false, "a probe for another address"},
		{true, true, "0.0.0.0", "10.0.0.200", false, "our own probe, come back"},
		{true, true, "10.0.0.200", "10.0.0.200", false, "our own announcement"},
	};
	struct ip_addr addr = addr_of("10.0.0.200");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct neighbour_packet arp = {
			.is_request = cases[i].is_request,
			.sender_mac = cases[i].is_own ? own_mac : sender_mac,
			.sender = addr_of(cases[i].sender),
			.target = addr_of(cases[i].target),
		};
		cr_expect_eq(neighbour_claims(&arp, &addr, &own_mac), cases[i].is_claim, "%s",
			     cases[i].what);
	}
}

// ---- IPv6 --------------------------------------------------------------------------------------

enum { NDP_AT = 54 };

// "who has fd00::200? tell fd00::101 at 02:01:02:03:04:05", byte by byte from RFC 4861.
static const uint8_t solicitation[] = {
	0x33, 0x33, 0xff, 0,    2, 0,  2,  1,   2, 3, 4, 5, 0x86, 0xdd,       // Ethernet
	0x60, 0,    0,    0,    0, 32, 58, 255,                               // IPv6
	0xfd, 0,    0,    0,    0, 0,  0,  0,   0, 0, 0, 0, 0,    0,    1, 1, // fd00::101
	0xff, 2,    0,    0,    0, 0,  0,  0,   0, 0, 0, 1, 0xff, 0,    2, 0, // ff02::1:ff00:200
	135,  0,    0x74, 0xd4, 0, 0,  0,  0,                                 // ICMPv6
	0xfd, 0,    0,    0,    0, 0,  0,  0,   0, 0, 0, 0, 0,    0,    2, 0, // fd00::200
	1,    1,    2,    1,    2, 3,  4,  5, // the sender's link address
};

static void seal(uint8_t *frame, uint32_t len)
{
	uint16_t message_len = (uint16_t)(len - NDP_AT);
	store_be16(frame + 18, message_len);
	store_be16(frame + NDP_AT + 2, 0);
	uint64_t sum = (uint64_t)htons(message_len) + htons(58);
	sum = csum_add_bytes(sum, frame + 22, 32);
	store_raw16(frame + NDP_AT + 2,
		    csum_finish(csum_add_bytes(sum, frame + NDP_AT, message_len)));
}

Test(ndp, says_who_asks_for_whom)
{
	struct neighbour_packet packet;
	uint8_t frame[sizeof(solicitation)];
	memcpy(frame, solicitation, sizeof(frame));
	seal(frame, sizeof(frame));
	cr_assert(neighbour_parse(frame, sizeof(frame), &packet));
	cr_expect(packet.is_request);
	cr_expect_eq(memcmp(&packet.sender_mac, &sender_mac, sizeof(sender_mac)), 0);
	cr_expect(is_addr(&packet.sender, "fd00::101"));
	cr_expect(is_addr(&packet.target, "fd00::200"));
}

Test(ndp, an_advertisement_is_by_the_address_that_it_is_about)
{
	struct neighbour_packet packet;
	uint8_t frame[sizeof(solicitation)];
	memcpy(frame, solicitation, sizeof(frame));
	frame[NDP_AT] = 136;
	seal(frame, sizeof(frame));
	cr_assert(neighbour_parse(frame, sizeof(frame), &packet));
	cr_expect_not(packet.is_request);
	cr_expect(is_addr(&packet.sender, "fd00::200"));
	cr_expect(is_addr(&packet.target, "ff02::1:ff00:200"));
}

Test(ndp, ignores_what_a_receiver_has_to_ignore)
{
	static const struct {
		const char *what;
		uint32_t at;
		uint8_t value;
	} cases[] = {
		{"passed on by a router", 21, 254}, {"a code", NDP_AT + 1, 1},
		{"another message", NDP_AT, 134},   {"another protocol", 20, 17},
		{"for a group", NDP_AT + 8, 0xff},  {"another ethertype", 13, 0xde},
	};
	struct neighbour_packet packet = {.is_request = true};
	const struct neighbour_packet before = packet;
	uint8_t frame[sizeof(solicitation)];
	for (size_t i = 0; i < COUNT(cases); i++) {
		memcpy(frame, solicitation, sizeof(frame));
		frame[cases[i].at] = cases[i].value;
		seal(frame, sizeof(frame));
		cr_expect_not(neighbour_parse(frame, sizeof(frame), &packet), "%s", cases[i].what);
	}
	for (uint32_t at = 22; at < sizeof(frame); at++) { // each byte that the checksum covers
		memcpy(frame, solicitation, sizeof(frame));
		seal(frame, sizeof(frame));
		frame[at] ^= 1;
		cr_expect_not(neighbour_parse(frame, sizeof(frame), &packet), "byte %u", at);
	}
	cr_expect_eq(memcmp(&packet, &before, sizeof(packet)), 0);
}

// In a buffer of its own size, so that a sanitizer sees a byte read behind it.
Test(ndp, refuses_every_truncation)
{
	struct neighbour_packet packet;
	uint8_t sealed[sizeof(solicitation)];
	memcpy(sealed, solicitation, sizeof(sealed));
	seal(sealed, sizeof(sealed));
	for (uint32_t len = 0; len < sizeof(sealed); len++) {
		uint8_t *frame = malloc(len ? len : 1);
		cr_assert(frame);
		memcpy(frame, sealed, len);
		cr_expect_not(neighbour_parse(frame, len, &packet), "%u bytes", len);
		free(frame);
	}
}

Test(ndp, a_probe_claims_the_address_it_asks_for)
{
	struct neighbour_packet packet = {.is_request = true, .sender_mac = sender_mac};
	struct ip_addr addr = addr_of("fd00::200");
	packet.target = addr;
	cr_expect(neighbour_claims(&packet, &addr, &own_mac));
	packet.sender = addr_of("fd00::101");
	cr_expect_not(neighbour_claims(&packet, &addr, &own_mac));
	packet.sender = addr;
	cr_expect(neighbour_claims(&packet, &addr, &own_mac));
	cr_expect_not(neighbour_claims(&packet, &addr, &sender_mac));
}

Test(ndp, questions_go_to_the_group_of_the_address)
{
	static const uint8_t expected_mac[] = {0x33, 0x33, 0xff, 0x34, 0x56, 0x78};
	struct ip_addr addr = addr_of("2001:db8::1234:5678");
	struct ip_addr group = neighbour_solicited_node(&addr);
	cr_expect(is_addr(&group, "ff02::1:ff34:5678"));
	struct mac_addr mac = neighbour_group_mac(&group);
	cr_expect_eq(memcmp(mac.bytes, expected_mac, sizeof(expected_mac)), 0);
}
