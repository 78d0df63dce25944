// SPDX-License-Identifier: Apache-2.0
// Who has which address here, and what the kernel does with packets and questions about them.
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "culvert/net/sockaddr.h"
#include "doctor/checks.h"

// Keys of net.ipv4.conf: Documentation/networking/ip-sysctl.rst.
enum { RP_FILTER_STRICT = 1, ARP_IGNORE_FOREIGN_NETS = 2, ARP_IGNORE_ALL = 8 };

// Where the world is: nobody's address (RFC 5737), looked up and never spoken to.
static const char anywhere[] = "192.0.2.1";

// ---- addresses ---------------------------------------------------------------------------------

// Binding says it for every kind of address, of 127.0.0.0/8 and ip_nonlocal_bind as well.
static bool can_speak_from(const struct ip_addr *addr)
{
	struct sockaddr_storage sockaddr;
	struct endpoint endpoint = {.addr = *addr, .proto = IPPROTO_UDP};
	socklen_t size = sockaddr_from_endpoint(&endpoint, &sockaddr);
	int fd = socket(sockaddr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_bound = fd >= 0 && bind(fd, (const struct sockaddr *)&sockaddr, size) == 0;
	if (fd >= 0)
		close(fd);
	return is_bound;
}

static bool find_route(const struct doctor *doctor, const struct ip_addr *addr,
		       struct next_hop *hop)
{
	struct err err = {0};
	return doctor->netwatch && netwatch_look_up(doctor->netwatch, addr, hop, &err) == 0 &&
	       hop->has_route;
}

// The interface that an address belongs on: where the kernel would look for it, or where the world
// is.
static void guess_link(const struct doctor *doctor, const struct ip_addr *addr, char *name)
{
	struct next_hop hop;
	struct link_info info;
	struct ip_addr world;
	snprintf(name, IF_NAMESIZE, "INTERFACE");
	if (!find_route(doctor, addr, &hop) ||
	    !netwatch_link(doctor->netwatch, hop.ifindex, &info) || info.is_loopback ||
	    hop.is_local) {
		if (!ip_addr_parse(anywhere, &world) || !find_route(doctor, &world, &hop))
			return;
	}
	if_indextoname(hop.ifindex, name);
}

static void fix_missing(struct doctor *doctor, const struct ip_addr *addr)
{
	char text[IP_ADDR_TEXT_MAX];
	char name[IF_NAMESIZE];
	guess_link(doctor, addr, name);
	doctor_fix(doctor, "ip address add %s/%s dev %s%s", ip_addr_format(addr, text),
		   ip_addr_is_v4(addr) ? "32" : "128", name,
		   ip_addr_is_v4(addr) || doctor->config->mode == MODE_PROXY ? ""
									     : " preferred_lft 0");
}

static void fix_moved(struct doctor *doctor, const struct ip_addr *addr, const char *from)
{
	char text[IP_ADDR_TEXT_MAX];
	char to[IF_NAMESIZE];
	const char *length = ip_addr_is_v4(addr) ? "32" : "128";
	ip_addr_format(addr, text);
	guess_link(doctor, addr, to);
	doctor_fix(doctor, "ip address del %s/%s dev %s; ip address add %s/%s dev %s", text, length,
		   from, text, length, to);
}

static void check_vip(struct doctor *doctor, const struct config_frontend *frontend)
{
	char subject[SUBJECT_MAX];
	unsigned ifindex;
	struct link_info info;
	const struct ip_addr *addr = &frontend->endpoint.addr;
	doctor_frontend_name(frontend, subject);
	bool is_here = netwatch_addr_link(doctor->netwatch, addr, &ifindex) &&
		       netwatch_link(doctor->netwatch, ifindex, &info);
	if (doctor->config->passthrough.n_interfaces) {
		doctor_say(doctor, STATUS_OK, subject, "%s",
			   is_here ? "this host has the address" : "to be routed here");
	} else if (!is_here) {
		doctor_say(doctor, STATUS_ERROR, subject,
			   "no interface of this host has the address, so no client finds it");
		fix_missing(doctor, addr);
	} else if (info.is_loopback) {
		doctor_say(doctor, STATUS_ERROR, subject,
			   "%s has the address, where packets of clients do not come in",
			   info.name);
		fix_moved(doctor, addr, info.name);
	} else {
		doctor_say(doctor, STATUS_OK, subject, "%s has the address", info.name);
	}
}

static void check_listen_addr(struct doctor *doctor, const struct config_frontend *frontend)
{
	char subject[SUBJECT_MAX];
	doctor_frontend_name(frontend, subject);
	if (can_speak_from(&frontend->endpoint.addr)) {
		doctor_say(doctor, STATUS_OK, subject, "this host has the address");
		return;
	}
	doctor_say(doctor, STATUS_ERROR, subject, "this host does not have the address");
	fix_missing(doctor, &frontend->endpoint.addr);
}

static void check_own_addrs(struct doctor *doctor, const char *key, const struct ip_addr *list,
			    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char text[IP_ADDR_TEXT_MAX];
		ip_addr_format(&list[i], text);
		if (can_speak_from(&list[i])) {
			doctor_say(doctor, STATUS_OK, text, "of %s; this host has it", key);
			continue;
		}
		doctor_say(doctor, STATUS_ERROR, text,
			   "of %s; this host does not have it, so nothing comes back", key);
		fix_missing(doctor, &list[i]);
	}
}

// A backend of DSR has the virtual address itself, or answers in its name.
static void check_source(struct doctor *doctor, const struct doctor_hop *hop)
{
	char subject[SUBJECT_MAX];
	char text[IP_ADDR_TEXT_MAX];
	char name[IF_NAMESIZE] = "INTERFACE";
	const struct ip_addr *source = &hop->hop.source;
	if (!hop->hop.has_route || hop->hop.is_local || !doctor_is_frontend_addr(doctor, source))
		return;
	ip_addr_format(source, text);
	if_indextoname(hop->hop.ifindex, name);
	doctor_say(doctor, STATUS_ERROR, doctor_backend_name(hop, subject),
		   "health checks would come from %s, a frontend's own address, and get no answer",
		   text);
	if (ip_addr_is_v4(source))
		doctor_fix(doctor,
			   "ip route change ... dev %s src ANOTHER-ADDRESS # see ip route get",
			   name);
	else
		doctor_fix(doctor, "ip address change %s/128 dev %s preferred_lft 0", text, name);
}

void check_addresses(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	bool is_proxy = config->mode == MODE_PROXY;
	if (!is_proxy && !doctor->netwatch)
		return;
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (is_proxy)
			check_listen_addr(doctor, &config->frontends[i]);
		else
			check_vip(doctor, &config->frontends[i]);
	}
	if (is_proxy)
		check_own_addrs(doctor, "source_addrs", config->proxy.source_addrs,
				config->proxy.n_source_addrs);
	if (config->mode == MODE_PASSTHROUGH)
		check_own_addrs(doctor, "snat_addrs", config->passthrough.snat_addrs,
				config->passthrough.n_snat_addrs);
	for (size_t i = 0; config->mode == MODE_DSR && i < doctor->n_hops; i++)
		check_source(doctor, &doctor->hops[i]);
}

// ---- ARP ---------------------------------------------------------------------------------------

// Whether an interface has the address for one host only, as "/32".
static bool is_host_addr(const struct ip_addr *addr)
{
	struct ifaddrs *list;
	bool is_host = false;
	if (getifaddrs(&list))
		return false;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct endpoint own = {0};
		struct endpoint mask = {0};
		if (!i->ifa_addr || !i->ifa_netmask || i->ifa_addr->sa_family != AF_INET)
			continue;
		endpoint_from_sockaddr(i->ifa_addr, &own);
		endpoint_from_sockaddr(i->ifa_netmask, &mask);
		if (ip_addr_equal(&own.addr, addr))
			is_host = ip_addr_v4_be(&mask.addr) == UINT32_MAX;
	}
	freeifaddrs(list);
	return is_host;
}

// The key that has the value, for the command: "all" or the interface.
static const char *who_says(const struct doctor *doctor, const char *link, const char *key,
			    long value)
{
	long all = 0;
	(void)doctor_sysctl(doctor, &all, "net/ipv4/conf/all/%s", key);
	return all == value ? "all" : link;
}

static bool check_arp_ignore(struct doctor *doctor, const struct config_frontend *frontend)
{
	char subject[SUBJECT_MAX];
	unsigned ifindex;
	struct link_info info;
	const struct ip_addr *addr = &frontend->endpoint.addr;
	if (!ip_addr_is_v4(addr) || !netwatch_addr_link(doctor->netwatch, addr, &ifindex) ||
	    !netwatch_link(doctor->netwatch, ifindex, &info) || info.is_loopback)
		return true;
	long ignore = doctor_conf(doctor, info.name, "arp_ignore");
	if (ignore != ARP_IGNORE_ALL && (ignore != ARP_IGNORE_FOREIGN_NETS || !is_host_addr(addr)))
		return true;
	doctor_say(doctor, STATUS_ERROR, doctor_frontend_name(frontend, subject),
		   "arp_ignore = %ld on %s: nobody who asks for the address is answered", ignore,
		   info.name);
	doctor_fix(doctor, "sysctl -w net.ipv4.conf.%s.arp_ignore=1",
		   who_says(doctor, info.name, "arp_ignore", ignore));
	return false;
}

// The kernel answers only where it would forward as well.
static bool check_proxy_arp(struct doctor *doctor, const struct link_info *info)
{
	long forwarding = 0;
	(void)doctor_sysctl(doctor, &forwarding, "net/ipv4/conf/%s/forwarding", info->name);
	long proxy_arp = doctor_conf(doctor, info->name, "proxy_arp");
	if (!proxy_arp || !forwarding)
		return true;
	doctor_say(doctor, STATUS_WARNING, info->name,
		   "proxy_arp is on, and forwarding: this host answers for hosts behind its other "
		   "interfaces, whose traffic then takes the way through it");
	doctor_fix(doctor, "sysctl -w net.ipv4.conf.%s.proxy_arp=0",
		   who_says(doctor, info->name, "proxy_arp", proxy_arp));
	return false;
}

void check_arp(struct doctor *doctor)
{
	bool is_fine = true;
	const struct config *config = doctor->config;
	if (!doctor->netwatch || !doctor_has_family(doctor, true))
		return;
	for (size_t i = 0; i < config->n_frontends; i++)
		is_fine &= check_arp_ignore(doctor, &config->frontends[i]);
	for (size_t i = 0; config->mode != MODE_PROXY && i < doctor->n_links; i++)
		is_fine &= check_proxy_arp(doctor, &doctor->links[i].info);
	if (is_fine)
		doctor_say(doctor, STATUS_OK, "", "who asks for a frontend's address is answered");
}

// ---- forwarding by the kernel ------------------------------------------------------------------

// What is for a frontend the kernel never sees: culvert's rules are at ingress. Other ports of an
// address that is routed here and is nobody's would go round between this host and its router.
static bool check_loop(struct doctor *doctor, const struct config_frontend *frontend)
{
	char subject[SUBJECT_MAX];
	char text[IP_ADDR_TEXT_MAX];
	const struct ip_addr *addr = &frontend->endpoint.addr;
	unsigned ifindex;
	struct next_hop hop;
	long forwards = 0;
	(void)doctor_sysctl(doctor, &forwards, "%s",
			    ip_addr_is_v4(addr) ? "net/ipv4/ip_forward"
						: "net/ipv6/conf/all/forwarding");
	if (!forwards || doctor->config->passthrough.n_interfaces == 0 ||
	    netwatch_addr_link(doctor->netwatch, addr, &ifindex) ||
	    !find_route(doctor, addr, &hop) || hop.is_local)
		return true;
	doctor_say(doctor, STATUS_WARNING, doctor_frontend_name(frontend, subject),
		   "the kernel forwards as well, and would send packets for other ports of this "
		   "address back to where they came from");
	doctor_fix(doctor, "ip route add blackhole %s", ip_addr_format(addr, text));
	return false;
}

void check_forwarding(struct doctor *doctor)
{
	bool is_fine = true;
	long forwards = 0;
	if (!doctor->netwatch)
		return;
	for (size_t i = 0; i < doctor->config->n_frontends; i++)
		is_fine &= check_loop(doctor, &doctor->config->frontends[i]);
	(void)doctor_sysctl(doctor, &forwards, "net/ipv4/ip_forward");
	if (is_fine)
		doctor_say(doctor, STATUS_OK, "", "ip_forward is %s; culvert does without",
			   forwards ? "on, and harmless here" : "off");
}

// ---- reverse path filter -----------------------------------------------------------------------

static bool is_strict(const struct doctor *doctor, const char *link)
{
	return doctor_conf(doctor, link, "rp_filter") == RP_FILTER_STRICT;
}

static void fix_rp_filter(struct doctor *doctor, const char *link)
{
	doctor_fix(doctor, "sysctl -w net.ipv4.conf.%s.rp_filter=2", link);
}

// Answers come to the address that the checks came from; that of another interface draws them
// there.
static bool check_answers(struct doctor *doctor, const struct doctor_hop *hop)
{
	char subject[SUBJECT_MAX];
	char text[IP_ADDR_TEXT_MAX];
	char out[IF_NAMESIZE] = "?";
	unsigned ifindex;
	struct link_info info;
	const struct ip_addr *source = &hop->hop.source;
	if (!hop->hop.has_route || hop->hop.is_local || !ip_addr_is_v4(source) ||
	    !netwatch_addr_link(doctor->netwatch, source, &ifindex) ||
	    ifindex == hop->hop.ifindex || !netwatch_link(doctor->netwatch, ifindex, &info) ||
	    info.is_loopback || !is_strict(doctor, info.name))
		return true;
	if_indextoname(hop->hop.ifindex, out);
	doctor_say(
		doctor, STATUS_WARNING, doctor_backend_name(hop, subject),
		"connections to it leave by %s from %s, an address of %s; an answer that comes in "
		"there is dropped (rp_filter is strict)",
		out, ip_addr_format(source, text), info.name);
	fix_rp_filter(doctor, info.name);
	return false;
}

// In the packet modes culvert sees clients' packets before the filter does.
static bool check_clients(struct doctor *doctor, const struct link_info *info)
{
	struct ip_addr addr;
	struct next_hop hop;
	char out[IF_NAMESIZE] = "?";
	if (!ip_addr_parse(anywhere, &addr) || !is_strict(doctor, info->name) ||
	    !find_route(doctor, &addr, &hop) || hop.ifindex == info->ifindex)
		return true;
	if_indextoname(hop.ifindex, out);
	doctor_say(
		doctor, STATUS_WARNING, info->name,
		"clients come in here, and rp_filter is strict: those to whom the route leaves by "
		"%s, as the default route does, are dropped",
		out);
	fix_rp_filter(doctor, info->name);
	return false;
}

void check_rp_filter(struct doctor *doctor)
{
	bool is_fine = true;
	if (!doctor->netwatch)
		return;
	for (size_t i = 0; i < doctor->n_hops; i++)
		is_fine &= check_answers(doctor, &doctor->hops[i]);
	for (size_t i = 0; doctor->config->mode == MODE_PROXY && i < doctor->n_links; i++) {
		if (doctor->links[i].is_front)
			is_fine &= check_clients(doctor, &doctor->links[i].info);
	}
	if (is_fine)
		doctor_say(doctor, STATUS_OK, "", "it drops nothing that culvert needs");
}
