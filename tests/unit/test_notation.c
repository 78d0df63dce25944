// SPDX-License-Identifier: Apache-2.0
// The language of the packet tables against bytes written by hand: what no table can show while the
// packet path drops it, and lines that must not be taken for something else.
#include "../support/lib/notation.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../support/lib/frame_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect_hex(const char *text, uint32_t from, const char *hex)
{
	char got[400] = "";
	struct text_frame frame = frame_from_text(text);
	size_t n = strlen(hex) / 2;
	cr_assert_leq(from + n, frame.len, "%s: %u bytes", text, frame.len);
	for (size_t i = 0; i < n; i++)
		snprintf(got + 2 * i, 3, "%02x", frame.bytes[from + i]);
	cr_expect_str_eq(got, hex, "%s: expected %s, got %s", text, hex, got);
	text_frame_fini(&frame);
}

static void expect_len(const char *text, uint32_t len)
{
	struct text_frame frame = frame_from_text(text);
	cr_expect_eq(frame.len, len, "%s: %u bytes", text, frame.len);
	text_frame_fini(&frame);
}

#define UDP6 "[fd00:1::11]:4660 > [fd00:2::22]:80 udp "
#define UDP4 "10.1.0.11:4660 > 10.2.0.22:80 udp "
#define ADDRS6                             \
	"fd000001000000000000000000000011" \
	"fd000002000000000000000000000022"

Test(notation, an_IPv6_header)
{
	expect_hex(UDP6 "tos 0xab label 0xcdef1 ttl 9", 12,
		   "86dd"
		   "6abcdef1"
		   "0008"
		   "11"
		   "09" ADDRS6 "12340050"
		   "0008");
}

Test(notation, VLAN_tags_of_both_kinds)
{
	expect_hex(UDP4 "vlan 10", 12,
		   "8100"
		   "000a"
		   "0800"
		   "4500");
	expect_hex(UDP4 "vlan 0xa00a,20", 12,
		   "88a8"
		   "a00a"
		   "8100"
		   "0014"
		   "0800"
		   "4500");
	expect_hex(UDP6 "vlan 10,20", 12,
		   "88a8"
		   "000a"
		   "8100"
		   "0014"
		   "86dd"
		   "6000");
	expect_len(UDP4 "vlan 10", 14 + 4 + 28);
	expect_len(UDP4 "vlan 10,20 len 5", 14 + 8 + 28 + 5);
}

Test(notation, a_partial_checksum_begins_behind_tags_and_extension_headers)
{
	struct text_frame frame = frame_from_text(UDP6 "vlan 1,2 ext hop,dest24 partial");
	cr_expect_eq(frame.vnet.csum_start, 14 + 8 + 40 + 32);
	cr_expect_eq(frame.vnet.csum_offset, 6);
	text_frame_fini(&frame);
	frame = frame_from_text("[fd00:1::11]:1 > [fd00:2::22]:2 tcp A len 3000 partial gso 1400");
	cr_expect_eq(frame.vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	cr_expect_eq(frame.vnet.gso_size, 1400);
	cr_expect_eq(frame.vnet.hdr_len, 14 + 40 + 20);
	text_frame_fini(&frame);
}

// Each header names the next one, the last the transport.
Test(notation, extension_headers_are_a_chain)
{
	expect_hex(UDP6 "ext hop", 18,
		   "0010"
		   "00"
		   "40" ADDRS6 "1100010400000000"
		   "1234");
	expect_hex(UDP6 "ext hop,dest,frag id 7", 18,
		   "0020"
		   "00"
		   "40" ADDRS6 "3c00010400000000"
		   "2c00010400000000"
		   "1100000000000007"
		   "1234");
	expect_hex(UDP6 "ext route2", 54,
		   "1102020100000000"
		   "fd000000000000000000000000000009"
		   "1234");
	expect_hex(UDP6 "ext ah", 54, "1104000000000000");
}

Test(notation, fragments_of_IPv6)
{
	// Offset 8 bytes, more to come; then the last, whose offset is 16.
	expect_hex(UDP6 "len 24 id 0x12345678 part 8 8", 18,
		   "0010"
		   "2c"
		   "40" ADDRS6 "1100000912345678"
		   "030a11181f262d34");
	expect_hex(UDP6 "len 24 id 0x12345678 part 16 100", 18,
		   "0018"
		   "2c"
		   "40" ADDRS6 "1100001012345678"
		   "3b424950575e656c737a81888f969da4");
	expect_hex(UDP6 "len 24 part 0 8", 18,
		   "0010"
		   "2c"
		   "40" ADDRS6 "1100000100000001"
		   "12340050"
		   "0020");
	// What stands behind the fragment header is cut as well.
	expect_hex(UDP6 "len 8 ext frag,dest part 0 8", 18,
		   "0010"
		   "2c"
		   "40" ADDRS6 "3c00000100000001"
		   "1100010400000000");
	expect_hex(UDP6 "len 8 ext hop,frag,dest part 8 8", 18,
		   "0018"
		   "00"
		   "40" ADDRS6 "2c00010400000000"
		   "3c00000900000001"
		   "12340050"
		   "0010");
	expect_hex(UDP6 "mf", 54,
		   "1100000100000001"
		   "1234");
	expect_hex(UDP6 "frag 3 id 9", 54,
		   "1100001800000009"
		   "1234");
	expect_hex(UDP6 "ext frag id 0", 54,
		   "1100000000000000"
		   "1234");
}

Test(notation, fragments_of_IPv4)
{
	expect_hex(UDP4 "len 24 id 7 part 8 8", 16,
		   "001c"
		   "0007"
		   "2001");
	expect_hex(UDP4 "len 24 id 7 part 16 100", 16,
		   "0024"
		   "0007"
		   "0002");
}

static const char *read_error(const char *text, char *why, size_t why_size)
{
	static const struct mac_addr macs[2];
	struct names names = {0};
	struct notation notation;
	struct notation_source source = {.default_ttl = 64, .link_macs = macs};
	return notation_parse(text, &names, &source, &notation, why, why_size) ? why : NULL;
}

Test(notation, a_line_that_means_nothing_is_refused)
{
	static const char *const lines[] = {
		"side " UDP4,
		"front " UDP4 "bogus",
		"front " UDP4 "len",
		"front " UDP4 "len x",
		"front " UDP4 "ext hop", // of the other family
		"front " UDP4 "label 1",
		"front " UDP6 "df",
		"front " UDP6 "ipopts rr",
		"front " UDP6 "badipsum",
		"front " UDP6 "ext nothing",
		"front " UDP6 "ext route2,route2,route2,route2,route2,route2,route2",
		"front " UDP6 "vlan 1,2,3",
		"front nobody > 10.2.0.22 udp",
		"front fd00::1:4660 > [fd00:2::22]:80 udp x",
		"front 10.1.0.11 > 10.2.0.22 icmp too-big 1400",
		"front [fd00::1] > [fd00::2] icmp6 frag-needed 1400",
		"front [fd00::1] > [fd00::2] icmp6 too-big",
		"front [fd00::1] > [fd00::2] icmp6 too-big 1 { [fd00::2]:1 > [fd00::3]:1 udp",
		"front [fd00::1] > [fd00::2] icmp6 too-big 1 { [fd00::2]:1 > [fd00::3]:1 udp df }",
	};
	for (size_t i = 0; i < COUNT(lines); i++) {
		char why[200];
		cr_expect_not_null(read_error(lines[i], why, sizeof(why)), "%s", lines[i]);
	}
}

Test(notation, hosts_of_different_networks_have_different_hardware_addresses)
{
	static const char *const hosts[] = {
		"10.1.0.11", "10.2.0.11", "10.1.0.12", "fd00:1::11", "fd00:2::11", "fd00:1::12",
	};
	for (size_t i = 0; i < COUNT(hosts); i++) {
		for (size_t j = 0; j < i; j++) {
			struct ip_addr a;
			struct ip_addr b;
			cr_assert(ip_addr_parse(hosts[i], &a) && ip_addr_parse(hosts[j], &b));
			struct mac_addr mac_a = frame_mac_of(&a);
			struct mac_addr mac_b = frame_mac_of(&b);
			cr_expect_neq(memcmp(&mac_a, &mac_b, sizeof(mac_a)), 0, "%s, %s", hosts[i],
				      hosts[j]);
		}
	}
}
