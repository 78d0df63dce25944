// SPDX-License-Identifier: Apache-2.0
#include "topology.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "culvert/base/log.h"

// One that drains counts too.
static const struct config_frontend *frontend_at(const struct registry *registry,
						 const struct ip_addr *addr)
{
	for (uint32_t i = 0; i < registry_n_frontends(registry); i++) {
		const struct snapshot_frontend *frontend = registry_frontend(registry, i);
		if (frontend->config && ip_addr_equal(&frontend->endpoint.addr, addr))
			return frontend->config;
	}
	return NULL;
}

// Errors about packets come from an address that is neither a VIP, where the way ends for clients,
// nor of the link alone, which routers behind it would not pass on, nor one that passes. The first
// one of each family.
static struct snapshot_link link_of(const struct topology *topology, const struct link_info *info)
{
	struct snapshot_link link = {
		.ifindex = info->ifindex,
		.mac = info->mac,
		.mtu = info->mtu,
	};
	struct link_addr found;
	for (size_t i = 0; netwatch_link_addr(topology->netwatch, info->ifindex, i, &found); i++) {
		const struct ip_addr *addr = &found.addr;
		struct ip_addr *own = ip_addr_is_v4(addr) ? &link.own_v4 : &link.own_v6;
		if (found.is_lasting && ip_addr_is_unspecified(own) &&
		    !ip_addr_is_link_local(addr) && !frontend_at(topology->registry, addr))
			*own = *addr;
	}
	return link;
}

static int add_link(struct topology *topology, const struct link_info *info, struct err *err)
{
	struct snapshot_link link = link_of(topology, info);
	if (!info->is_ethernet && !info->is_loopback)
		return err_set(err, -EINVAL,
			       "%s carries no Ethernet frames; %s mode needs an interface that "
			       "does, such as a network card, a bond, a bridge or veth",
			       info->name, mode_name(topology->config->mode));
	if (info->is_loopback)
		return err_set(
			err, -EINVAL,
			"%s is a loopback interface: packets of clients do not come in there; "
			"name the interface where they do under [passthrough] interfaces",
			info->name);
	int index = registry_add_link(topology->registry, &link, err);
	if (index < 0)
		return index;
	topology->ifindexes[index] = info->ifindex;
	snprintf(topology->names[index], IFNAMSIZ, "%s", info->name);
	if ((uint32_t)index == topology->n_links)
		topology->n_links++;
	return 0;
}

static int add_named_links(struct topology *topology, struct err *err)
{
	const struct config_passthrough *passthrough = &topology->config->passthrough;
	for (size_t i = 0; i < passthrough->n_interfaces; i++) {
		struct link_info info;
		const char *name = passthrough->interfaces[i];
		if (!netwatch_link_by_name(topology->netwatch, name, &info))
			return err_set(
				err, -ENODEV,
				"[passthrough] interfaces: there is no interface \"%s\"; see "
				"`ip link`",
				name);
		int code = add_link(topology, &info, err);
		if (code)
			return code;
	}
	return 0;
}

static int add_link_of_address(struct topology *topology, const struct ip_addr *addr,
			       const char *what, const char *name, struct err *err)
{
	char text[IP_ADDR_TEXT_MAX];
	unsigned ifindex;
	struct link_info info;
	if (!netwatch_addr_link(topology->netwatch, addr, &ifindex) ||
	    !netwatch_link(topology->netwatch, ifindex, &info))
		return err_set(
			err, -EADDRNOTAVAIL,
			"%s %s: no interface of this host has the address %s; add it (ip "
			"address add %s/%s dev INTERFACE), or name the interface it is routed "
			"to under [passthrough] interfaces",
			what, name, ip_addr_format(addr, text), text,
			ip_addr_is_v4(addr) ? "32" : "128 preferred_lft 0");
	return add_link(topology, &info, err);
}

// A VIP need not be an address of this host when interfaces are named: it may be routed here.
static int add_frontend_links(struct topology *topology, struct err *err)
{
	const struct config *config = topology->config;
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		if (config->passthrough.n_interfaces)
			break;
		int code = add_link_of_address(topology, &frontend->endpoint.addr, "frontend",
					       frontend->name, err);
		if (code)
			return code;
	}
	return 0;
}

// Replies come to these addresses: the neighbours must find them here.
static int check_snat_addrs(struct topology *topology, struct err *err)
{
	const struct config_passthrough *passthrough = &topology->config->passthrough;
	if (topology->config->mode == MODE_DSR)
		return 0;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		char text[IP_ADDR_TEXT_MAX];
		unsigned ifindex;
		const struct ip_addr *addr = &passthrough->snat_addrs[i];
		if (netwatch_addr_link(topology->netwatch, addr, &ifindex))
			continue;
		return err_set(
			err, -EADDRNOTAVAIL,
			"[passthrough] snat_addrs: no interface of this host has the address "
			"%s, so replies would not come back; add it (ip address add %s/%d dev "
			"INTERFACE)",
			ip_addr_format(addr, text), text, ip_addr_is_v4(addr) ? 32 : 128);
	}
	return 0;
}

// With l2 and ipip a backend holds the VIP itself, and what comes from there it takes for its own;
// with l2 it must hear the frames that are addressed to it. 0, or the reason in `err`.
static int check_dsr_path(const struct topology *topology, const struct ip_addr *addr,
			  const struct next_hop *next, struct err *err)
{
	const struct config *config = topology->config;
	char text[IP_ADDR_TEXT_MAX];
	if (config->mode != MODE_DSR || config->dsr.method == DSR_NAT)
		return 0;
	const struct config_frontend *frontend = frontend_at(topology->registry, &next->source);
	if (frontend)
		return err_set(err, -EADDRINUSE,
			       "this host would speak to it from %s, the address of frontend "
			       "\"%s\", which the backend has as well, so health checks would "
			       "get no answer; give the route another source (ip route change ... "
			       "src ADDRESS)",
			       ip_addr_format(&next->source, text), frontend->name);
	if (config->dsr.method == DSR_L2 && !ip_addr_equal(&next->gateway, addr))
		return err_set(err, -EHOSTUNREACH,
			       "it is behind the router %s, and method \"l2\" reaches backends on "
			       "a network of this host only; choose method %s\"nat\"",
			       ip_addr_format(&next->gateway, text),
			       ip_addr_is_v4(addr) ? "\"ipip\" or " : "");
	return 0;
}

static int add_backend_link(struct topology *topology, const struct endpoint *endpoint,
			    struct err *err)
{
	char text[ENDPOINT_TEXT_MAX];
	struct next_hop hop;
	struct link_info info;
	int code = netwatch_track(topology->netwatch, &endpoint->addr, err);
	if (code)
		return code;
	// Without a route now there may be one later; until then its packets are dropped by name.
	if (!netwatch_next_hop(topology->netwatch, &endpoint->addr, &hop) || !hop.has_route)
		return 0;
	if (hop.is_local)
		return err_set(
			err, -EINVAL,
			"backend %s is an address of this host; in %s mode a backend must be "
			"another host",
			endpoint_format(endpoint, text), mode_name(topology->config->mode));
	struct err reason = {0};
	code = check_dsr_path(topology, &endpoint->addr, &hop, &reason);
	if (code)
		return err_set(err, code, "backend %s: %s", endpoint_format(endpoint, text),
			       reason.message);
	if (!netwatch_link(topology->netwatch, hop.ifindex, &info))
		return 0;
	return add_link(topology, &info, err);
}

static int find_link(const struct topology *topology, unsigned ifindex)
{
	for (uint32_t i = 0; i < topology->n_links; i++) {
		if (topology->ifindexes[i] == ifindex)
			return (int)i;
	}
	return -1;
}

// The configured source addresses of one family, which are the registry's first.
static uint64_t configured_snats(const struct config_passthrough *passthrough, bool is_v4)
{
	uint64_t mask = 0;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		if (ip_addr_is_v4(&passthrough->snat_addrs[i]) == is_v4)
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

// Which source addresses to use towards a backend: the configured ones, or the route's; the
// client's own in DSR mode. 0 with the reason in `err` when it cannot be used.
static uint64_t snat_mask(struct topology *topology, const struct next_hop *hop, struct err *err)
{
	const struct config *config = topology->config;
	if (config->mode == MODE_DSR)
		return 1;
	uint64_t configured = configured_snats(&config->passthrough, ip_addr_is_v4(&hop->source));
	if (configured)
		return configured;
	int index = registry_add_snat(topology->registry, &hop->source, err);
	return index < 0 ? 0 : UINT64_C(1) << index;
}

// A route over a link that is not captured on is as good as none. Why a backend cannot be reached
// goes into `err`.
static void look_up_hop(struct topology *topology, const struct ip_addr *addr,
			struct snapshot_hop *hop, uint64_t *mask, struct err *err)
{
	struct next_hop next;
	*hop = (struct snapshot_hop){.state = HOP_NO_ROUTE};
	*mask = 0;
	err_set(err, -EHOSTUNREACH, "there is no route to it (ip route get)");
	if (!netwatch_next_hop(topology->netwatch, addr, &next) || !next.has_route || next.is_local)
		return;
	int link = find_link(topology, next.ifindex);
	if (link < 0) {
		char name[IF_NAMESIZE] = "?";
		if_indextoname(next.ifindex, name);
		err_set(err, -ENODEV,
			"its route leaves by %s, where culvert does not capture; name that "
			"interface under [passthrough] interfaces and start culvert again",
			name);
		return;
	}
	if (check_dsr_path(topology, addr, &next, err))
		return;
	*mask = snat_mask(topology, &next, err);
	if (*mask == 0) {
		topology->lacks_source = true;
		return;
	}
	err_set(err, -EHOSTUNREACH, "its neighbour entry is not resolved yet");
	hop->state = next.is_resolved ? HOP_READY : HOP_UNRESOLVED;
	hop->link = (uint16_t)link;
	hop->source = next.source;
	hop->mac = next.is_resolved ? next.mac : (struct mac_addr){{0}};
}

static bool is_same_hop(const struct snapshot_hop *a, const struct snapshot_hop *b)
{
	return a->state == b->state && a->link == b->link &&
	       memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0 &&
	       ip_addr_equal(&a->source, &b->source);
}

// Of backend `i`, whose hop is going to be another one.
static void log_hop(const struct topology *topology, uint32_t i, const struct snapshot_hop *hop,
		    const struct err *err)
{
	const struct snapshot_backend *backend = registry_backend(topology->registry, i);
	char text[CONFIG_BACKEND_LABEL_MAX];
	config_backend_label(backend->pool_config, backend->config, text);
	if (hop->state == HOP_READY && backend->hop.state != HOP_READY)
		log_info("network", "backend %s can be reached by %s", text,
			 topology->names[hop->link]);
	else if (hop->state != HOP_READY)
		log_event(hop->state == HOP_NO_ROUTE ? LOG_WARN : LOG_DEBUG, "network", NULL,
			  "backend %s cannot be reached: %s", text, err->message);
}

static bool refresh_backends(struct topology *topology)
{
	bool has_changed = false;
	topology->lacks_source = false;
	for (uint32_t i = 0; i < registry_n_backends(topology->registry); i++) {
		const struct snapshot_backend *backend = registry_backend(topology->registry, i);
		struct snapshot_hop hop;
		uint64_t mask;
		struct err err = {0};
		if (!backend->config)
			continue;
		look_up_hop(topology, &backend->endpoint.addr, &hop, &mask, &err);
		if (is_same_hop(&hop, &backend->hop) && mask == backend->snat_mask)
			continue;
		log_hop(topology, i, &hop, &err);
		registry_set_hop(topology->registry, i, &hop, mask);
		has_changed = true;
	}
	return has_changed;
}

static bool refresh_links(struct topology *topology)
{
	bool has_changed = false;
	for (uint32_t i = 0; i < topology->n_links; i++) {
		struct link_info info;
		if (!netwatch_link(topology->netwatch, topology->ifindexes[i], &info)) {
			topology->lost_link = topology->names[i];
			continue;
		}
		struct snapshot_link link = link_of(topology, &info);
		has_changed |= registry_update_link(topology->registry, i, &link);
	}
	return has_changed;
}

bool topology_refresh(struct topology *topology)
{
	bool have_links_changed = refresh_links(topology);
	return refresh_backends(topology) || have_links_changed;
}

int topology_find(struct topology *topology, struct err *err)
{
	int code = add_named_links(topology, err);
	if (!code)
		code = add_frontend_links(topology, err);
	if (!code)
		code = check_snat_addrs(topology, err);
	for (uint32_t i = 0; !code && i < registry_n_backends(topology->registry); i++)
		code = add_backend_link(topology,
					&registry_backend(topology->registry, i)->endpoint, err);
	if (!code)
		topology_refresh(topology);
	return code;
}

// ---- another configuration ---------------------------------------------------------------------

static int at(struct err *err, int code, unsigned line, unsigned column)
{
	err->line = line;
	err->column = column;
	return code;
}

static int refuse_link(const struct topology *topology, unsigned ifindex, const char *what,
		       struct err *err)
{
	char name[IF_NAMESIZE] = "?";
	if (find_link(topology, ifindex) >= 0)
		return 0;
	if_indextoname(ifindex, name);
	return err_set(err, -EBUSY,
		       "%s is on interface %s, where culvert does not capture yet; name all "
		       "interfaces under [passthrough] interfaces, and start culvert again",
		       what, name);
}

// As at the start, but that no link can be added.
static int check_frontend(const struct topology *topology, const struct config_frontend *frontend,
			  struct err *err)
{
	char addr[IP_ADDR_TEXT_MAX];
	char what[IP_ADDR_TEXT_MAX + 32];
	unsigned ifindex;
	ip_addr_format(&frontend->endpoint.addr, addr);
	if (topology->config->passthrough.n_interfaces)
		return 0;
	if (!netwatch_addr_link(topology->netwatch, &frontend->endpoint.addr, &ifindex))
		return err_set(err, -EADDRNOTAVAIL,
			       "frontend %s: no interface of this host has the address %s; add it "
			       "first (ip address add %s/%s dev INTERFACE)",
			       frontend->name, addr, addr,
			       ip_addr_is_v4(&frontend->endpoint.addr) ? "32"
								       : "128 preferred_lft 0");
	snprintf(what, sizeof(what), "the address %s", addr);
	return refuse_link(topology, ifindex, what, err);
}

static int check_backend(const struct topology *topology, const struct config_backend *backend,
			 struct err *err)
{
	char text[ENDPOINT_TEXT_MAX];
	char what[ENDPOINT_TEXT_MAX + 32];
	struct next_hop hop;
	struct err reason = {0};
	const struct ip_addr *addr = &backend->endpoint.addr;
	int code = netwatch_look_up(topology->netwatch, addr, &hop, err);
	if (code || !hop.has_route)
		return code;
	endpoint_format(&backend->endpoint, text);
	if (hop.is_local)
		return err_set(err, -EINVAL,
			       "backend %s is an address of this host; in %s mode a backend must "
			       "be another host",
			       text, mode_name(topology->config->mode));
	code = check_dsr_path(topology, addr, &hop, &reason);
	if (code)
		return err_set(err, code, "backend %s: %s", text, reason.message);
	snprintf(what, sizeof(what), "the way to backend %s", text);
	return refuse_link(topology, hop.ifindex, what, err);
}

int topology_check(const struct topology *topology, const struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		int code = check_frontend(topology, frontend, err);
		if (code)
			return at(err, code, frontend->line, frontend->column);
	}
	for (size_t i = 0; i < config->n_pools; i++) {
		for (size_t k = 0; k < config->pools[i].n_backends; k++) {
			const struct config_backend *backend = &config->pools[i].backends[k];
			struct next_hop known;
			// Whoever is tracked has been looked at.
			if (netwatch_next_hop(topology->netwatch, &backend->endpoint.addr, &known))
				continue;
			int code = check_backend(topology, backend, err);
			if (code)
				return at(err, code, backend->line, backend->column);
		}
	}
	return 0;
}

int topology_follow(struct topology *topology, struct err *err)
{
	int code = 0;
	for (uint32_t i = 0; i < registry_n_backends(topology->registry); i++) {
		const struct snapshot_backend *backend = registry_backend(topology->registry, i);
		int other = backend->config
				    ? netwatch_track(topology->netwatch, &backend->endpoint.addr,
						     code ? NULL : err)
				    : 0;
		code = code ? code : other; // the others are tracked all the same
	}
	topology_refresh(topology);
	return code;
}

void topology_forget(struct topology *topology, uint32_t backend)
{
	const struct snapshot_backend *gone = registry_backend(topology->registry, backend);
	for (uint32_t i = 0; i < registry_n_backends(topology->registry); i++) {
		const struct snapshot_backend *other = registry_backend(topology->registry, i);
		if (i != backend && other->config &&
		    ip_addr_equal(&other->endpoint.addr, &gone->endpoint.addr))
			return;
	}
	netwatch_untrack(topology->netwatch, &gone->endpoint.addr);
}
