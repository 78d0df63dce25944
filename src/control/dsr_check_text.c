// SPDX-License-Identifier: Apache-2.0
// What was seen, in a line. Why, and what to do: dsr_check_advice.c.
#include "culvert/control/dsr_check.h"

#include <stdio.h>

#include "culvert/base/clock.h"

static const char *icmp6_name(uint8_t code)
{
	static const char *const names[] = {
		[0] = "no route",
		[1] = "communication prohibited",
		[2] = "beyond scope of source address",
		[3] = "address unreachable",
		[4] = "port unreachable",
		[5] = "source address failed policy",
		[6] = "route rejected",
	};
	return code < sizeof(names) / sizeof(names[0]) ? names[code] : "destination unreachable";
}

static const char *icmp_name(uint8_t code)
{
	static const char *const names[] = {
		[0] = "network unreachable",       [1] = "host unreachable",
		[2] = "protocol unreachable",      [3] = "port unreachable",
		[4] = "fragmentation needed",      [5] = "source route failed",
		[9] = "network prohibited",        [10] = "host prohibited",
		[13] = "communication prohibited",
	};
	bool is_known = code < sizeof(names) / sizeof(names[0]) && names[code];
	return is_known ? names[code] : "destination unreachable";
}

// ---- what was seen -----------------------------------------------------------------------------

static void format_reply(const struct dsr_result *result, char *text, size_t size)
{
	const struct dsr_evidence *e = &result->evidence;
	char from[ENDPOINT_TEXT_MAX];
	char vip[ENDPOINT_TEXT_MAX];
	endpoint_format(&e->reply.from, from);
	endpoint_format(&e->vip, vip);
	double ms = (double)result->duration_ns / NS_PER_MS;
	if (e->reply.kind == DSR_REPLY_ICMP)
		snprintf(text, size, "ICMP %s from %s",
			 ip_addr_is_v4(&e->backend.addr) ? icmp_name(e->reply.icmp_code)
							 : icmp6_name(e->reply.icmp_code),
			 ip_addr_format(&e->reply.from.addr, from));
	else if (e->reply.kind == DSR_REPLY_RESET)
		snprintf(text, size, "RST from %s", from);
	else if (result->verdict == DSR_CORRUPT)
		snprintf(text, size, "SYN-ACK from %s with a wrong checksum", from);
	else if (result->verdict == DSR_READY)
		snprintf(text, size, "SYN-ACK from %s in %.1f ms", from, ms);
	else if (result->verdict == DSR_UNHEALTHY)
		snprintf(text, size, "SYN-ACK from %s in %.1f ms, but a plain connection %s", from,
			 ms, e->connect == DSR_CONNECT_REFUSED ? "is refused" : "gets no answer");
	else
		snprintf(text, size, "SYN-ACK from %s, not from %s", from, vip);
}

static void format_silence(const struct dsr_result *result, char *text, size_t size)
{
	const struct dsr_evidence *e = &result->evidence;
	char addr[IP_ADDR_TEXT_MAX];
	ip_addr_format(&e->hop.gateway, addr);
	if (result->verdict == DSR_NO_ROUTE)
		snprintf(text, size, "%s",
			 e->hop.is_local ? "is an address of this host" : "no route to it");
	else if (result->verdict == DSR_NOT_ON_LINK)
		snprintf(text, size, "is behind the router %s", addr);
	else if (result->verdict == DSR_LINK_DOWN)
		snprintf(text, size, "%s is down", e->link);
	else if (e->n_sent == 0)
		snprintf(text, size, "%s does not answer %s on %s", addr,
			 ip_addr_is_v4(&e->hop.gateway) ? "ARP" : "neighbour solicitations",
			 e->link);
	else if (result->verdict == DSR_HOST_DOWN)
		snprintf(text, size, "no reply to a SYN from %s, nor to a plain connection",
			 ip_addr_format(&e->source, addr));
	else
		snprintf(text, size, "no reply to a SYN from %s; a plain connection %s",
			 ip_addr_format(&e->source, addr),
			 e->connect == DSR_CONNECT_PASSED ? "succeeds" : "is refused");
}

const char *dsr_result_format(const struct dsr_result *result, char *text, size_t size)
{
	if (result->verdict == DSR_NOT_CHECKED)
		snprintf(text, size, "udp cannot be checked: nothing has to answer");
	else if (result->verdict == DSR_UNKNOWN)
		snprintf(text, size, "%s",
			 result->reason[0] ? result->reason
					   : "no reply, and no plain connection can be made here");
	else if (result->evidence.reply.kind != DSR_REPLY_NONE)
		format_reply(result, text, size);
	else
		format_silence(result, text, size);
	return text;
}
