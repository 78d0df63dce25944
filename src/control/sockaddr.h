// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include "culvert/net/addr.h"

// Address and port as the socket calls want them. Returns the size to pass along.
socklen_t sockaddr_from_endpoint(const struct endpoint *endpoint,
				 struct sockaddr_storage *sockaddr);
