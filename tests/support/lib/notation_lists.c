// SPDX-License-Identifier: Apache-2.0
#include "notation_lists.h"

#include <netinet/in.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct named_bytes {
	const char *name;
	uint8_t len;
	uint8_t bytes[12];
};

static const struct named_bytes tcp_option_list[] = {
	{"mss", 4, {2, 4, 0x05, 0xb4}}, // 1460
	{"mss1440", 4, {2, 4, 0x05, 0xa0}},
	{"mss1340", 4, {2, 4, 0x05, 0x3c}},
	{"mss1000", 4, {2, 4, 0x03, 0xe8}},
	{"ws", 3, {3, 3, 7}},
	{"sack", 2, {4, 2}},
	{"ts", 10, {8, 10, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}},
	{"nop", 1, {1}},
};

static const struct named_bytes ip_option_list[] = {
	{"nop", 1, {1}},
	{"rr", 7, {7, 7, 4}},                               // record route, one place
	{"lsrr", 7, {131, 7, 4, 10, 9, 9, 9}},              // loose source route
	{"ssrr", 7, {137, 7, 4, 10, 9, 9, 9}},              // strict source route
	{"alert", 4, {148, 4, 0, 0}},                       // router alert
	{"overrun", 2, {7, 40}},                            // longer than the header
	{"short", 2, {7, 1}},                               // shorter than itself
	{"stub", 1, {7}},                                   // without a length
	{"ts", 12, {68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, // timestamps
};

// The first byte will name what follows, the second is the length in units of 8 bytes beyond the
// first 8 (of 4 beyond 8 in AH). Options are PadN, and a router alert (RFC 2711).
static const struct extension {
	const char *name;
	uint8_t proto;
	uint8_t len;
	uint8_t bytes[24];
} extension_list[] = {
	{"hop", IPPROTO_HOPOPTS, 8, {0, 0, 1, 4}},
	{"alert", IPPROTO_HOPOPTS, 8, {0, 0, 5, 2, 0, 0, 1, 0}},
	{"dest", IPPROTO_DSTOPTS, 8, {0, 0, 1, 4}},
	{"dest24", IPPROTO_DSTOPTS, 24, {0, 2, 1, 20}},
	{"route0",
	 IPPROTO_ROUTING,
	 24,
	 {0, 2, 0, 1, [8] = 0xfd, [23] = 9}}, // type 0, one stop left
	{"route0done", IPPROTO_ROUTING, 24, {0, 2, 0, 0, [8] = 0xfd, [23] = 9}},
	{"route2", IPPROTO_ROUTING, 24, {0, 2, 2, 1, [8] = 0xfd, [23] = 9}}, // RFC 6275
	{"route2done", IPPROTO_ROUTING, 24, {0, 2, 2, 0, [8] = 0xfd, [23] = 9}},
	{"frag", IPPROTO_FRAGMENT, 8, {0}},
	{"ah", IPPROTO_AH, 24, {0, 4}},
	{"overrun", IPPROTO_DSTOPTS, 8, {0, 250, 1, 4}}, // longer than the packet
};

static bool append_named(struct frame_options *options, const char *name,
			 const struct named_bytes *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, list[i].name) != 0)
			continue;
		if (options->len + list[i].len > FRAME_MAX_OPTIONS)
			return false;
		memcpy(options->bytes + options->len, list[i].bytes, list[i].len);
		options->len = (uint8_t)(options->len + list[i].len);
		return true;
	}
	return false;
}

static const char *append_list(char *names, struct frame_options *options,
			       const struct named_bytes *list, size_t n)
{
	char *place = NULL;
	for (char *name = strtok_r(names, ",", &place); name; name = strtok_r(NULL, ",", &place)) {
		if (!append_named(options, name, list, n))
			return name;
	}
	while (options->len % 4)
		options->bytes[options->len++] = 0;
	return NULL;
}

const char *notation_tcp_options(char *list, struct frame_options *options)
{
	return append_list(list, options, tcp_option_list, COUNT(tcp_option_list));
}

const char *notation_ip_options(char *list, struct frame_options *options)
{
	return append_list(list, options, ip_option_list, COUNT(ip_option_list));
}

static bool append_extension(struct frame_extensions *extensions, const char *name)
{
	for (size_t i = 0; i < COUNT(extension_list); i++) {
		const struct extension *extension = &extension_list[i];
		if (strcmp(name, extension->name) == 0)
			return frame_add_extension(extensions, extension->proto, extension->bytes,
						   extension->len);
	}
	return false;
}

const char *notation_extensions(char *list, struct frame_extensions *extensions)
{
	char *place = NULL;
	for (char *name = strtok_r(list, ",", &place); name; name = strtok_r(NULL, ",", &place)) {
		if (!append_extension(extensions, name))
			return name;
	}
	return NULL;
}

// RFC 792, RFC 1812 section 5.2.7.
static const struct icmp_kind kinds_v4[] = {
	{"frag-needed", 3, 4, true},
	{"net-unreachable", 3, 0, false},
	{"host-unreachable", 3, 1, false},
	{"proto-unreachable", 3, 2, false},
	{"port-unreachable", 3, 3, false},
	{"source-route-failed", 3, 5, false},
	{"prohibited", 3, 13, false},
	{"source-quench", 4, 0, false},
	{"redirect", 5, 1, false},
	{"echo", 8, 0, false},
	{"echo-reply", 0, 0, false},
	{"time-exceeded", 11, 0, false},
	{"reassembly-timeout", 11, 1, false},
	{"param-problem", 12, 0, false},
	{"timestamp", 13, 0, false},
};

// RFC 4443; RFC 4861 for the last.
static const struct icmp_kind kinds_v6[] = {
	{"too-big", 2, 0, true},
	{"no-route", 1, 0, false},
	{"prohibited", 1, 1, false},
	{"beyond-scope", 1, 2, false},
	{"addr-unreachable", 1, 3, false},
	{"port-unreachable", 1, 4, false},
	{"bad-source", 1, 5, false},
	{"time-exceeded", 3, 0, false},
	{"reassembly-timeout", 3, 1, false},
	{"param-problem", 4, 0, false},
	{"unknown-header", 4, 1, false},
	{"unknown-option", 4, 2, false},
	{"unknown-error", 127, 0, false},
	{"echo", 128, 0, false},
	{"echo-reply", 129, 0, false},
	{"neighbour-solicitation", 135, 0, false},
	{"redirect", 137, 0, false},
};

const struct icmp_kind *notation_icmp_kind(const char *name, bool is_v6)
{
	const struct icmp_kind *kinds = is_v6 ? kinds_v6 : kinds_v4;
	size_t n = is_v6 ? COUNT(kinds_v6) : COUNT(kinds_v4);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, kinds[i].name) == 0)
			return &kinds[i];
	}
	return NULL;
}
