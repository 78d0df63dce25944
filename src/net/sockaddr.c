// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/sockaddr.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

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

socklen_t sockaddr_from_path(const char *path, struct sockaddr_storage *sockaddr)
{
	memset(sockaddr, 0, sizeof(*sockaddr));
	struct sockaddr_un *un = (struct sockaddr_un *)sockaddr;
	un->sun_family = AF_UNIX;
	strncpy(un->sun_path, path, sizeof(un->sun_path) - 1);
	if (path[0] != '@')
		return sizeof(*un);
	// Every byte of an abstract name counts, so none may follow.
	un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

void endpoint_from_sockaddr(const struct sockaddr *sockaddr, struct endpoint *endpoint)
{
	*endpoint = (struct endpoint){0};
	if (sockaddr->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, sockaddr, sizeof(v4));
		endpoint->addr = ip_addr_from_v4(v4.sin_addr.s_addr);
		endpoint->port_be = v4.sin_port;
	} else if (sockaddr->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, sockaddr, sizeof(v6));
		memcpy(endpoint->addr.bytes, &v6.sin6_addr, sizeof(endpoint->addr.bytes));
		endpoint->port_be = v6.sin6_port;
	}
}
