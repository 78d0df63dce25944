// SPDX-License-Identifier: Apache-2.0
#include "control/dsr_check_source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

enum { FIRST_MULTICAST = 224 }; // first byte of an IPv4 address that is no host's, and all above

// The network where clients' packets come in is the best place for it.
static int fail_without(const struct dsr_check_params *params, struct err *err)
{
	struct link_info link;
	unsigned ifindex;
	const struct config *config = params->config;
	char where[IFNAMSIZ + sizeof("on ")] = "clients are in";
	if (config->n_frontends &&
	    netwatch_addr_link(params->netwatch, &config->frontends[0].endpoint.addr, &ifindex) &&
	    netwatch_link(params->netwatch, ifindex, &link))
		snprintf(where, sizeof(where), "on %s", link.name);
	return err_set(err, -EINVAL,
		       "the readiness check needs an address to test from: give an address that no "
		       "host has, of the network %s, as --check-source=ADDR or as check_source in "
		       "the section dsr",
		       where);
}

static bool is_host_addr(const struct ip_addr *addr)
{
	return ip_addr_is_v4(addr) && addr->bytes[12] != 0 && addr->bytes[12] != 127 &&
	       addr->bytes[12] < FIRST_MULTICAST;
}

static int check_frontends(const struct config *config, const char *text, struct err *err)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (ip_addr_equal(&config->frontends[i].endpoint.addr, &config->dsr.check_source))
			return err_set(
				err, -EINVAL,
				"check source %s is the address of frontend \"%s\"; give one "
				"that no host has",
				text, config->frontends[i].name);
	}
	return 0;
}

static int check_backend(const struct dsr_check_params *params,
			 const struct config_backend *backend, const char *text, struct err *err)
{
	struct next_hop hop;
	const struct ip_addr *source = &params->config->dsr.check_source;
	if (ip_addr_equal(&backend->endpoint.addr, source))
		return err_set(err, -EINVAL,
			       "check source %s is the address of backend \"%s\"; give one that no "
			       "host has",
			       text, backend->name);
	int code = netwatch_track(params->netwatch, &backend->endpoint.addr, err);
	if (code)
		return code;
	if (!netwatch_next_hop(params->netwatch, &backend->endpoint.addr, &hop) || !hop.has_route ||
	    !ip_addr_equal(&hop.source, source))
		return 0;
	return err_set(err, -EINVAL,
		       "check source %s is where health checks of backend \"%s\" come from, whose "
		       "replies a backend does not translate; give an address that no host has",
		       text, backend->name);
}

static int check_backends(const struct dsr_check_params *params, const char *text, struct err *err)
{
	for (size_t i = 0; i < params->config->n_pools; i++) {
		const struct config_pool *pool = &params->config->pools[i];
		for (size_t k = 0; k < pool->n_backends; k++) {
			int code = check_backend(params, &pool->backends[k], text, err);
			if (code)
				return code;
		}
	}
	return 0;
}

// ARP is answered on a link, for an address that its neighbours look for there.
static int check_link(const struct dsr_check_params *params, const struct next_hop *hop,
		      const char *text, struct err *err)
{
	char gateway[IP_ADDR_TEXT_MAX];
	struct link_info link;
	const struct ip_addr *source = &params->config->dsr.check_source;
	if (!hop->has_route || !netwatch_link(params->netwatch, hop->ifindex, &link))
		return err_set(
			err, -ENETUNREACH,
			"check source %s: no interface of this host is in a network with such "
			"an address; `ip address` shows the networks there are",
			text);
	if (!ip_addr_equal(&hop->gateway, source))
		return err_set(
			err, -ENETUNREACH,
			"check source %s is behind the router %s; give an address that no host "
			"has, of a network that this host is in itself (`ip address`)",
			text, ip_addr_format(&hop->gateway, gateway));
	if (!link.is_ethernet || link.is_loopback)
		return err_set(err, -EINVAL,
			       "check source %s: %s carries no Ethernet frames, so nobody asks for "
			       "addresses there; give one of another network",
			       text, link.name);
	return 0;
}

int dsr_source_find(const struct dsr_check_params *params, struct dsr_source *source,
		    struct err *err)
{
	char text[IP_ADDR_TEXT_MAX];
	struct next_hop hop;
	const struct ip_addr *addr = &params->config->dsr.check_source;
	if (ip_addr_is_unspecified(addr))
		return fail_without(params, err);
	ip_addr_format(addr, text);
	if (!is_host_addr(addr))
		return err_set(err, -EINVAL,
			       "check source %s is no IPv4 address that a client can have", text);
	int code = check_frontends(params->config, text, err);
	if (!code)
		code = check_backends(params, text, err);
	if (!code)
		code = netwatch_look_up(params->netwatch, addr, &hop, err);
	if (!code && !hop.is_local)
		code = check_link(params, &hop, text, err);
	if (code)
		return code;
	*source = (struct dsr_source){.is_local = hop.is_local, .ifindex = hop.ifindex};
	return 0;
}
