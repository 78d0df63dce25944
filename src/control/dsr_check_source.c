// SPDX-License-Identifier: Apache-2.0
#include "control/dsr_check_source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

// What is looked at: one family's source, and its text for messages.
struct candidate {
	const struct dsr_check_params *params;
	const struct ip_addr *addr;
	char text[IP_ADDR_TEXT_MAX];
};

static const struct config_frontend *first_frontend(const struct config *config, bool is_v4)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (ip_addr_is_v4(&config->frontends[i].endpoint.addr) == is_v4)
			return &config->frontends[i];
	}
	return NULL;
}

// The network where clients' packets come in is the best place for it.
static int fail_without(const struct dsr_check_params *params,
			const struct config_frontend *frontend, struct err *err)
{
	struct link_info link;
	unsigned ifindex;
	const struct ip_addr *vip = &frontend->endpoint.addr;
	char where[IFNAMSIZ + sizeof("on ")] = "clients are in";
	if (netwatch_addr_link(params->netwatch, vip, &ifindex) &&
	    netwatch_link(params->netwatch, ifindex, &link))
		snprintf(where, sizeof(where), "on %s", link.name);
	return err_set(
		err, -EINVAL,
		"the readiness check needs an %s address to test frontend \"%s\" from: give "
		"an address that no host has, of the network %s, as --check-source=ADDR or as "
		"check_source in the section dsr",
		ip_addr_is_v4(vip) ? "IPv4" : "IPv6", frontend->name, where);
}

static int check_frontends(const struct candidate *candidate, struct err *err)
{
	const struct config *config = candidate->params->config;
	const char *text = candidate->text;
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (ip_addr_equal(&config->frontends[i].endpoint.addr, candidate->addr))
			return err_set(
				err, -EINVAL,
				"check source %s is the address of frontend \"%s\"; give one "
				"that no host has",
				text, config->frontends[i].name);
	}
	return 0;
}

static int check_backend(const struct candidate *candidate, const struct config_backend *backend,
			 struct err *err)
{
	struct next_hop hop;
	struct netwatch *netwatch = candidate->params->netwatch;
	const struct ip_addr *source = candidate->addr;
	const char *text = candidate->text;
	if (ip_addr_is_v4(&backend->endpoint.addr) != ip_addr_is_v4(source))
		return 0;
	if (ip_addr_equal(&backend->endpoint.addr, source))
		return err_set(err, -EINVAL,
			       "check source %s is the address of backend \"%s\"; give one that no "
			       "host has",
			       text, backend->name);
	int code = netwatch_track(netwatch, &backend->endpoint.addr, err);
	if (code)
		return code;
	if (!netwatch_next_hop(netwatch, &backend->endpoint.addr, &hop) || !hop.has_route ||
	    !ip_addr_equal(&hop.source, source))
		return 0;
	return err_set(err, -EINVAL,
		       "check source %s is where health checks of backend \"%s\" come from, whose "
		       "replies a backend does not translate; give an address that no host has",
		       text, backend->name);
}

static int check_backends(const struct candidate *candidate, struct err *err)
{
	const struct config *config = candidate->params->config;
	for (size_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];
		for (size_t k = 0; k < pool->n_backends; k++) {
			int code = check_backend(candidate, &pool->backends[k], err);
			if (code)
				return code;
		}
	}
	return 0;
}

// It is answered for on a link, where neighbours look for it.
static int check_link(const struct candidate *candidate, const struct next_hop *hop,
		      struct err *err)
{
	char gateway[IP_ADDR_TEXT_MAX];
	struct link_info link;
	const char *text = candidate->text;
	if (!hop->has_route || !netwatch_link(candidate->params->netwatch, hop->ifindex, &link))
		return err_set(
			err, -ENETUNREACH,
			"check source %s: no interface of this host is in a network with such "
			"an address; `ip address` shows the networks there are",
			text);
	if (!ip_addr_equal(&hop->gateway, candidate->addr))
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

int dsr_source_find(const struct dsr_check_params *params, bool is_v4, struct dsr_source *source,
		    struct err *err)
{
	struct next_hop hop;
	const struct config_frontend *frontend = first_frontend(params->config, is_v4);
	struct candidate candidate = {
		.params = params,
		.addr = config_check_source(params->config, is_v4),
	};
	if (!frontend)
		return -ENOENT;
	if (!candidate.addr)
		return fail_without(params, frontend, err);
	ip_addr_format(candidate.addr, candidate.text);
	if (!config_is_client_addr(candidate.addr))
		return err_set(err, -EINVAL, "check source %s is no address that a client can have",
			       candidate.text);
	int code = check_frontends(&candidate, err);
	if (!code)
		code = check_backends(&candidate, err);
	if (!code)
		code = netwatch_look_up(params->netwatch, candidate.addr, &hop, err);
	if (!code && !hop.is_local)
		code = check_link(&candidate, &hop, err);
	if (code)
		return code;
	*source = (struct dsr_source){
		.addr = *candidate.addr,
		.is_local = hop.is_local,
		.ifindex = hop.ifindex,
	};
	return 0;
}
