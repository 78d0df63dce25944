// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t v4_mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct ip_addr ip_addr_from_v4(uint32_t addr_be)
{
	struct ip_addr addr;
	memcpy(addr.bytes, v4_mapped_prefix, sizeof(v4_mapped_prefix));
	memcpy(addr.bytes + 12, &addr_be, sizeof(addr_be));
	return addr;
}

bool ip_addr_is_v4(const struct ip_addr *addr)
{
	return memcmp(addr->bytes, v4_mapped_prefix, sizeof(v4_mapped_prefix)) == 0;
}

bool ip_addr_is_unspecified(const struct ip_addr *addr)
{
	static const struct ip_addr v6_any;
	if (ip_addr_is_v4(addr))
		return ip_addr_v4_be(addr) == 0;
	return ip_addr_equal(addr, &v6_any);
}

bool ip_addr_parse(const char *text, struct ip_addr *addr)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		*addr = ip_addr_from_v4(v4.s_addr);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		memcpy(addr->bytes, &v6, sizeof(addr->bytes));
		return true;
	}
	return false;
}

// Decimal digits only: no sign, no blanks, nothing behind.
static bool parse_port(const char *text, uint16_t *port_be)
{
	unsigned value = 0;
	if (!*text)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return false;
		value = value * 10 + (unsigned)(*c - '0');
		if (value > UINT16_MAX)
			return false;
	}
	if (value == 0)
		return false;
	*port_be = htons((uint16_t)value);
	return true;
}

bool endpoint_parse(const char *text, struct endpoint *endpoint)
{
	char host[IP_ADDR_TEXT_MAX];
	bool is_bracketed = text[0] == '[';
	const char *start = is_bracketed ? text + 1 : text;
	const char *end = is_bracketed ? strchr(start, ']') : strchr(start, ':');
	if (!end || (size_t)(end - start) >= sizeof(host))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (is_bracketed && *++end != ':')
		return false;

	struct endpoint parsed = {0};
	if (!ip_addr_parse(host, &parsed.addr) || !parse_port(end + 1, &parsed.port_be))
		return false;
	// Brackets mark an IPv6 address and nothing else (RFC 3986 section 3.2.2).
	if (is_bracketed != (strchr(host, ':') != NULL))
		return false;
	*endpoint = parsed;
	return true;
}

const char *ip_addr_format(const struct ip_addr *addr, char *text)
{
	if (ip_addr_is_v4(addr))
		inet_ntop(AF_INET, addr->bytes + 12, text, IP_ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, addr->bytes, text, IP_ADDR_TEXT_MAX);
	return text;
}

const char *endpoint_format(const struct endpoint *endpoint, char *text)
{
	char host[IP_ADDR_TEXT_MAX];
	bool is_v4 = ip_addr_is_v4(&endpoint->addr);
	ip_addr_format(&endpoint->addr, host);
	snprintf(text, ENDPOINT_TEXT_MAX, "%s%s%s:%u", is_v4 ? "" : "[", host, is_v4 ? "" : "]",
		 ntohs(endpoint->port_be));
	return text;
}

const char *mac_addr_format(const struct mac_addr *mac, char *text)
{
	const uint8_t *b = mac->bytes;
	snprintf(text, MAC_ADDR_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5]);
	return text;
}
