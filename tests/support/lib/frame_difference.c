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

static const struct field fields_of_ethernet[] = {
	{"eth.dst", 0, 6},
	{"eth.src", 6, 6},
	{"eth.type", 12, 2},
};

static const struct field fields_of_ip[] = {
	{"ip.version", 0, 1},  {"ip.tos", 1, 1},  {"ip.len", 2, 2},   {"ip.id", 4, 2},
	{"ip.fragment", 6, 2}, {"ip.ttl", 8, 1},  {"ip.proto", 9, 1}, {"ip.checksum", 10, 2},
	{"ip.src", 12, 4},     {"ip.dst", 16, 4},
};

static const struct field fields_of_ip6[] = {
	{"ip6.head", 0, 4},      {"ip6.len", 4, 2},  {"ip6.next", 6, 1},
	{"ip6.hop_limit", 7, 1}, {"ip6.src", 8, 16}, {"ip6.dst", 24, 16},
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

static const struct field fields_of_icmp6[] = {
	{"icmp6.type", 0, 1},         {"icmp6.code", 1, 1},       {"icmp6.checksum", 2, 2},
	{"icmp6.rest", 4, 4},         {"quoted.ip6.head", 8, 8},  {"quoted.ip6.src", 16, 16},
	{"quoted.ip6.dst", 32, 16},   {"quoted.src_port", 48, 2}, {"quoted.dst_port", 50, 2},
	{"quoted.seq or udp", 52, 4},
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

struct fields {
	const struct field *list;
	size_t n;
};

static struct fields fields_of(const struct frame_layout *layout)
{
	switch (layout->proto) {
	case IPPROTO_TCP:
		return (struct fields){fields_of_tcp, COUNT(fields_of_tcp)};
	case IPPROTO_UDP:
		return (struct fields){fields_of_udp, COUNT(fields_of_udp)};
	case IPPROTO_ICMP:
		return (struct fields){fields_of_icmp, COUNT(fields_of_icmp)};
	case IPPROTO_ICMPV6:
		return (struct fields){fields_of_icmp6, COUNT(fields_of_icmp6)};
	default:
		return (struct fields){NULL, 0};
	}
}

const char *frame_difference(const uint8_t *expected, uint32_t expected_len, const uint8_t *actual,
			     uint32_t actual_len, char *why, size_t why_size)
{
	struct frame_layout layout;
	uint32_t len = expected_len < actual_len ? expected_len : actual_len;
	if (expected_len == actual_len && memcmp(expected, actual, len) == 0)
		return NULL;
	bool has_transport = frame_read_layout(expected, expected_len, &layout);
	struct fields ip = {fields_of_ip, COUNT(fields_of_ip)};
	if (layout.is_v6)
		ip = (struct fields){fields_of_ip6, COUNT(fields_of_ip6)};
	if (fields_differ(fields_of_ethernet, COUNT(fields_of_ethernet), 0, len, expected, actual,
			  why, why_size) ||
	    (layout.l3 &&
	     fields_differ(ip.list, ip.n, layout.l3, len, expected, actual, why, why_size)))
		return why;
	struct fields transport = fields_of(&layout);
	if (has_transport && fields_differ(transport.list, transport.n, layout.l4, len, expected,
					   actual, why, why_size))
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
