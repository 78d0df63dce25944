// SPDX-License-Identifier: Apache-2.0
// Endpoints as the socket calls want them, and back. Any thread.
#pragma once

#include <sys/socket.h>

#include "culvert/net/addr.h"

// Returns the size to pass along.
socklen_t sockaddr_from_endpoint(const struct endpoint *endpoint,
				 struct sockaddr_storage *sockaddr);

// A Unix socket by its path, or by its abstract name behind an "@" (unix(7)), at most 107 bytes.
socklen_t sockaddr_from_path(const char *path, struct sockaddr_storage *sockaddr);

// Address and port of an AF_INET or AF_INET6 socket; zeros for others. `proto` is left at 0.
void endpoint_from_sockaddr(const struct sockaddr *sockaddr, struct endpoint *endpoint);
