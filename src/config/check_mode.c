// SPDX-License-Identifier: Apache-2.0
#include "config/check_mode.h"

#include <netinet/in.h>

enum { OWN_PORTS_MIN = 256 };

// These say whether the file has it, and it is no error that has been reported.
static bool has_endpoint(const struct endpoint *endpoint)
{
	return endpoint->port_be != 0;
}

static const struct config_pool *pool_of(const struct config *config,
					 const struct config_frontend *frontend)
{
	return frontend->pool < config->n_pools ? &config->pools[frontend->pool] : NULL;
}

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

static bool is_loopback(const struct ip_addr *addr)
{
	static const struct ip_addr v6_loopback = {{[15] = 1}};
	return ip_addr_is_v4(addr) ? addr->bytes[12] == 127 : ip_addr_equal(addr, &v6_loopback);
}

static bool listens_at(const struct config_frontend *frontend, const struct endpoint *endpoint)
{
	const struct ip_addr *addr = &frontend->endpoint.addr;
	if (!has_endpoint(endpoint) || frontend->endpoint.port_be != endpoint->port_be)
		return false;
	if (ip_addr_is_unspecified(addr))
		return ip_addr_is_v4(addr) == ip_addr_is_v4(&endpoint->addr) &&
		       is_loopback(&endpoint->addr);
	return ip_addr_equal(addr, &endpoint->addr);
}

// A connection that reached its own frontend again would go round until nothing is left.
static void check_proxy_circle(const struct config_frontend *frontend,
			       const struct config_pool *pool, struct report *report)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	for (size_t i = 0; i < pool->n_backends && !report->is_full; i++) {
		const struct config_backend *backend = &pool->backends[i];
		if (!listens_at(frontend, &backend->endpoint))
			continue;
		report_add(report, (struct position){backend->line, backend->column},
			   "addr: %s is where frontend \"%s\" (line %u) listens itself; write the "
			   "address of a backend",
			   config_backend_format(backend, text), frontend->name, frontend->line);
	}
}

// A key that the packet modes could only ignore; `key` says of what it is.
static void report_proxy_key(struct report *report, struct config_place at, const char *key,
			     const char *name, enum mode mode)
{
	report_add(report, (struct position){at.line, at.column},
		   "%s \"%s\" is for mode proxy, and mode %s would ignore it; take it out, or "
		   "choose mode proxy",
		   key, name, mode_name(mode));
}

static void check_packet_frontend(const struct config_frontend *frontend, enum mode mode,
				  struct report *report)
{
	char text[ENDPOINT_TEXT_MAX];
	endpoint_format(&frontend->endpoint, text);
	if (has_endpoint(&frontend->endpoint) && ip_addr_is_unspecified(&frontend->endpoint.addr))
		report_add(report, frontend_position(frontend),
			   "listen_addr: %s stands for every address, and mode %s would capture "
			   "what this host itself sends and receives; write the virtual address "
			   "that clients connect to, for example \"192.0.2.10:%u\"",
			   text, mode_name(mode), ntohs(frontend->endpoint.port_be));
	if (frontend->n_accept_proxy > 0)
		report_proxy_key(report, frontend->accept_proxy_at, "accept_proxy of frontend",
				 frontend->name, mode);
	if (frontend->max_connections > 0)
		report_proxy_key(report, frontend->max_connections_at,
				 "max_connections of frontend", frontend->name, mode);
}

static void check_packet_backend(const struct config_pool *pool,
				 const struct config_backend *backend, enum mode mode,
				 struct report *report)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	struct position at = {backend->line, backend->column};
	config_backend_format(backend, text);
	if (backend->unix_path)
		report_add(report, at,
			   "addr: %s of pool \"%s\" is a local socket, to which mode %s cannot "
			   "send packets; write ADDRESS:PORT, or choose mode proxy",
			   text, pool->name, mode_name(mode));
}

static void check_packet_pool(const struct config_pool *pool, enum mode mode, struct report *report)
{
	for (size_t i = 0; i < pool->n_backends; i++)
		check_packet_backend(pool, &pool->backends[i], mode, report);
	if (pool->send_proxy != SEND_PROXY_NONE)
		report_proxy_key(report, pool->send_proxy_at, "send_proxy of pool", pool->name,
				 mode);
}

static const char *family_name(const struct ip_addr *addr)
{
	return ip_addr_is_v4(addr) ? "IPv4" : "IPv6";
}

// Packets are rewritten, not translated between families (RFC 6145 is another box).
static void check_packet_family(const struct config_frontend *frontend,
				const struct config_pool *pool, enum mode mode,
				struct report *report)
{
	char listen_text[ENDPOINT_TEXT_MAX];
	char text[CONFIG_BACKEND_TEXT_MAX];
	const struct ip_addr *listen = &frontend->endpoint.addr;
	for (size_t i = 0; i < pool->n_backends && !report->is_full; i++) {
		const struct config_backend *backend = &pool->backends[i];
		const struct ip_addr *addr = &backend->endpoint.addr;
		if (!has_endpoint(&backend->endpoint) || // a path among them
		    ip_addr_is_v4(addr) == ip_addr_is_v4(listen))
			continue;
		report_add(
			report, frontend_position(frontend),
			"frontend \"%s\" listens at %s, and addr %s of its pool \"%s\" (line %u) "
			"is %s: mode %s does not translate between families; give each family a "
			"frontend and a pool of its own, or choose mode proxy",
			frontend->name, endpoint_format(&frontend->endpoint, listen_text),
			config_backend_format(backend, text), pool->name, backend->line,
			family_name(addr), mode_name(mode));
		return;
	}
}

// Source addresses that are given are all there are.
static void check_packet_snat(const struct config *config, const struct config_frontend *frontend,
			      struct report *report)
{
	char text[ENDPOINT_TEXT_MAX];
	const struct config_passthrough *passthrough = &config->passthrough;
	const struct ip_addr *listen = &frontend->endpoint.addr;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		if (ip_addr_is_v4(&passthrough->snat_addrs[i]) == ip_addr_is_v4(listen))
			return;
	}
	if (passthrough->n_snat_addrs)
		report_add(report, frontend_position(frontend),
			   "frontend \"%s\" listens at %s, and snat_addrs has no %s address to "
			   "speak to its backends from; add one",
			   frontend->name, endpoint_format(&frontend->endpoint, text),
			   family_name(listen));
}

static void check_proxy(const struct config *config, struct report *report)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		const struct config_pool *pool = pool_of(config, frontend);
		check_proxy_frontend(frontend, report);
		if (pool)
			check_proxy_circle(frontend, pool, report);
	}
}

static void check_packets(const struct config *config, enum mode mode, struct report *report)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct config_frontend *frontend = &config->frontends[i];
		const struct config_pool *pool = pool_of(config, frontend);
		check_packet_frontend(frontend, mode, report);
		if (pool && has_endpoint(&frontend->endpoint))
			check_packet_family(frontend, pool, mode, report);
	}
	for (size_t i = 0; i < config->n_pools; i++)
		check_packet_pool(&config->pools[i], mode, report);
}

void check_mode_rest(const struct config *config, enum mode mode, struct report *report)
{
	if (mode == MODE_PROXY)
		check_proxy(config, report);
	else
		check_packets(config, mode, report);
}

void check_mode_addresses(const struct config *config, enum mode mode, struct report *report)
{
	check_mode_rest(config, mode, report);
	for (size_t i = 0; mode == MODE_PASSTHROUGH && i < config->n_frontends; i++)
		check_packet_snat(config, &config->frontends[i], report);
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
		   "(net.ipv4.ip_local_port_range), or widen that range, as by "
		   "`sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"`",
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
	if (mode == MODE_DSR)
		check_mode_dsr(config, &report);
	return report_finish(&report);
}
