// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/arp.h"

#include <criterion/criterion.h>
#include <stdlib.h>

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
	struct arp_packet arp;
	cr_assert(arp_parse(request, sizeof(request), &arp));
	cr_expect(arp.is_request);
	cr_expect_eq(memcmp(&arp.sender_mac, &sender_mac, sizeof(sender_mac)), 0);
	cr_expect(is_addr(&arp.sender, "10.0.0.101"));
	cr_expect(is_addr(&arp.target, "10.0.0.200"));
}

Test(arp, tells_replies_from_requests)
{
	struct arp_packet arp;
	uint8_t reply[FRAME_LEN];
	memcpy(reply, request, sizeof(reply));
	reply[21] = 2;
	cr_assert(arp_parse(reply, sizeof(reply), &arp));
	cr_expect_not(arp.is_request);
}

Test(arp, takes_frames_padded_to_the_least_length)
{
	struct arp_packet arp;
	uint8_t padded[MINIMUM_LEN] = {0};
	memcpy(padded, request, sizeof(request));
	cr_expect(arp_parse(padded, sizeof(padded), &arp));
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
		struct arp_packet arp = {.is_request = true, .sender_mac = own_mac};
		const struct arp_packet before = arp;
		uint8_t frame[FRAME_LEN];
		memcpy(frame, request, sizeof(frame));
		frame[cases[i].offset] = cases[i].value;
		cr_expect_not(arp_parse(frame, sizeof(frame), &arp), "%s", cases[i].what);
		cr_expect_eq(memcmp(&arp, &before, sizeof(arp)), 0, "%s", cases[i].what);
	}
}

// In memory of its own length, where a sanitizer sees every byte read behind it.
Test(arp, refuses_frames_cut_anywhere)
{
	for (uint32_t len = 0; len < FRAME_LEN; len++) {
		struct arp_packet arp;
		uint8_t *frame = malloc(len ? len : 1);
		cr_assert(frame);
		memcpy(frame, request, len);
		cr_expect_not(arp_parse(frame, len, &arp), "%u bytes", len);
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
		struct arp_packet arp = {
			.is_request = cases[i].is_request,
			.sender_mac = cases[i].is_own ? own_mac : sender_mac,
			.sender = addr_of(cases[i].sender),
			.target = addr_of(cases[i].target),
		};
		cr_expect_eq(arp_claims(&arp, &addr, &own_mac), cases[i].is_claim, "%s",
			     cases[i].what);
	}
}
