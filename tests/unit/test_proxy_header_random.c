// SPDX-License-Identifier: Apache-2.0
// Headers made up at random from fixed seeds, and what holds of all of them.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/header_check.h"
#include "culvert/net/bytes.h"
#include "culvert/net/proxy_header.h"

enum { N_ROUNDS = 3000, HEADER_MAX = PROXY_HEADER_READ_MAX, SIGNATURE_LEN = 12, TLV_CRC32C = 3 };

struct made {
	uint8_t bytes[HEADER_MAX];
	size_t len;
	struct endpoint src;
	struct endpoint dst;
};

static uint32_t pick(uint32_t n)
{
	return ((uint32_t)rand() >> 4) % n;
}

// Of both families, with runs of zeros.
static struct endpoint random_endpoint(bool is_v4)
{
	struct endpoint endpoint = {.proto = IPPROTO_TCP, .port_be = (uint16_t)pick(65536)};
	bool is_sparse = pick(2);
	for (size_t i = 0; i < 16; i++)
		endpoint.addr.bytes[i] = is_sparse && pick(3) ? 0 : (uint8_t)pick(256);
	if (is_v4)
		endpoint.addr = ip_addr_from_v4(load_raw32(endpoint.addr.bytes));
	return endpoint;
}

// Division of polynomials as RFC 4960 appendix B describes it, the sum's bits in the order of
// transmission: nothing of how src/net does it.
static uint32_t plain_crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t rest = UINT32_MAX;
	for (size_t i = 0; i < 8 * len; i++) {
		uint32_t bit = bytes[i / 8] >> (i % 8) & 1U;
		rest = rest >> 31 != bit ? rest << 1 ^ 0x1edc6f41U : rest << 1;
	}
	uint32_t sum = 0;
	for (int i = 0; i < 32; i++)
		sum |= (rest >> i & 1U) << (31 - i);
	return ~sum;
}

static void add_tlv(struct made *made, uint8_t type, uint32_t len)
{
	made->bytes[made->len] = type;
	store_be16(made->bytes + made->len + 1, (uint16_t)len);
	made->len += 3;
	for (uint32_t i = 0; i < len; i++)
		made->bytes[made->len++] = type == TLV_CRC32C ? 0 : (uint8_t)pick(256);
}

static void add_tlvs(struct made *made)
{
	uint32_t n = pick(4);
	size_t crc = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (crc == 0 && pick(2) == 0) {
			crc = made->len + 3;
			add_tlv(made, TLV_CRC32C, 4);
		} else {
			add_tlv(made, (uint8_t)(4 + pick(252)), pick(pick(4) ? 12 : 600));
		}
	}
	store_be16(made->bytes + 14, (uint16_t)(made->len - 16));
	if (crc)
		store_be32(made->bytes + crc, plain_crc32c(made->bytes, made->len));
}

// A right header, its endpoints as they should be read.
static void make_header(struct made *made, bool is_v2)
{
	bool is_v4 = pick(2);
	made->src = random_endpoint(is_v4);
	made->dst = random_endpoint(pick(8) ? is_v4 : !is_v4);
	if (is_v2) {
		made->len = proxy_header_write_v2(&made->src, &made->dst, made->bytes);
		add_tlvs(made);
	} else {
		made->len = proxy_header_write_v1(&made->src, &made->dst, (char *)made->bytes);
	}
}

static enum proxy_header_state state_of(const uint8_t *bytes, size_t len)
{
	struct proxy_header header;
	size_t header_len;
	const char *problem;
	return header_check_parse(bytes, len, &header, &header_len, &problem);
}

static bool has_crc(const struct made *made)
{
	size_t at = 16 + (made->bytes[13] >> 4 == 1 ? 12 : 36);
	while (at < made->len && made->bytes[at] != TLV_CRC32C)
		at += 3U + load_be16(made->bytes + at + 1);
	return at < made->len;
}

Test(proxy_header_random, what_is_written_is_read)
{
	static struct made made;
	srand(1);
	for (int i = 0; i < 2 * N_ROUNDS; i++) {
		struct proxy_header header;
		size_t header_len;
		const char *problem = "none";
		make_header(&made, i % 2);
		cr_assert_eq(header_check_parse(made.bytes, made.len, &header, &header_len,
						&problem),
			     PROXY_HEADER_DONE, "%s", problem);
		cr_assert_eq(header_len, made.len);
		cr_assert(header.has_addrs);
		cr_assert(endpoint_equal(&header.src, &made.src));
		cr_assert(endpoint_equal(&header.dst, &made.dst));
	}
}

Test(proxy_header_random, every_part_of_a_right_header_is_right_so_far)
{
	static struct made made;
	srand(2);
	for (int i = 0; i < N_ROUNDS / 10; i++) {
		make_header(&made, i % 2);
		for (size_t len = 0; len < made.len; len++)
			cr_assert_eq(state_of(made.bytes, len), PROXY_HEADER_PARTIAL,
				     "%zu of %zu bytes", len, made.len);
	}
}

// In version 1 they are "PROXY TCP4 " and the end of the line.
Test(proxy_header_random, a_damaged_signature_or_keyword_is_refused)
{
	static struct made made;
	srand(3);
	for (int i = 0; i < N_ROUNDS; i++) {
		bool is_v2 = i % 2;
		make_header(&made, is_v2);
		size_t at = pick(is_v2 ? SIGNATURE_LEN : 13);
		if (!is_v2 && at >= 11)
			at = made.len - (at - 10);
		uint8_t right = made.bytes[at];
		do
			made.bytes[at] = (uint8_t)pick(256);
		while (made.bytes[at] == right);
		cr_assert_eq(state_of(made.bytes, made.len), PROXY_HEADER_BAD, "byte %zu: %02x", at,
			     made.bytes[at]);
	}
}

// Unless it hits the type of the checksum's own TLV: then there is none to tell.
Test(proxy_header_random, damage_behind_the_length_is_refused_where_there_is_a_CRC32C)
{
	static struct made made;
	int n_refused = 0;
	srand(4);
	for (int i = 0; i < N_ROUNDS; i++) {
		make_header(&made, true);
		if (!has_crc(&made))
			continue;
		size_t at = 16 + pick((uint32_t)made.len - 16);
		made.bytes[at] ^= (uint8_t)(1U << pick(8));
		enum proxy_header_state state = state_of(made.bytes, made.len);
		cr_assert(state == PROXY_HEADER_BAD || !has_crc(&made), "byte %zu of %zu", at,
			  made.len);
		n_refused += state == PROXY_HEADER_BAD;
	}
	cr_expect_gt(n_refused, N_ROUNDS / 4);
}

// Is there a byte that may follow? Those that soon end a header are tried first.
static bool add_byte(uint8_t *bytes, size_t *len, enum proxy_header_state *state)
{
	static const char line_order[] = "\n\r :.0";
	for (int i = 0; i < (int)sizeof(line_order) + 256; i++) {
		bool is_listed = bytes[0] == 'P' && i < (int)sizeof(line_order);
		uint8_t byte = (uint8_t)(is_listed ? line_order[i] : i - (int)sizeof(line_order));
		bytes[*len] = byte;
		*state = state_of(bytes, *len + 1);
		if (*state != PROXY_HEADER_BAD) {
			++*len;
			return true;
		}
	}
	return false;
}

static void expect_some_end(const struct made *made, size_t len)
{
	static uint8_t bytes[HEADER_MAX];
	enum proxy_header_state state = PROXY_HEADER_PARTIAL;
	memcpy(bytes, made->bytes, len);
	while (state == PROXY_HEADER_PARTIAL)
		cr_assert(add_byte(bytes, &len, &state), "no byte may follow these %zu: %.*s", len,
			  (int)len, (const char *)bytes);
	cr_assert_eq(state, PROXY_HEADER_DONE);
}

// From parts of headers, right and damaged. (That of a checksum is found wrong only at the end.)
Test(proxy_header_random, what_is_right_so_far_can_become_right)
{
	static struct made made;
	int n_parts = 0;
	srand(5);
	for (int i = 0; i < N_ROUNDS; i++) {
		make_header(&made, i % 2);
		if (i % 2 && has_crc(&made))
			continue;
		size_t len = 1 + pick((uint32_t)made.len);
		if (pick(2))
			made.bytes[len - 1] = (uint8_t)pick(i % 2 ? 256 : 128);
		if (i % 2 == 1 && len > 16 && made.bytes[len - 1] == TLV_CRC32C)
			continue;
		if (state_of(made.bytes, len) != PROXY_HEADER_PARTIAL)
			continue;
		expect_some_end(&made, len);
		n_parts++;
	}
	cr_expect_gt(n_parts, N_ROUNDS / 3);
}

// Groups, colons and dots thrown together: about every third is an address.
static void random_v6_text(char *text)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	int n = 6 + (int)pick(4);
	int gap = pick(3) ? (int)pick((uint32_t)n) : -1;
	if (gap >= 0)
		n -= (int)pick((uint32_t)n);
	for (int i = 0; i < n; i++) {
		int n_digits = 1 + (int)pick(pick(40) ? 4 : 6);
		if (i == gap)
			text += sprintf(text, ":%s", i == 0 ? ":" : "");
		while (n_digits-- > 0)
			*text++ = digits[pick(sizeof(digits) - 1)];
		if (i < n - 1 || pick(20) == 0)
			*text++ = ':';
	}
	if (gap >= n || pick(20) == 0)
		text += sprintf(text, "::");
	*text = '\0';
}

// Not with dotted ends, of which inet_pton() knows more than senders write.
Test(proxy_header_random, an_IPv6_address_is_one_where_inet_pton_says_so)
{
	int n_right = 0, n_wrong = 0;
	srand(6);
	for (int i = 0; i < 10 * N_ROUNDS; i++) {
		char text[100];
		char line[300];
		struct in6_addr expected;
		struct proxy_header header;
		size_t header_len;
		const char *problem;
		random_v6_text(text);
		int len = snprintf(line, sizeof(line), "PROXY TCP6 %s ::1 1 2\r\n", text);
		bool is_right = header_check_parse((uint8_t *)line, (size_t)len, &header,
						   &header_len, &problem) == PROXY_HEADER_DONE;
		cr_assert_eq(is_right, inet_pton(AF_INET6, text, &expected) == 1, "%s", text);
		if (is_right)
			cr_assert_eq(memcmp(header.src.addr.bytes, &expected, 16), 0, "%s", text);
		n_right += is_right;
		n_wrong += !is_right;
	}
	cr_expect(n_right > N_ROUNDS && n_wrong > N_ROUNDS, "%d right, %d wrong", n_right, n_wrong);
}

// A few bytes changed, taken out or put in, anywhere.
static void damage(struct made *made)
{
	uint32_t n = 1 + pick(4);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = pick((uint32_t)made->len - 1);
		switch (pick(4)) {
		case 0:
			made->bytes[at] ^= (uint8_t)(1U << pick(8));
			break;
		case 1:
			made->bytes[at] = (uint8_t) " \r\n:.0f9"[pick(8)];
			break;
		case 2:
			memmove(made->bytes + at, made->bytes + at + 1, --made->len - at);
			break;
		default:
			if (made->len < sizeof(made->bytes))
				memmove(made->bytes + at + 1, made->bytes + at, made->len++ - at);
		}
	}
}

Test(proxy_header_random, damaged_headers_are_read_alike_whole_and_in_parts)
{
	static struct made made;
	srand(7);
	for (int i = 0; i < N_ROUNDS / 3; i++) {
		make_header(&made, i % 2);
		damage(&made);
		const char *wrong = header_check(made.bytes, made.len);
		cr_assert_null(wrong, "%.*s: %s", (int)made.len, (char *)made.bytes, wrong);
	}
}

// What the fuzzer starts from, and what it has found.
Test(proxy_header_random, the_fuzzers_corpus_is_read_alike_whole_and_in_parts)
{
	glob_t found;
	cr_assert_eq(glob("tests/fuzz/corpus/proxy_header/*", 0, NULL, &found), 0,
		     "run from the repository");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		static uint8_t bytes[2 * HEADER_MAX];
		FILE *file = fopen(found.gl_pathv[i], "rb");
		cr_assert_not_null(file, "%s", found.gl_pathv[i]);
		size_t len = fread(bytes, 1, sizeof(bytes), file);
		cr_assert(feof(file) && !ferror(file), "%s", found.gl_pathv[i]);
		fclose(file);
		const char *wrong = header_check(bytes, len);
		cr_expect_null(wrong, "%s: %s", found.gl_pathv[i], wrong);
	}
	globfree(&found);
}
