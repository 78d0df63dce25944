// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

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
static bool parse_number(const char *text, unsigned max, unsigned *number)
{
	unsigned value = 0;
	if (!*text)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return false;
		value = value * 10 + (unsigned)(*c - '0');
		if (value > max)
			return false;
	}
	*number = value;
	return true;
}

static bool parse_port(const char *text, uint16_t *port_be)
{
	unsigned value;
	if (!parse_number(text, UINT16_MAX, &value) || value == 0)
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

static bool has_host_bits(const struct ip_network *network)
{
	for (unsigned bit = network->prefix_len; bit < 128; bit++) {
		if (network->addr.bytes[bit / 8] & 0x80 >> bit % 8)
			return true;
	}
	return false;
}

bool ip_network_parse(const char *text, struct ip_network *network)
{
	char host[IP_ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';

	struct ip_network parsed;
	unsigned max = strchr(host, ':') ? 128 : 32;
	unsigned prefix_len = max;
	if (!ip_addr_parse(host, &parsed.addr) ||
	    (slash && !parse_number(slash + 1, max, &prefix_len)))
		return false;
	parsed.prefix_len = (uint8_t)(prefix_len + 128 - max);
	if (has_host_bits(&parsed))
		return false;
	*network = parsed;
	return true;
}

bool ip_network_contains(const struct ip_network *network, const struct ip_addr *addr)
{
	size_t n_bytes = network->prefix_len / 8;
	unsigned n_bits = network->prefix_len % 8; // of the byte behind them
	if (ip_addr_is_v4(&network->addr) != ip_addr_is_v4(addr))
		return false;
	if (memcmp(network->addr.bytes, addr->bytes, n_bytes) != 0)
		return false;
	if (n_bits == 0)
		return true;
	int difference = network->addr.bytes[n_bytes] ^ addr->bytes[n_bytes];
	return difference >> (8 - n_bits) == 0;
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
