// SPDX-License-Identifier: Apache-2.0
#include "config/check_mode.h"

#include <netinet/in.h>

enum { OWN_PORTS_MIN = 256 };

static struct position frontend_position(const struct config_frontend *frontend)
{
	return (struct position){frontend->line, frontend->column};
}

// Proxy mode relays byte streams; the packet modes carry both protocols.
static void check_proxy_frontend(const struct config_frontend *frontend, struct report *report)
{
	if (frontend->endpoint.proto == IPPROTO_UDP)
		report_add(report, frontend_position(frontend),
			   "frontend \"%s\" is udp, and mode proxy relays tcp only; choose mode "
			   "passthrough or dsr, or take the frontend out",
			   frontend->name);
}

static void check_packet_frontend(const struct config_frontend *frontend, enum mode mode,
				  struct report *report)
{
	char text[ENDPOINT_TEXT_MAX];
	endpoint_format(&frontend->endpoint, text);
	if (!ip_addr_is_v4(&frontend->endpoint.addr))
		report_add(report, frontend_position(frontend),
			   "listen_addr: %s is IPv6, which mode %s does not forward yet; write an "
			   "IPv4 address",
			   text, mode_name(mode));
	else if (ip_addr_is_unspecified(&frontend->endpoint.addr))
		report_add(report, frontend_position(frontend),
			   "listen_addr: %s stands for every address, and mode %s would capture "
			   "what this host itself sends and receives; write the virtual address "
			   "that clients connect to, for example \"192.0.2.10:%u\"",
			   text, mode_name(mode), ntohs(frontend->endpoint.port_be));
}

static void check_packet_pool(const struct config_pool *pool, enum mode mode, struct report *report)
{
	char text[ENDPOINT_TEXT_MAX];
	for (size_t i = 0; i < pool->n_backends; i++) {
		const struct config_backend *backend = &pool->backends[i];
		if (ip_addr_is_v4(&backend->endpoint.addr))
			continue;
		report_add(report, (struct position){backend->line, backend->column},
			   "addr: %s of pool \"%s\" is IPv6, which mode %s does not forward yet; "
			   "write an IPv4 address",
			   endpoint_format(&backend->endpoint, text), pool->name, mode_name(mode));
	}
}

static void check_packet_snat(const struct config_passthrough *passthrough, struct report *report)
{
	char text[IP_ADDR_TEXT_MAX];
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		const struct ip_addr *addr = &passthrough->snat_addrs[i];
		if (!ip_addr_is_v4(addr))
			report_add(report, (struct position){0},
				   "snat_addrs: %s is IPv6, which mode passthrough does not "
				   "forward yet; take it out",
				   ip_addr_format(addr, text));
	}
}

void check_mode_addresses(const struct config *config, enum mode mode, struct report *report)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		if (mode == MODE_PROXY)
			check_proxy_frontend(&config->frontends[i], report);
		else
			check_packet_frontend(&config->frontends[i], mode, report);
	}
	for (size_t i = 0; i < config->n_pools && mode != MODE_PROXY; i++)
		check_packet_pool(&config->pools[i], mode, report);
	if (mode == MODE_PASSTHROUGH)
		check_packet_snat(&config->passthrough, report);
}

void check_mode_nat_ports(const struct config *config, const struct local_ports *ports,
			  struct report *report)
{
	const struct config_passthrough *passthrough = &config->passthrough;
	uint16_t min = passthrough->nat_port_min;
	uint16_t max = passthrough->nat_port_max;
	if (!local_ports_overlap(ports, min, max))
		return;
	// The list is replaced as a whole, so what is reserved now has to be said again.
	const char *kept =
		ports->has_reserved ? "$(sysctl -n net.ipv4.ip_local_reserved_ports)," : "";
	report_add(report,
		   (struct position){passthrough->nat_ports_line, passthrough->nat_ports_column},
		   "nat_ports: %u-%u overlap %u-%u, from which this host takes the ports of its "
		   "own connections (net.ipv4.ip_local_port_range), and nothing reserves them; run "
		   "`sysctl -w net.ipv4.ip_local_reserved_ports=\"%s%u-%u\"`, or let culvert do so "
		   "by manage = true in the section firewall",
		   min, max, ports->min, ports->max, kept, min, max);
}

// Health probes take their ports from what is left; so does everything else on this host.
void check_mode_own_ports(const struct config *config, const struct local_ports *ports,
			  struct report *report)
{
	const struct config_passthrough *passthrough = &config->passthrough;
	uint16_t min = passthrough->nat_port_min;
	uint16_t max = passthrough->nat_port_max;
	unsigned n_left = local_ports_left(ports, min, max);
	if (n_left >= OWN_PORTS_MIN)
		return;
	report_add(report,
		   (struct position){passthrough->nat_ports_line, passthrough->nat_ports_column},
		   "nat_ports: %u-%u leave this host %u ports for connections of its own, health "
		   "checks among them; it needs %d at least: take fewer of %u-%u "
		   "(net.ipv4.ip_local_port_range), or widen that range",
		   min, max, n_left, OWN_PORTS_MIN, ports->min, ports->max);
}

static void check_host_ports(const struct config *config, struct report *report)
{
	struct local_ports ports;
	struct err err = {0};
	if (local_ports_read(&ports, &err)) {
		report_add(report, (struct position){0},
			   "%s: whether nat_ports are free cannot be told; mount /proc",
			   err.message);
		return;
	}
	check_mode_own_ports(config, &ports, report);
	if (!config->firewall_manage)
		check_mode_nat_ports(config, &ports, report);
}

int config_check_mode(const struct config *config, enum mode mode, struct config_errors *errors)
{
	struct report report = {.errors = errors, .path = config->path};
	check_mode_addresses(config, mode, &report);
	if (mode == MODE_PASSTHROUGH)
		check_host_ports(config, &report);
	return report_finish(&report);
}
