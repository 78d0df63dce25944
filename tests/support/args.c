// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <arpa/inet.h>
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
