// SPDX-License-Identifier: Apache-2.0
#include "sockaddr.h"

#include <netinet/in.h>
#include <string.h>

socklen_t sockaddr_from_endpoint(const struct endpoint *endpoint, struct sockaddr_storage *sockaddr)
{
	memset(sockaddr, 0, sizeof(*sockaddr));
	if (ip_addr_is_v4(&endpoint->addr)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)sockaddr;
		v4->sin_family = AF_INET;
		v4->sin_port = endpoint->port_be;
		v4->sin_addr.s_addr = ip_addr_v4_be(&endpoint->addr);
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sockaddr;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = endpoint->port_be;
	memcpy(&v6->sin6_addr, endpoint->addr.bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}
