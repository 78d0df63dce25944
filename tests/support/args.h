// SPDX-License-Identifier: Apache-2.0
// Command-line values that the programs here share.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

// Addresses first to first + count - 1, host byte order.
struct network {
	uint32_t first;
	uint32_t count;
};

// "10.0.0.1:80" and "10.128.0.0/10". False leaves the output untouched.
bool parse_endpoint(const char *text, struct sockaddr_in *endpoint);
bool parse_network(const char *text, struct network *network);
