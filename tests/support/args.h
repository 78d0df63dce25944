// SPDX-License-Identifier: Apache-2.0
// Command-line values that the programs here share.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

// Addresses first to first + count - 1, host byte order.
struct network {
	uint32_t first;
	uint32_t count;
};

// "10.0.0.1:80" and "10.128.0.0/10". False leaves the output untouched.
bool parse_endpoint(const char *text, struct sockaddr_in *endpoint);
bool parse_network(const char *text, struct network *network);

// "10.0.0.1:80" or "[fd00::1]:80".
bool parse_any_endpoint(const char *text, struct sockaddr_storage *endpoint, socklen_t *len);

// A decimal number from `min` to `max`, and nothing behind it.
bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number);
