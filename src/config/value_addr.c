// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value_parts.h"
#include "culvert/config/config.h"

enum { NETWORK_TEXT_MAX = IP_ADDR_TEXT_MAX + 4 };

int value_store_addr(const struct value *value)
{
	struct ip_addr addr;
	if (!value->text || !ip_addr_parse(value->text, &addr))
		return value_reject(value, "is not an address",
				    "an IPv4 or IPv6 address, for example \"192.0.2.1\"");
	memcpy(value->field, &addr, sizeof(addr));
	return 0;
}

// An address with a bad port, or with something else behind it?
static bool has_address_before_port(const char *text)
{
	char host[IP_ADDR_TEXT_MAX];
	struct ip_addr addr;
	const char *end = strrchr(text, ':');
	bool is_bracketed = text[0] == '[';
	if (is_bracketed && end && end > text && end[-1] == ']') {
		text++;
		end--;
	}
	if (!end || (size_t)(end - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return ip_addr_parse(host, &addr);
}

static int reject_endpoint(const struct value *value)
{
	struct ip_addr addr;
	if (value->text && ip_addr_parse(value->text, &addr))
		return value_reject(value, "has no port",
				    strchr(value->text, ':') ? "[ADDRESS]:PORT" : "ADDRESS:PORT");
	if (value->text && has_address_before_port(value->text))
		return value_reject(value, "has a bad port",
				    "a port from 1 to 65535 behind the address");
	return value_reject(value, "is not an address",
			    "ADDRESS:PORT, for example \"192.0.2.10:80\" or "
			    "\"[2001:db8::10]:80\"");
}

int value_store_endpoint(const struct value *value)
{
	struct endpoint parsed;
	if (!value->text || !endpoint_parse(value->text, &parsed))
		return reject_endpoint(value);
	struct endpoint *endpoint = value->field;
	endpoint->addr = parsed.addr;
	endpoint->port_be = parsed.port_be;
	return 0;
}

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

// What stands behind "unix:".
static int store_unix_path(const struct value *value, const char *path)
{
	if ((*path != '/' && *path != '@') || path[1] == '\0')
		return value_reject(value, "is not the path of a socket",
				    "\"unix:/PATH\", or \"unix:@NAME\" for an abstract one");
	char advice[ADVICE_MAX];
	snprintf(advice, sizeof(advice), "a path of at most %d bytes", CONFIG_UNIX_PATH_MAX);
	if (strlen(path) > CONFIG_UNIX_PATH_MAX)
		return value_reject(value, "is longer than the kernel takes", advice);
	if (!is_printable(path))
		return value_reject(value, "has a character that is not printable ASCII",
				    "a path of letters, digits and signs");
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	memcpy((char *)value->base + value->key->offset2, &copy, sizeof(copy));
	return 0;
}

int value_store_backend_addr(const struct value *value)
{
	static const char prefix[] = "unix:";
	size_t length = sizeof(prefix) - 1;
	if (value->text && strncmp(value->text, prefix, length) == 0)
		return store_unix_path(value, value->text + length);
	if (value->text && value->text[0] == '/')
		return value_reject(value, "is not an address",
				    "\"unix:\" before the path of a socket");
	return value_store_endpoint(value);
}

// The network that `text` would name without its host bits, written as it should be: `fixed` has
// room for NETWORK_TEXT_MAX. False when something else is wrong with it.
static bool drop_host_bits(const char *text, char *fixed)
{
	char host[IP_ADDR_TEXT_MAX];
	struct ip_addr addr;
	struct ip_network network;
	const char *slash = strchr(text, '/');
	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	if (!ip_addr_parse(host, &addr))
		return false;
	unsigned long first = strtoul(slash + 1, NULL, 10) + (ip_addr_is_v4(&addr) ? 96 : 0);
	for (unsigned long bit = first; bit < 128; bit++)
		addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	snprintf(fixed, NETWORK_TEXT_MAX, "%s%s", ip_addr_format(&addr, host), slash);
	return ip_network_parse(fixed, &network);
}

int value_store_network(const struct value *value)
{
	struct ip_network network;
	char fixed[NETWORK_TEXT_MAX];
	char advice[ADVICE_MAX];
	if (value->text && ip_network_parse(value->text, &network)) {
		memcpy(value->field, &network, sizeof(network));
		return 0;
	}
	if (!value->text || !drop_host_bits(value->text, fixed))
		return value_reject(value, "is not a network",
				    "ADDRESS/BITS, for example \"10.0.0.0/8\" or "
				    "\"2001:db8::/32\"");
	snprintf(advice, sizeof(advice), "\"%s\", or the address alone", fixed);
	return value_reject(value, "has bits set behind its prefix", advice);
}
