// SPDX-License-Identifier: Apache-2.0
// What results say: a line of what was seen, a cause, and commands.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "culvert/base/clock.h"
#include "culvert/control/dsr_check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EGRESS                                                                                 \
	"tc/dsr-egress.sh up --dev \"$(ip -o route get 10.0.0.200 | sed 's/.* dev \\([^ ]*\\)" \
	".*/\\1/')\" --backend '10.1.0.101:8000' --vip '10.0.0.1:80' --balancer 10.1.0.2"
#define DEV        "$(ip -o address show to 10.1.0.101 | awk '{ print $2 }')"
#define RP_FILTER  "sysctl -w \"net/ipv4/conf/" DEV "/rp_filter=2\""
#define BACKEND_L2 "tc/dsr-backend.sh up --method l2 --vip 10.0.0.1 --dev \"" DEV "\""
#define BACKEND_IPIP \
	"tc/dsr-backend.sh up --method ipip --vip 10.0.0.1 --dev \"" DEV "\" --balancer 10.1.0.2"

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;
	cr_assert(ip_addr_parse(text, &addr), "%s", text);
	return addr;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint = {0};
	cr_assert(endpoint_parse(text, &endpoint), "%s", text);
	endpoint.proto = IPPROTO_TCP;
	return endpoint;
}

static struct dsr_result result_of(enum dsr_method method, enum dsr_verdict verdict)
{
	return (struct dsr_result){
		.verdict = verdict,
		.duration_ns = UINT64_C(420000),
		.evidence =
			{
				.method = method,
				.source = addr_of("10.0.0.200"),
				.vip = endpoint_of("10.0.0.1:80"),
				.backend = endpoint_of(method == DSR_NAT ? "10.1.0.101:8000"
									 : "10.1.0.101:80"),
				.hop = {.has_route = true,
					.gateway = addr_of("10.1.0.101"),
					.source = addr_of("10.1.0.2")},
				.link = "eth1",
				.n_sent = 3,
				.connect = DSR_CONNECT_PASSED,
			},
	};
}

static struct dsr_result replied(enum dsr_method method, enum dsr_verdict verdict,
				 enum dsr_reply_kind kind, const char *from)
{
	struct dsr_result result = result_of(method, verdict);
	result.evidence.reply.kind = kind;
	if (kind == DSR_REPLY_ICMP)
		result.evidence.reply.from.addr = addr_of(from);
	else
		result.evidence.reply.from = endpoint_of(from);
	return result;
}

// The cause may say more than what is looked for; the commands are all there are, in order.
static void expect(const struct dsr_result *result, const char *seen, const char *cause,
		   const char *const *commands)
{
	char text[640];
	struct dsr_advice advice;
	cr_expect_str_eq(dsr_result_format(result, text, sizeof(text)), seen);
	dsr_result_explain(result, &advice);
	cr_expect(strstr(advice.cause, cause), "%s: %s", seen, advice.cause);
	unsigned n = 0;
	for (; commands[n]; n++) {
		cr_assert_lt(n, advice.n_commands, "%s: missing %s", seen, commands[n]);
		cr_expect_str_eq(advice.commands[n], commands[n], "%s: %s\ninstead of %s", seen,
				 advice.commands[n], commands[n]);
	}
	cr_expect_eq(advice.n_commands, n, "%s: %u commands", seen, advice.n_commands);
}

#define EXPECT(result, seen, cause, ...) \
	expect(&(result), (seen), (cause), (const char *const[]){__VA_ARGS__})

Test(dsr_text, what_passes_needs_nothing)
{
	struct dsr_result ready = replied(DSR_NAT, DSR_READY, DSR_REPLY_SYN_ACK, "10.0.0.1:80");
	struct dsr_result udp = result_of(DSR_NAT, DSR_NOT_CHECKED);
	EXPECT(ready, "SYN-ACK from 10.0.0.1:80 in 0.4 ms", "", NULL);
	EXPECT(udp, "udp cannot be checked: nothing has to answer", "", NULL);
}

Test(dsr_text, what_could_not_be_checked_gives_its_reason)
{
	struct dsr_result result = result_of(DSR_NAT, DSR_UNKNOWN);
	EXPECT(result, "no reply, and no plain connection can be made here", "", NULL);
	snprintf(result.reason, sizeof(result.reason), "cannot send on eth1");
	EXPECT(result, "cannot send on eth1", "", NULL);
}

Test(dsr_text, faults_of_the_egress_nat_are_mended_by_its_script)
{
	struct dsr_result missing =
		replied(DSR_NAT, DSR_NO_NAT, DSR_REPLY_SYN_ACK, "10.1.0.101:8000");
	struct dsr_result port =
		replied(DSR_NAT, DSR_WRONG_PORT, DSR_REPLY_SYN_ACK, "10.0.0.1:8000");
	struct dsr_result addr = replied(DSR_NAT, DSR_WRONG_ADDR, DSR_REPLY_SYN_ACK, "10.0.0.9:80");
	struct dsr_result sum = replied(DSR_NAT, DSR_CORRUPT, DSR_REPLY_SYN_ACK, "10.0.0.1:80");
	EXPECT(missing, "SYN-ACK from 10.1.0.101:8000, not from 10.0.0.1:80",
	       "egress NAT is missing", EGRESS, NULL);
	EXPECT(port, "SYN-ACK from 10.0.0.1:8000, not from 10.0.0.1:80",
	       "wrong port, 8000 instead of 80. On 10.1.0.101:", EGRESS, NULL);
	EXPECT(addr, "SYN-ACK from 10.0.0.9:80, not from 10.0.0.1:80",
	       "wrong address, 10.0.0.9:80 instead of 10.0.0.1:80", EGRESS, NULL);
	EXPECT(sum, "SYN-ACK from 10.0.0.1:80 with a wrong checksum", "checksum", EGRESS, NULL);
}

Test(dsr_text, health_checks_that_fail_are_told_from_clients_that_are_served)
{
	struct dsr_result result =
		replied(DSR_NAT, DSR_UNHEALTHY, DSR_REPLY_SYN_ACK, "10.0.0.1:80");
	result.evidence.connect = DSR_CONNECT_SILENT;
	EXPECT(result, "SYN-ACK from 10.0.0.1:80 in 0.4 ms, but a plain connection gets no answer",
	       "must leave replies to 10.1.0.2 alone", EGRESS, NULL);
	result.evidence.connect = DSR_CONNECT_REFUSED;
	EXPECT(result, "SYN-ACK from 10.0.0.1:80 in 0.4 ms, but a plain connection is refused",
	       "let the service listen there as well", NULL);
}

Test(dsr_text, a_reset_tells_what_does_not_listen)
{
	struct dsr_result vip = replied(DSR_NAT, DSR_REFUSED, DSR_REPLY_RESET, "10.0.0.1:80");
	struct dsr_result own = replied(DSR_NAT, DSR_REFUSED, DSR_REPLY_RESET, "10.1.0.101:8000");
	struct dsr_result l2 = replied(DSR_L2, DSR_REFUSED, DSR_REPLY_RESET, "10.0.0.1:80");
	vip.evidence.connect = DSR_CONNECT_REFUSED;
	EXPECT(vip, "RST from 10.0.0.1:80", "Nothing listens on 10.1.0.101:8000 there. On 10.1.0",
	       "ss -Hltn 'sport = :8000'", NULL);
	own.evidence.connect = DSR_CONNECT_REFUSED;
	EXPECT(own, "RST from 10.1.0.101:8000", "Its egress NAT is missing as well",
	       "ss -Hltn 'sport = :8000'", EGRESS, NULL);
	vip.evidence.connect = DSR_CONNECT_PASSED;
	EXPECT(vip, "RST from 10.0.0.1:80", "a firewall resets clients", "ss -Hltn 'sport = :8000'",
	       NULL);
	EXPECT(l2, "RST from 10.0.0.1:80", "listens on 10.1.0.101:80 and not on 10.0.0.1:80",
	       "ss -Hltn 'sport = :80'", NULL);
}

Test(dsr_text, a_backend_that_ignores_clients_is_looked_at_by_method)
{
	static const char seen[] = "no reply to a SYN from 10.0.0.200; a plain connection succeeds";
	struct dsr_result nat = result_of(DSR_NAT, DSR_NO_REPLY);
	struct dsr_result l2 = result_of(DSR_L2, DSR_NO_REPLY);
	struct dsr_result ipip = result_of(DSR_IPIP, DSR_NO_REPLY);
	EXPECT(nat, seen, "rp_filter is strict", RP_FILTER, "ip route get 10.0.0.200", NULL);
	EXPECT(l2, seen, "it does not have that address", BACKEND_L2, RP_FILTER,
	       "ip route get 10.0.0.200", NULL);
	EXPECT(ipip, seen, "tunneled packets for 10.0.0.1", BACKEND_IPIP, "ip route get 10.0.0.200",
	       NULL);
}

Test(dsr_text, icmp_errors_are_named)
{
	struct dsr_result result = replied(DSR_IPIP, DSR_UNREACHABLE, DSR_REPLY_ICMP, "10.1.0.101");
	result.evidence.reply.icmp_code = 2;
	EXPECT(result, "ICMP protocol unreachable from 10.1.0.101", "no tunnel that takes IPIP",
	       BACKEND_IPIP, NULL);
	result.evidence.reply.icmp_code = 13;
	EXPECT(result, "ICMP communication prohibited from 10.1.0.101", "A firewall there",
	       "nft list ruleset; iptables-save", NULL);
	result.evidence.reply.from.addr = addr_of("10.1.0.254");
	result.evidence.reply.icmp_code = 200;
	EXPECT(result, "ICMP destination unreachable from 10.1.0.254", "The router 10.1.0.254",
	       "ping -c 3 10.1.0.101", NULL);
}

Test(dsr_text, a_host_that_is_down_is_told_from_a_route_that_is_not_there)
{
	struct dsr_result result = result_of(DSR_NAT, DSR_HOST_DOWN);
	EXPECT(result, "no reply to a SYN from 10.0.0.200, nor to a plain connection",
	       "The host is down", "ping -c 3 10.1.0.101", NULL);
	result.evidence.n_sent = 0;
	EXPECT(result, "10.1.0.101 does not answer ARP on eth1", "The host is down",
	       "ip neighbour show 10.1.0.101 dev eth1", NULL);
	result.evidence.hop.gateway = addr_of("10.1.0.254");
	EXPECT(result, "10.1.0.254 does not answer ARP on eth1", "The router towards it is down",
	       "ip neighbour show 10.1.0.254 dev eth1", NULL);
	result.verdict = DSR_LINK_DOWN;
	EXPECT(result, "eth1 is down", "This host's own interface", "ip link show eth1", NULL);
	result.verdict = DSR_NOT_ON_LINK;
	EXPECT(result, "is behind the router 10.1.0.254", "choose method nat or ipip", NULL);
	result.verdict = DSR_NO_ROUTE;
	EXPECT(result, "no route to it", "no route", "ip route get 10.1.0.101", NULL);
	result.evidence.hop.is_local = true;
	EXPECT(result, "is an address of this host", "another host", NULL);
}

// Names of the longest kind must not be cut.
Test(dsr_text, everything_has_room)
{
	struct dsr_result result =
		replied(DSR_NAT, DSR_REFUSED, DSR_REPLY_RESET, "255.255.255.254:65535");
	result.evidence.source = addr_of("255.255.255.253");
	result.evidence.vip = endpoint_of("255.255.255.252:65534");
	result.evidence.backend = endpoint_of("255.255.255.254:65535");
	result.evidence.hop.source = addr_of("255.255.255.251");
	for (unsigned method = DSR_NAT; method <= DSR_IPIP; method++) {
		for (unsigned verdict = DSR_NO_ROUTE; verdict <= DSR_UNHEALTHY; verdict++) {
			struct dsr_advice advice;
			result.verdict = (enum dsr_verdict)verdict;
			result.evidence.method = (enum dsr_method)method;
			dsr_result_explain(&result, &advice);
			cr_expect_lt(strlen(advice.cause), sizeof(advice.cause) - 1);
			cr_expect_leq(advice.n_commands, DSR_COMMANDS_MAX);
			for (unsigned i = 0; i < advice.n_commands; i++)
				cr_expect_lt(strlen(advice.commands[i]), DSR_COMMAND_MAX - 1);
		}
	}
}

// ---- IPv6 --------------------------------------------------------------------------------------

#define DEV6 "$(ip -o address show to fd00:1::101 | awk '{ print $2 }')"

static struct dsr_result result_of_v6(enum dsr_method method, enum dsr_verdict verdict)
{
	struct dsr_result result = result_of(method, verdict);
	struct dsr_evidence *e = &result.evidence;
	e->source = addr_of("fd00::200");
	e->vip = endpoint_of("[fd00::1]:80");
	e->backend = endpoint_of("[fd00:1::101]:80");
	e->hop.gateway = addr_of("fd00:1::101");
	e->hop.source = addr_of("fd00:1::2");
	return result;
}

// There is no rp_filter, nor the method ipip, and addresses are in brackets where a port follows.
Test(dsr_text, advice_for_ipv6_is_that_of_ipv6)
{
	struct dsr_result missing = result_of_v6(DSR_NAT, DSR_NO_NAT);
	missing.evidence.reply.kind = DSR_REPLY_SYN_ACK;
	missing.evidence.reply.from = missing.evidence.backend;
	EXPECT(missing, "SYN-ACK from [fd00:1::101]:80, not from [fd00::1]:80",
	       "egress NAT is missing",
	       "tc/dsr-egress.sh up --dev \"$(ip -o route get fd00::200 | sed 's/.* dev \\([^ "
	       "]*\\).*/\\1/')\" --backend '[fd00:1::101]:80' --vip '[fd00::1]:80' --balancer "
	       "fd00:1::2",
	       NULL);
	struct dsr_result silent = result_of_v6(DSR_NAT, DSR_NO_REPLY);
	EXPECT(silent, "no reply to a SYN from fd00::200; a plain connection succeeds",
	       "no route back to fd00::200", "ip route get fd00::200", NULL);
	struct dsr_result unheld = result_of_v6(DSR_L2, DSR_NO_REPLY);
	EXPECT(unheld, "no reply to a SYN from fd00::200; a plain connection succeeds",
	       "takes no packets for fd00::1",
	       "tc/dsr-backend.sh up --method l2 --vip fd00::1 --dev \"" DEV6 "\"",
	       "ip route get fd00::200", NULL);
	struct dsr_result routed = result_of_v6(DSR_L2, DSR_NOT_ON_LINK);
	EXPECT(routed, "is behind the router fd00:1::101", "choose method nat.", NULL);
	struct dsr_result beside = result_of_v6(DSR_L2, DSR_REFUSED);
	beside.evidence.reply.kind = DSR_REPLY_RESET;
	beside.evidence.reply.from = beside.evidence.vip;
	EXPECT(beside, "RST from [fd00::1]:80", "let it listen on [::]:80",
	       "ss -Hltn 'sport = :80'", NULL);
}

Test(dsr_text, icmp_errors_of_ipv6_are_named_by_its_codes)
{
	static const char *const names[] = {"no route",
					    "communication prohibited",
					    "beyond scope of source address",
					    "address unreachable",
					    "port unreachable",
					    "source address failed policy",
					    "route rejected",
					    "destination unreachable"};
	for (unsigned code = 0; code < COUNT(names); code++) {
		char expected[80];
		char text[640];
		struct dsr_result result = result_of_v6(DSR_NAT, DSR_UNREACHABLE);
		result.evidence.reply.kind = DSR_REPLY_ICMP;
		result.evidence.reply.from.addr = addr_of("fd00:1::101");
		result.evidence.reply.icmp_code = (uint8_t)code;
		snprintf(expected, sizeof(expected), "ICMP %s from fd00:1::101", names[code]);
		cr_expect_str_eq(dsr_result_format(&result, text, sizeof(text)), expected);
	}
}

Test(dsr_text, a_neighbour_of_ipv6_is_not_asked_by_arp)
{
	struct dsr_result result = result_of_v6(DSR_NAT, DSR_HOST_DOWN);
	result.evidence.n_sent = 0;
	EXPECT(result, "fd00:1::101 does not answer neighbour solicitations on eth1",
	       "The host is down", "ip neighbour show fd00:1::101 dev eth1", NULL);
}
