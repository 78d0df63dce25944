// SPDX-License-Identifier: Apache-2.0
// Why a backend is not ready, and the commands that mend it. Commands find out names of interfaces
// themselves: those of another host are not known here.
#include "culvert/control/dsr_check.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { ICMP_PROTOCOL = 2 }; // unreachable (RFC 792)

// The addresses of an explanation, as text.
struct names {
	char source[IP_ADDR_TEXT_MAX]; // the test source
	char vip[ENDPOINT_TEXT_MAX];
	char vip_addr[IP_ADDR_TEXT_MAX];
	char backend[ENDPOINT_TEXT_MAX];
	char backend_addr[IP_ADDR_TEXT_MAX];
	char gateway[IP_ADDR_TEXT_MAX];
	char balancer[IP_ADDR_TEXT_MAX]; // where health checks come from
	char reply[ENDPOINT_TEXT_MAX];
	char reply_addr[IP_ADDR_TEXT_MAX];
};

static void name_all(const struct dsr_evidence *e, struct names *names)
{
	ip_addr_format(&e->source, names->source);
	endpoint_format(&e->vip, names->vip);
	ip_addr_format(&e->vip.addr, names->vip_addr);
	endpoint_format(&e->backend, names->backend);
	ip_addr_format(&e->backend.addr, names->backend_addr);
	ip_addr_format(&e->hop.gateway, names->gateway);
	ip_addr_format(&e->hop.source, names->balancer);
	endpoint_format(&e->reply.from, names->reply);
	ip_addr_format(&e->reply.from.addr, names->reply_addr);
}

__attribute__((format(printf, 2, 3))) static void say(struct dsr_advice *advice, const char *format,
						      ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(advice->cause, sizeof(advice->cause), format, args);
	va_end(args);
}

__attribute__((format(printf, 2, 3))) static void run(struct dsr_advice *advice, const char *format,
						      ...)
{
	va_list args;
	assert(advice->n_commands < DSR_COMMANDS_MAX);
	va_start(args, format);
	vsnprintf(advice->commands[advice->n_commands++], DSR_COMMAND_MAX, format, args);
	va_end(args);
}

// ---- commands ----------------------------------------------------------------------------------

// A shell's way to the name of the interface that has an address.
#define DEV_OF_ADDR "$(ip -o address show to %s | awk '{ print $2 }')"

// On the interface by which replies to clients leave. It takes the place of what was set up before.
// In quotes, because to a shell the brackets of an IPv6 address are a pattern for file names.
static void run_egress(struct dsr_advice *advice, const struct names *names)
{
	run(advice,
	    "tc/dsr-egress.sh up --dev \"$(ip -o route get %s | sed 's/.* dev \\([^ "
	    "]*\\).*/\\1/')\" "
	    "--backend '%s' --vip '%s' --balancer %s",
	    names->source, names->backend, names->vip, names->balancer);
}

// The frontend's address on the backend, for the methods that leave it in the packet.
static void run_backend(struct dsr_advice *advice, enum dsr_method method,
			const struct names *names)
{
	if (method == DSR_L2)
		run(advice, "tc/dsr-backend.sh up --method l2 --vip %s --dev \"" DEV_OF_ADDR "\"",
		    names->vip_addr, names->backend_addr);
	else
		run(advice,
		    "tc/dsr-backend.sh up --method ipip --vip %s --dev \"" DEV_OF_ADDR
		    "\" --balancer %s",
		    names->vip_addr, names->backend_addr, names->balancer);
}

// Where clients' packets come in. Loose (2) wins over a strict `all`: the larger one counts.
// Slashes in the key, because the name of an interface may have dots.
static void run_rp_filter(struct dsr_advice *advice, const struct names *names)
{
	run(advice, "sysctl -w \"net/ipv4/conf/" DEV_OF_ADDR "/rp_filter=2\"", names->backend_addr);
}

// ---- one function for each cause ---------------------------------------------------------------

static void explain_no_route(const struct dsr_evidence *e, const struct names *names,
			     struct dsr_advice *advice)
{
	if (e->hop.is_local) {
		say(advice, "In mode dsr a backend is another host; take it out of the pool, or "
			    "write its own address.");
		return;
	}
	say(advice, "This host has no route to it, as this shows:");
	run(advice, "ip route get %s", names->backend_addr);
}

static void explain_host_down(const struct dsr_evidence *e, const struct names *names,
			      struct dsr_advice *advice)
{
	if (e->n_sent > 0) {
		say(advice, "The host is down, or a firewall drops whatever is sent to %s.",
		    names->backend);
		run(advice, "ping -c 3 %s", names->backend_addr);
		return;
	}
	say(advice, "%s is down, not connected to %s, or has another address.",
	    ip_addr_equal(&e->hop.gateway, &e->backend.addr) ? "The host" : "The router towards it",
	    e->link);
	run(advice, "ip neighbour show %s dev %s", names->gateway, e->link);
}

// There is no rp_filter for IPv6.
static void explain_no_reply_v6(const struct dsr_evidence *e, const struct names *names,
				struct dsr_advice *advice)
{
	static const char others[] = "a firewall there, or no route back to";
	if (e->method == DSR_NAT) {
		say(advice, "The host is there and ignores clients: there is %s %s. On %s:", others,
		    names->source, names->backend_addr);
	} else {
		say(advice,
		    "The host is there and takes no packets for %s: it does not have that address, "
		    "or there is %s %s. On %s:",
		    names->vip_addr, others, names->source, names->backend_addr);
		run_backend(advice, e->method, names);
	}
	run(advice, "ip route get %s", names->source);
}

static void explain_no_reply(const struct dsr_evidence *e, const struct names *names,
			     struct dsr_advice *advice)
{
	static const char others[] = "a firewall there, or no route back to";
	if (!ip_addr_is_v4(&e->vip.addr)) {
		explain_no_reply_v6(e, names, advice);
		return;
	}
	if (e->method == DSR_NAT) {
		say(advice,
		    "The host is there and ignores clients: rp_filter is strict where their "
		    "packets come in by another interface than leads back to them, or there is %s "
		    "%s. On %s:",
		    others, names->source, names->backend_addr);
		run_rp_filter(advice, names);
	} else if (e->method == DSR_L2) {
		say(advice,
		    "The host is there and takes no packets for %s: it does not have that address, "
		    "or rp_filter is strict where clients' packets come in, or there is %s %s. On "
		    "%s:",
		    names->vip_addr, others, names->source, names->backend_addr);
		run_backend(advice, e->method, names);
		run_rp_filter(advice, names);
	} else {
		// The kernel's loose rp_filter takes nothing from a link without an address.
		say(advice,
		    "The host is there and takes no tunneled packets for %s: it does not have that "
		    "address, or rp_filter of the tunnel drops them (0 does not; 2 does when the "
		    "tunnel has no address), or there is %s %s. On %s:",
		    names->vip_addr, others, names->source, names->backend_addr);
		run_backend(advice, e->method, names);
	}
	run(advice, "ip route get %s", names->source);
}

static void explain_unreachable(const struct dsr_evidence *e, const struct names *names,
				struct dsr_advice *advice)
{
	if (e->method == DSR_IPIP && e->reply.icmp_code == ICMP_PROTOCOL) {
		say(advice, "It has no tunnel that takes IPIP. On %s:", names->backend_addr);
		run_backend(advice, e->method, names);
	} else if (ip_addr_equal(&e->reply.from.addr, &e->backend.addr)) {
		say(advice, "A firewall there rejects clients of %s. On %s:", names->vip,
		    names->backend_addr);
		run(advice, "nft list ruleset; iptables-save");
	} else {
		say(advice, "The router %s does not let it through to %s.", names->reply_addr,
		    names->backend_addr);
		run(advice, "ping -c 3 %s", names->backend_addr);
	}
}

static void explain_refused(const struct dsr_evidence *e, const struct names *names,
			    struct dsr_advice *advice)
{
	const char *wanted = e->method == DSR_NAT ? names->backend : names->vip;
	const char *more = "";
	if (e->method == DSR_NAT && ip_addr_equal(&e->reply.from.addr, &e->backend.addr))
		more = " Its egress NAT is missing as well: a client would ignore this reset.";
	if (e->connect != DSR_CONNECT_PASSED)
		say(advice, "Nothing listens on %s there.%s On %s:", wanted, more,
		    names->backend_addr);
	else if (e->method == DSR_NAT)
		say(advice,
		    "Something listens on %s there, but a firewall resets clients.%s On %s:",
		    wanted, more, names->backend_addr);
	else
		say(advice,
		    "The service listens on %s and not on %s; let it listen on %s:%u. On %s:",
		    names->backend, names->vip, ip_addr_is_v4(&e->vip.addr) ? "0.0.0.0" : "[::]",
		    ntohs(e->vip.port_be), names->backend_addr);
	run(advice, "ss -Hltn 'sport = :%u'",
	    ntohs(e->method == DSR_NAT ? e->backend.port_be : e->vip.port_be));
	if (more[0])
		run_egress(advice, names);
}

static void explain_no_nat(const struct names *names, struct dsr_advice *advice)
{
	say(advice,
	    "Its egress NAT is missing: a client who has asked %s drops what another address "
	    "answers. On %s:",
	    names->vip, names->backend_addr);
	run_egress(advice, names);
}

static void explain_wrong_nat(const struct dsr_evidence *e, const struct names *names,
			      struct dsr_advice *advice)
{
	if (e->method != DSR_NAT) {
		say(advice,
		    "Something behind the service changes its replies; a client takes them from %s "
		    "only. On %s:",
		    names->vip, names->backend_addr);
		run(advice, "nft list ruleset; iptables-save");
		return;
	}
	if (ip_addr_equal(&e->reply.from.addr, &e->vip.addr))
		say(advice, "Its egress NAT has the wrong port, %u instead of %u. On %s:",
		    ntohs(e->reply.from.port_be), ntohs(e->vip.port_be), names->backend_addr);
	else
		say(advice,
		    "Its egress NAT has the wrong address, %s instead of %s. On %s:", names->reply,
		    names->vip, names->backend_addr);
	run_egress(advice, names);
}

static void explain_corrupt(const struct dsr_evidence *e, const struct names *names,
			    struct dsr_advice *advice)
{
	say(advice,
	    "Clients drop it. What changes the addresses of replies there leaves the checksum as "
	    "it was (with tc it needs `action csum`). On %s:",
	    names->backend_addr);
	if (e->method == DSR_NAT)
		run_egress(advice, names);
}

static void explain_unhealthy(const struct dsr_evidence *e, const struct names *names,
			      struct dsr_advice *advice)
{
	if (e->connect == DSR_CONNECT_REFUSED) {
		say(advice,
		    "Clients are answered, but health checks connect to %s, where nothing listens: "
		    "let the service listen there as well, or set health_check = \"none\".",
		    names->backend);
		return;
	}
	say(advice,
	    "Clients are answered, but health checks are not: the egress NAT there must leave "
	    "replies to %s alone. On %s:",
	    names->balancer, names->backend_addr);
	if (e->method == DSR_NAT)
		run_egress(advice, names);
}

void dsr_result_explain(const struct dsr_result *result, struct dsr_advice *advice)
{
	const struct dsr_evidence *e = &result->evidence;
	struct names names;
	name_all(e, &names);
	*advice = (struct dsr_advice){0};
	switch (result->verdict) {
	case DSR_READY:
	case DSR_NOT_CHECKED:
	case DSR_UNKNOWN:
		break;
	case DSR_NO_ROUTE:
		explain_no_route(e, &names, advice);
		break;
	case DSR_LINK_DOWN:
		say(advice, "This host's own interface is switched off, or not connected:");
		run(advice, "ip link show %s", e->link);
		break;
	case DSR_NOT_ON_LINK:
		say(advice,
		    "Method l2 reaches only backends of a network that this host is in; "
		    "choose method nat%s.",
		    ip_addr_is_v4(&e->vip.addr) ? " or ipip" : "");
		break;
	case DSR_HOST_DOWN:
		explain_host_down(e, &names, advice);
		break;
	case DSR_NO_REPLY:
		explain_no_reply(e, &names, advice);
		break;
	case DSR_UNREACHABLE:
		explain_unreachable(e, &names, advice);
		break;
	case DSR_REFUSED:
		explain_refused(e, &names, advice);
		break;
	case DSR_NO_NAT:
		explain_no_nat(&names, advice);
		break;
	case DSR_WRONG_PORT:
	case DSR_WRONG_ADDR:
		explain_wrong_nat(e, &names, advice);
		break;
	case DSR_CORRUPT:
		explain_corrupt(e, &names, advice);
		break;
	case DSR_UNHEALTHY:
		explain_unhealthy(e, &names, advice);
		break;
	}
}
