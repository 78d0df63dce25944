// SPDX-License-Identifier: Apache-2.0
// Single headers, right and wrong. In a text that is wrong, '^' stands in front of the first byte
// that no right header has in that place: there, and not before, it has to be refused.
#include "culvert/net/proxy_header.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/header_check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SIGNATURE    "0d0a0d0a 000d0a51 5549540a "
#define ADDRS_V4     "0a000001 0a000002 3039 0050 "
#define ADDRS_V6 \
	"fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002 3039 0050 "

enum { BYTES_MAX = 70000, NOWHERE = -1 };

struct bytes {
	uint8_t at[BYTES_MAX];
	size_t len;
	int mark; // how many bytes stand in front of '^'
};

static void from_line(const char *text, struct bytes *bytes)
{
	*bytes = (struct bytes){.mark = NOWHERE};
	for (; *text; text++) {
		if (*text == '^')
			bytes->mark = (int)bytes->len;
		else
			bytes->at[bytes->len++] = (uint8_t)*text;
	}
}

// Pairs of hexadecimal digits, with blanks between them.
static void from_hex(const char *text, struct bytes *bytes)
{
	*bytes = (struct bytes){.mark = NOWHERE};
	while (*text) {
		if (*text == '^')
			bytes->mark = (int)bytes->len;
		if (*text == '^' || *text == ' ') {
			text++;
			continue;
		}
		char pair[3] = {text[0], text[1], '\0'};
		char *end;
		bytes->at[bytes->len++] = (uint8_t)strtoul(pair, &end, 16);
		cr_assert(*end == '\0' && text[1] != '\0', "%s", text);
		text += 2;
	}
}

static void expect_right(const struct bytes *bytes, const char *src, const char *dst,
			 const char *name)
{
	struct proxy_header header;
	size_t header_len = 0;
	const char *problem = "none";
	char text[ENDPOINT_TEXT_MAX];
	enum proxy_header_state state =
		header_check_parse(bytes->at, bytes->len, &header, &header_len, &problem);
	cr_assert_eq(state, PROXY_HEADER_DONE, "%s: %s", name, problem);
	cr_expect_eq(header_len, bytes->len, "%s", name);
	cr_expect_eq(header.has_addrs, src != NULL, "%s", name);
	if (header.has_addrs && src) {
		cr_expect_str_eq(endpoint_format(&header.src, text), src, "%s", name);
		cr_expect_str_eq(endpoint_format(&header.dst, text), dst, "%s", name);
	}
	const char *wrong = header_check(bytes->at, bytes->len);
	cr_expect_null(wrong, "%s: %s", name, wrong);
}

static void expect_wrong(const struct bytes *bytes, const char *name)
{
	struct proxy_header header;
	size_t header_len;
	const char *problem = NULL;
	cr_assert_neq(bytes->mark, NOWHERE, "%s", name);
	size_t n_right = (size_t)bytes->mark;
	cr_expect_eq(header_check_parse(bytes->at, n_right, &header, &header_len, &problem),
		     PROXY_HEADER_PARTIAL, "%s: refused too early: %s", name, problem);
	cr_expect_eq(header_check_parse(bytes->at, n_right + 1, &header, &header_len, &problem),
		     PROXY_HEADER_BAD, "%s: not refused, or too late", name);
	const char *wrong = header_check(bytes->at, bytes->len);
	cr_expect_null(wrong, "%s: %s", name, wrong);
}

Test(proxy_header, reads_lines_of_version_1)
{
	static const struct {
		const char *text;
		const char *src; // NULL: no addresses
		const char *dst;
	} cases[] = {
		{"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324",
		 "192.168.0.11:443"},
		{"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
		 "255.255.255.255:65535", "255.255.255.255:65535"},
		{"PROXY TCP4 0.0.0.0 1.2.3.4 0 0\r\n", "0.0.0.0:0", "1.2.3.4:0"},
		{"PROXY TCP6 fd00::1 fd00::2 1 2\r\n", "[fd00::1]:1", "[fd00::2]:2"},
		{"PROXY TCP6 :: ::1 1 2\r\n", "[::]:1", "[::1]:2"},
		{"PROXY TCP6 1:2:3:4:5:6:7:8 1:: 1 2\r\n", "[1:2:3:4:5:6:7:8]:1", "[1::]:2"},
		{"PROXY TCP6 ::2:3:4:5:6:7:8 1:2:3:4:5:6:7:: 1 2\r\n", "[0:2:3:4:5:6:7:8]:1",
		 "[1:2:3:4:5:6:7:0]:2"},
		{"PROXY TCP6 1:2:3::5:6:7:8 FD00:00AB:0::0001 1 2\r\n", "[1:2:3:0:5:6:7:8]:1",
		 "[fd00:ab::1]:2"},
		{"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
		{"PROXY TCP6 ::ffff:a00:1 ::FFFF:10.0.0.2 1 2\r\n", "10.0.0.1:1", "10.0.0.2:2"},
		{"PROXY TCP6 ::10.0.0.1 fd00::2 1 2\r\n", "[::10.0.0.1]:1", "[fd00::2]:2"},
		{"PROXY UNKNOWN\r\n", NULL, NULL},
		{"PROXY UNKNOWN \r\n", NULL, NULL},
		{"PROXY UNKNOWN TCP4 1.2.3.4\r\n", NULL, NULL},
		{"PROXY UNKNOWN \r \n \x80\n\r\r\n", NULL, NULL},
		{"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		 NULL, NULL},
	};
	static struct bytes bytes;
	for (size_t i = 0; i < COUNT(cases); i++) {
		from_line(cases[i].text, &bytes);
		expect_right(&bytes, cases[i].src, cases[i].dst, cases[i].text);
	}
}

static const char *const wrong_lines[] = {
	"^GET / HTTP/1.1\r\n",
	"^proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"^ PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"P^OST / HTTP/1.1\r\n",
	"PROXY^\r\n",
	"PROXY^\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY ^ TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY ^tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY ^SCTP 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP^ 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP^5 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4^4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4^\r\n",
	"PROXY TCP4 ^ 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 ^fd00::1 fd00::2 1 2\r\n",
	"PROXY TCP4 1^::2 fd00::2 1 2\r\n",
	"PROXY TCP4 25^6.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 0^1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.0^0.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.^.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3^ 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.^ 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4^. 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4^/24 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4 ^ 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4^\r\n",
	"PROXY TCP4 1.2.3.4 ^::1 1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 ^+1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 ^-1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 0^1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 6553^6 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 ^ 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 ^ 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 0^0\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 7000^0\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1^\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2^ \r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2^ 3\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2^\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r^ \n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r^\r\n",
	"PROXY TCP6 1^.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP6 ^ fd00::2 1 2\r\n",
	"PROXY TCP6 :^1::2 fd00::2 1 2\r\n",
	"PROXY TCP6 :^ fd00::2 1 2\r\n",
	"PROXY TCP6 ::^: fd00::2 1 2\r\n",
	"PROXY TCP6 1::^: fd00::2 1 2\r\n",
	"PROXY TCP6 1::2:^:3 fd00::2 1 2\r\n",
	"PROXY TCP6 1::2:^ fd00::2 1 2\r\n",
	"PROXY TCP6 fd00^0::1 fd00::2 1 2\r\n",
	"PROXY TCP6 1:2:3:4:5:6:7^ fd00::2 1 2\r\n",
	"PROXY TCP6 1:2:3:4:5:6:7:^ fd00::2 1 2\r\n",
	"PROXY TCP6 1:2:3:4:5:6:7:8^: fd00::2 1 2\r\n",
	"PROXY TCP6 1:2:3:4:5:6:7::^8 fd00::2 1 2\r\n",
	"PROXY TCP6 ::2:3:4:5:6:7:8^:9 fd00::2 1 2\r\n",
	"PROXY TCP6 ^[fd00::1] fd00::2 1 2\r\n",
	"PROXY TCP6 fe80::1^%eth0 fd00::2 1 2\r\n",
	"PROXY TCP6 fd00::^g fd00::2 1 2\r\n",
	"PROXY TCP6 ::ffff:1.2.3^ fd00::2 1 2\r\n",
	"PROXY TCP6 ::ffff:1.2.3.4^:5 fd00::2 1 2\r\n",
	"PROXY TCP6 ::ffff:1.2.3.4^.5 fd00::2 1 2\r\n",
	"PROXY TCP6 ::ffff:01^.2.3.4 fd00::2 1 2\r\n",
	"PROXY TCP6 ::ffff:256^.2.3.4 fd00::2 1 2\r\n",
	"PROXY TCP6 ::fffe:1^.2.3.4 fd00::2 1 2\r\n",
	"PROXY TCP6 64:ff9b::1^.2.3.4 fd00::2 1 2\r\n",
	"PROXY TCP6 0:0:0:0:0:ffff:1^.2.3.4 fd00::2 1 2\r\n",
	"PROXY UNKNOWN^X\r\n",
	"PROXY UNKNOWN^\n",
	"PROXY UNKNOWN\r^ \r\n",
	"PROXY U^DP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY ^unknown\r\n",
};

Test(proxy_header, refuses_a_wrong_line_at_its_first_wrong_byte)
{
	static struct bytes bytes;
	for (size_t i = 0; i < COUNT(wrong_lines); i++) {
		from_line(wrong_lines[i], &bytes);
		expect_wrong(&bytes, wrong_lines[i]);
	}
}

// 107 bytes at most: the last two have to be CR and LF.
Test(proxy_header, an_unknown_line_ends_within_107_bytes)
{
	for (size_t n_ignored = 90; n_ignored < 96; n_ignored++) {
		static struct bytes bytes;
		from_line("PROXY UNKNOWN ", &bytes);
		memset(bytes.at + bytes.len, 'x', n_ignored);
		bytes.len += n_ignored;
		memcpy(bytes.at + bytes.len, "\r\n", 2);
		bytes.len += 2;
		if (bytes.len <= 107) {
			expect_right(&bytes, NULL, NULL, "a long line");
			continue;
		}
		bytes.mark = 105;
		expect_wrong(&bytes, "a line too long");
	}
}

Test(proxy_header, reads_headers_of_version_2)
{
	static const struct {
		const char *rest; // behind the signature
		const char *src;
		const char *dst;
	} cases[] = {
		{"21 11 000c " ADDRS_V4, "10.0.0.1:12345", "10.0.0.2:80"},
		{"21 21 0024 " ADDRS_V6, "[fd00::1]:12345", "[fd00::2]:80"},
		{"21 21 0024 00000000 00000000 0000ffff 0a000001 fd000000 00000000 00000000 "
		 "00000002 0000 ffff",
		 "10.0.0.1:0", "[fd00::2]:65535"},
		// TLVs: NOOP, one of no length, unknown ones.
		{"21 11 000f " ADDRS_V4 "04 0000", "10.0.0.1:12345", "10.0.0.2:80"},
		{"21 11 0018 " ADDRS_V4 "01 0002 6832 ee 0001 00 ff 0000", "10.0.0.1:12345",
		 "10.0.0.2:80"},
		{"21 21 0029 " ADDRS_V6 "05 0002 abcd", "[fd00::1]:12345", "[fd00::2]:80"},
		// What HAProxy 2.6 sent with its option crc32c, first in its header and last.
		{"21 11 0016 7f000001 7f000001 c96c 1b58 03 0004 c152bc4d 05 0000",
		 "127.0.0.1:51564", "127.0.0.1:7000"},
		{"21 21 002b 00000000 00000000 00000000 00000001 00000000 00000000 00000000 "
		 "00000001 ebac 1b58 03 0004 c9d092aa",
		 "[::1]:60332", "[::1]:7000"},
		// LOCAL: whatever follows, of whatever family, is skipped.
		{"20 00 0000", NULL, NULL},
		{"20 11 000c " ADDRS_V4, NULL, NULL},
		{"20 11 0001 ff", NULL, NULL},
		{"20 ff 0005 03 0004 0000", NULL, NULL},
		// UNSPEC, and what is read as that.
		{"21 00 0000", NULL, NULL},
		{"21 00 0002 ffff", NULL, NULL},
		{"21 01 0001 ff", NULL, NULL},
		{"21 10 0001 ff", NULL, NULL},
		{"21 12 000c " ADDRS_V4, NULL, NULL},
		{"21 22 0024 " ADDRS_V6, NULL, NULL},
		{"21 22 0027 " ADDRS_V6 "04 0000", NULL, NULL},
	};
	static struct bytes bytes;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[600];
		snprintf(text, sizeof(text), "%s%s", SIGNATURE, cases[i].rest);
		from_hex(text, &bytes);
		expect_right(&bytes, cases[i].src, cases[i].dst, text);
	}
}

Test(proxy_header, refuses_a_wrong_header_of_version_2_at_its_first_wrong_byte)
{
	static const char *const cases[] = {
		"0d^0d 0d0a 000d0a51 5549540a 21 11 000c " ADDRS_V4,
		"0d0a0d0a 00^00 0a51 5549540a 21 11 000c " ADDRS_V4,
		"0d0a0d0a 000d0a51 554954^0d 21 11 000c " ADDRS_V4,
		SIGNATURE "^11 11 000c " ADDRS_V4,
		SIGNATURE "^31 11 000c " ADDRS_V4,
		SIGNATURE "^22 11 000c " ADDRS_V4,
		SIGNATURE "^2f 11 000c " ADDRS_V4,
		SIGNATURE "21 ^41 000c " ADDRS_V4,
		SIGNATURE "21 ^f1 000c " ADDRS_V4,
		SIGNATURE "21 ^13 000c " ADDRS_V4,
		SIGNATURE "21 ^1f 000c " ADDRS_V4,
		// Too short for the family, or what is left is too short for a TLV.
		SIGNATURE "21 11 00^00",
		SIGNATURE "21 11 00^0b " ADDRS_V4,
		SIGNATURE "21 11 00^0d " ADDRS_V4 "04",
		SIGNATURE "21 11 00^0e " ADDRS_V4 "0400",
		SIGNATURE "21 12 00^0b " ADDRS_V4,
		SIGNATURE "21 21 00^0c " ADDRS_V4,
		SIGNATURE "21 21 00^23 " ADDRS_V6,
		SIGNATURE "21 22 00^25 " ADDRS_V6 "04",
		SIGNATURE "21 31 00^d7 " ADDRS_V4,
		SIGNATURE "21 32 00^24 " ADDRS_V6,
		// More than 4096 bytes with the first 16.
		SIGNATURE "21 11 0f^f1 " ADDRS_V4,
		SIGNATURE "21 11 ^10 00 " ADDRS_V4,
		SIGNATURE "21 11 ^ff ff " ADDRS_V4,
		SIGNATURE "20 00 ^10 00 " ADDRS_V4,
		// TLVs that go beyond the header, or do not quite fill it.
		SIGNATURE "21 11 000f " ADDRS_V4 "04 00^01",
		SIGNATURE "21 11 000f " ADDRS_V4 "04 ^01 00",
		SIGNATURE "21 11 0012 " ADDRS_V4 "04 00^01 ff 04 00",
		SIGNATURE "21 11 0012 " ADDRS_V4 "04 00^02 ff 04 00",
		SIGNATURE "21 11 0013 " ADDRS_V4 "04 0001 ff 04 00^01",
		SIGNATURE "21 12 000f " ADDRS_V4 "04 00^01",
		// CRC32C: its length, its number, and last of all its value.
		SIGNATURE "21 11 0012 " ADDRS_V4 "^03 0003 000000",
		SIGNATURE "21 11 0014 " ADDRS_V4 "^03 0004 00000000 00",
		SIGNATURE "21 11 0017 " ADDRS_V4 "03 00^05 00000000 00 04 0000",
		SIGNATURE "21 11 0017 " ADDRS_V4 "03 ^01 04 00000000 00 04 0000",
		SIGNATURE "21 11 001a " ADDRS_V4 "03 0004 00000000 ^03 0004 00000000",
		SIGNATURE "21 11 0016 7f000001 7f000001 c96c 1b58 03 0004 c152bc4d 05 00^01",
		SIGNATURE "21 11 0016 7f000001 7f000001 c96c 1b58 03 0004 c152bc4e 05 00^00",
		SIGNATURE "21 11 0016 7f000001 7f000002 c96c 1b58 03 0004 c152bc4d 05 00^00",
		SIGNATURE "21 11 0016 7f000001 7f000001 c96c 1b58 03 0004 4dbc52c1 05 00^00",
	};
	static struct bytes bytes;
	for (size_t i = 0; i < COUNT(cases); i++) {
		from_hex(cases[i], &bytes);
		expect_wrong(&bytes, cases[i]);
	}
}

// The block of a UNIX socket is 216 bytes long, and TLVs follow it as they do the others.
Test(proxy_header, skips_the_addresses_of_UNIX_sockets)
{
	static struct bytes bytes;
	for (int transport = 1; transport <= 2; transport++) {
		from_hex(SIGNATURE "21 31 00d8", &bytes);
		bytes.at[13] = (uint8_t)(0x30 | transport);
		memset(bytes.at + 16, '/', 216);
		bytes.len = 16 + 216;
		expect_right(&bytes, NULL, NULL, "UNIX addresses");
		bytes.at[15] = 216 + 3;
		bytes.at[bytes.len++] = 4;
		bytes.at[bytes.len++] = 0;
		bytes.at[bytes.len++] = 0;
		expect_right(&bytes, NULL, NULL, "UNIX addresses and a TLV");
		bytes.at[bytes.len - 1] = 1;
		bytes.mark = (int)bytes.len - 1;
		expect_wrong(&bytes, "UNIX addresses and a wrong TLV");
	}
}

Test(proxy_header, reads_4096_bytes_and_no_more)
{
	static struct bytes bytes;
	from_hex(SIGNATURE "21 11 0ff0 " ADDRS_V4 "04 0fe1", &bytes);
	bytes.len = 4096;
	expect_right(&bytes, "10.0.0.1:12345", "10.0.0.2:80", "the longest");
	from_hex(SIGNATURE "20 00 0ff0", &bytes);
	bytes.len = 4096;
	expect_right(&bytes, NULL, NULL, "the longest LOCAL");
	from_hex(SIGNATURE "21 11 0f^f1 " ADDRS_V4 "04 0fe2", &bytes);
	bytes.len = 4097;
	expect_wrong(&bytes, "one longer");
}

Test(proxy_header, leaves_the_bytes_behind_the_header_to_the_stream)
{
	static const char *const cases[] = {
		"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n",
		"PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 12345 80\r\n",
	};
	static struct bytes bytes;
	struct proxy_header header;
	const char *problem;
	size_t header_len;
	for (size_t i = 0; i < COUNT(cases); i++) {
		from_line(cases[i], &bytes);
		size_t len = bytes.len;
		memcpy(bytes.at + len, cases[i], len); // a second header is the stream's
		cr_expect_eq(header_check_parse(bytes.at, 2 * len, &header, &header_len, &problem),
			     PROXY_HEADER_DONE);
		cr_expect_eq(header_len, len);
	}
	from_hex(SIGNATURE "21 11 000f " ADDRS_V4 "04 0000 ffffffff", &bytes);
	cr_expect_eq(header_check_parse(bytes.at, bytes.len, &header, &header_len, &problem),
		     PROXY_HEADER_DONE);
	cr_expect_eq(header_len, 16 + 15);
}

Test(proxy_header, no_bytes_at_all_are_right_so_far)
{
	struct proxy_header header;
	const char *problem;
	size_t header_len;
	cr_expect_eq(proxy_header_parse(NULL, 0, &header, &header_len, &problem),
		     PROXY_HEADER_PARTIAL);
}

static struct endpoint tcp(const char *addr, uint16_t port)
{
	struct endpoint endpoint = {.port_be = htons(port), .proto = IPPROTO_TCP};
	cr_assert(ip_addr_parse(addr, &endpoint.addr), "%s", addr);
	return endpoint;
}

Test(proxy_header, writes_both_versions)
{
	static const struct {
		const char *src;
		const char *dst;
		const char *line;
		const char *hex; // behind the signature
	} cases[] = {
		{"10.0.0.1", "10.0.0.2", "PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n",
		 "21 11 000c " ADDRS_V4},
		{"fd00::1", "fd00::2", "PROXY TCP6 fd00::1 fd00::2 12345 80\r\n",
		 "21 21 0024 " ADDRS_V6},
		{"::", "::1:0", "PROXY TCP6 :: ::1:0 12345 80\r\n",
		 "21 21 0024 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
		 "00010000 3039 0050"},
		// Two families: both as IPv6, and without a dotted quad.
		{"10.0.0.1", "fd00::2", "PROXY TCP6 ::ffff:a00:1 fd00::2 12345 80\r\n",
		 "21 21 0024 00000000 00000000 0000ffff 0a000001 fd000000 00000000 00000000 "
		 "00000002 3039 0050"},
		{"::10.0.0.0", "10.0.0.2", "PROXY TCP6 ::a00:0 ::ffff:a00:2 12345 80\r\n",
		 "21 21 0024 00000000 00000000 00000000 0a000000 00000000 00000000 0000ffff "
		 "0a000002 3039 0050"},
	};
	static struct bytes bytes;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct endpoint src = tcp(cases[i].src, 12345);
		struct endpoint dst = tcp(cases[i].dst, 80);
		char line[PROXY_HEADER_V1_MAX];
		uint8_t block[PROXY_HEADER_V2_MAX];
		char text[600];
		size_t len = proxy_header_write_v1(&src, &dst, line);
		cr_expect(len == strlen(cases[i].line) && memcmp(line, cases[i].line, len) == 0,
			  "%.*s", (int)len, line);
		snprintf(text, sizeof(text), "%s%s", SIGNATURE, cases[i].hex);
		from_hex(text, &bytes);
		len = proxy_header_write_v2(&src, &dst, block);
		cr_expect(len == bytes.len && memcmp(block, bytes.at, len) == 0, "%s", text);
	}
}

Test(proxy_header, the_longest_that_is_written_fits)
{
	struct endpoint end = tcp("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	char *line = malloc(PROXY_HEADER_V1_MAX);
	uint8_t *block = malloc(PROXY_HEADER_V2_MAX);
	cr_assert(line && block);
	cr_expect_eq(proxy_header_write_v1(&end, &end, line), 104);
	cr_expect_eq(proxy_header_write_v2(&end, &end, block), PROXY_HEADER_V2_MAX);
	free(line);
	free(block);
}
