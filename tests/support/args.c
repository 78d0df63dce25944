// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// "ADDRESS<separator>NUMBER", the number from `min` to `max`.
static bool parse_pair(const char *text, char separator, unsigned long min, unsigned long max,
		       struct in_addr *addr, unsigned long *number)
{
	char host[INET_ADDRSTRLEN];
	char *end;
	const char *mark = strchr(text, separator);
	if (!mark || (size_t)(mark - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(mark - text));
	host[mark - text] = '\0';
	*number = strtoul(mark + 1, &end, 10);
	return *end == '\0' && *number >= min && *number <= max &&
	       inet_pton(AF_INET, host, addr) == 1;
}

bool parse_endpoint(const char *text, struct sockaddr_in *endpoint)
{
	struct in_addr addr;
	unsigned long port;
	if (!parse_pair(text, ':', 1, 65535, &addr, &port))
		return false;
	*endpoint = (struct sockaddr_in){.sin_family = AF_INET,
					 .sin_addr = addr,
					 .sin_port = htons((uint16_t)port)};
	return true;
}

bool parse_network(const char *text, struct network *network)
{
	struct in_addr addr;
	unsigned long length;
	if (!parse_pair(text, '/', 1, 32, &addr, &length))
		return false;
	*network = (struct network){.first = ntohl(addr.s_addr), .count = 1U << (32 - length)};
	return true;
}

bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || *end != '\0' || value < min || value > max)
		return false;
	*number = value;
	return true;
}

bool parse_any_endpoint(const char *text, struct sockaddr_storage *endpoint, socklen_t *len)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	if (parse_endpoint(text, &v4)) {
		memcpy(endpoint, &v4, sizeof(v4));
		*len = sizeof(v4);
		return true;
	}
	const char *end = strstr(text, "]:");
	if (text[0] != '[' || !end || (size_t)(end - text) > sizeof(host))
		return false;
	memcpy(host, text + 1, (size_t)(end - text) - 1);
	host[end - text - 1] = '\0';
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1 ||
	    !parse_number(end + 2, 1, 65535, &port))
		return false;
	v6.sin6_port = htons((uint16_t)port);
	memcpy(endpoint, &v6, sizeof(v6));
	*len = sizeof(v6);
	return true;
}
