// SPDX-License-Identifier: Apache-2.0
// The ports that this host's own connections take, and those that are kept out of their way.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

struct local_ports {
	uint16_t min; // net.ipv4.ip_local_port_range, host byte order, inclusive
	uint16_t max;
	uint64_t reserved[1024]; // net.ipv4.ip_local_reserved_ports: one bit for each port
	bool has_reserved;       // any at all
};

// From the two texts as /proc/sys shows them: "32768\t60999", and a list such as "8080,9000-9010"
// that may be empty. 0 or -EINVAL.
int local_ports_parse(struct local_ports *ports, const char *range, const char *reserved,
		      struct err *err);

// Of the running kernel. 0 or -errno.
int local_ports_read(struct local_ports *ports, struct err *err);

// How many ports this host has for its own connections when min to max are taken from it.
unsigned local_ports_left(const struct local_ports *ports, uint16_t min, uint16_t max);

// True when a port of min to max may be given to a connection of this host.
bool local_ports_overlap(const struct local_ports *ports, uint16_t min, uint16_t max);
