// SPDX-License-Identifier: Apache-2.0
// Where two frames differ, in words.
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"

struct field {
	const char *name;
	uint32_t offset;
	uint32_t len;
};

static const struct field fields_of_ip[] = {
	{"eth.dst", 0, 6}, {"eth.src", 6, 6},   {"eth.type", 12, 2},    {"ip.version", 14, 1},
	{"ip.tos", 15, 1}, {"ip.len", 16, 2},   {"ip.id", 18, 2},       {"ip.fragment", 20, 2},
	{"ip.ttl", 22, 1}, {"ip.proto", 23, 1}, {"ip.checksum", 24, 2}, {"ip.src", 26, 4},
	{"ip.dst", 30, 4},
};

static const struct field fields_of_tcp[] = {
	{"tcp.src_port", 0, 2}, {"tcp.dst_port", 2, 2},  {"tcp.seq", 4, 4},
	{"tcp.ack", 8, 4},      {"tcp.offset", 12, 1},   {"tcp.flags", 13, 1},
	{"tcp.window", 14, 2},  {"tcp.checksum", 16, 2}, {"tcp.urgent", 18, 2},
};

static const struct field fields_of_udp[] = {
	{"udp.src_port", 0, 2},
	{"udp.dst_port", 2, 2},
	{"udp.len", 4, 2},
	{"udp.checksum", 6, 2},
};

static const struct field fields_of_icmp[] = {
	{"icmp.type", 0, 1},        {"icmp.code", 1, 1},          {"icmp.checksum", 2, 2},
	{"icmp.rest", 4, 4},        {"quoted.ip.head", 8, 10},    {"quoted.ip.checksum", 18, 2},
	{"quoted.ip.src", 20, 4},   {"quoted.ip.dst", 24, 4},     {"quoted.src_port", 28, 2},
	{"quoted.dst_port", 30, 2}, {"quoted.seq or udp", 32, 4},
};

static void describe(const char *name, const uint8_t *expected, const uint8_t *actual, uint32_t len,
		     char *why, size_t why_size)
{
	int n = snprintf(why, why_size, "%s: expected ", name);
	for (uint32_t i = 0; i < len && n >= 0 && (size_t)n < why_size; i++)
		n += snprintf(why + n, why_size - (size_t)n, "%02x", expected[i]);
	if (n >= 0 && (size_t)n < why_size)
		n += snprintf(why + n, why_size - (size_t)n, ", got ");
	for (uint32_t i = 0; i < len && n >= 0 && (size_t)n < why_size; i++)
		n += snprintf(why + n, why_size - (size_t)n, "%02x", actual[i]);
}

static bool fields_differ(const struct field *fields, size_t n, uint32_t base, uint32_t len,
			  const uint8_t *expected, const uint8_t *actual, char *why,
			  size_t why_size)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t at = base + fields[i].offset;
		if (at + fields[i].len > len ||
		    memcmp(expected + at, actual + at, fields[i].len) == 0)
			continue;
		describe(fields[i].name, expected + at, actual + at, fields[i].len, why, why_size);
		return true;
	}
	return false;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *frame_difference(const uint8_t *expected, uint32_t expected_len, const uint8_t *actual,
			     uint32_t actual_len, char *why, size_t why_size)
{
	uint32_t len = expected_len < actual_len ? expected_len : actual_len;
	if (expected_len == actual_len && memcmp(expected, actual, len) == 0)
		return NULL;
	if (fields_differ(fields_of_ip, COUNT(fields_of_ip), 0, len, expected, actual, why,
			  why_size))
		return why;
	const struct field *fields = fields_of_icmp;
	size_t n = COUNT(fields_of_icmp);
	if (len > 23 && expected[23] == IPPROTO_TCP) {
		fields = fields_of_tcp;
		n = COUNT(fields_of_tcp);
	} else if (len > 23 && expected[23] == IPPROTO_UDP) {
		fields = fields_of_udp;
		n = COUNT(fields_of_udp);
	}
	uint32_t l4 = len > 14 ? 14 + (expected[14] & 0x0fU) * 4 : 0;
	if (fields_differ(fields, n, l4, len, expected, actual, why, why_size))
		return why;
	for (uint32_t i = 0; i < len; i++) {
		if (expected[i] == actual[i])
			continue;
		snprintf(why, why_size, "byte %u: expected %02x, got %02x", i, expected[i],
			 actual[i]);
		return why;
	}
	snprintf(why, why_size, "length: expected %u bytes, got %u", expected_len, actual_len);
	return why;
}
