// SPDX-License-Identifier: Apache-2.0
// What the words of packet tables stand for, where they are names out of a list.
#pragma once

#include <stdbool.h>

#include "frame.h"

// A list of names with commas, which is written into; filled up with the option that ends the list.
// NULL, or the name that is unknown or too much.
const char *notation_tcp_options(char *list, struct frame_options *options);
const char *notation_ip_options(char *list, struct frame_options *options);
const char *notation_extensions(char *list, struct frame_extensions *extensions);

struct icmp_kind {
	const char *name;
	uint8_t type;
	uint8_t code;
	bool has_mtu; // a number follows
};

// Of ICMP, or of ICMPv6. NULL when there is no such kind.
const struct icmp_kind *notation_icmp_kind(const char *name, bool is_v6);
