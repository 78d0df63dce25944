// SPDX-License-Identifier: Apache-2.0
// Rules that an earlier culvert or a script has left, and rules of others that stand in the way.
// Packets of clients are captured before any rule in the packet modes; health checks, and all of
// proxy mode, go through the kernel.
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"
#include "doctor/checks.h"
#include "doctor/ruleset.h"

enum {
	COMMAND_MAX = 256,
	BACKENDS_MAX_MS = 2000, // many backends and many rules: some are left out
};

struct look {
	struct doctor *doctor;
	const struct ruleset *ruleset;
	bool is_fine;
};

// ---- what has been left ------------------------------------------------------------------------

// What DSR mode leaves for its next start; its rules lapse.
static const char restart_table[] = "culvert_restart";

// "culvert_" and a process number; the table for restarts has none.
static bool is_of_culvert(const char *table)
{
	static const char prefix[] = "culvert_";
	return strncmp(table, prefix, sizeof(prefix) - 1) == 0 &&
	       isdigit((unsigned char)table[sizeof(prefix) - 1]);
}

// It stays when its rules have lapsed, until a culvert that may change rules starts.
static void look_at_restart_table(struct look *look)
{
	struct doctor *doctor = look->doctor;
	if (doctor->holder != -ENOENT)
		return;
	doctor_say(doctor, STATUS_NOTE, restart_table,
		   "a table that culvert has left in DSR mode for its next start: its rules lapse "
		   "30 s after the end (20 to 80 s after a crash), and the table stays, empty, "
		   "until culvert starts again");
	doctor_fix(doctor, "nft delete table netdev %s", restart_table);
	look->is_fine = false;
}

// Those of a running culvert belong to its process.
static void look_for_tables(struct look *look)
{
	const char *name;
	struct doctor *doctor = look->doctor;
	for (size_t i = 0; (name = ruleset_table(look->ruleset, "netdev", i)); i++) {
		if (strcmp(name, restart_table) == 0)
			look_at_restart_table(look);
		if (!is_of_culvert(name))
			continue;
		doctor_say(doctor, STATUS_ERROR, name,
			   "a table of culvert without its process, from a saved ruleset perhaps: "
			   "its rules drop packets");
		doctor_fix(doctor, "nft delete table netdev %s", name);
		look->is_fine = false;
	}
}

static void look_for_script(struct look *look)
{
	static const char *const families[] = {"ip", "ip6"};
	struct doctor *doctor = look->doctor;
	if (!doctor->config->firewall_manage && doctor->config->mode != MODE_PROXY)
		return;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (!ruleset_has_chain(look->ruleset, families[i], "raw", "CULVERT"))
			continue;
		doctor_say(doctor, STATUS_WARNING, "CULVERT",
			   "rules of iptables/setup.sh are installed, and this configuration does "
			   "without");
		doctor_fix(doctor, "iptables/setup.sh down");
		look->is_fine = false;
		return;
	}
}

static void look_for_owned(struct look *look)
{
	static const char own[] = "netdev ";
	const char *name;
	for (size_t i = 0; (name = ruleset_owned_table(look->ruleset, i)); i++) {
		if (strncmp(name, own, sizeof(own) - 1) != 0 ||
		    !is_of_culvert(name + sizeof(own) - 1))
			doctor_say(look->doctor, STATUS_SKIPPED, name,
				   "the table belongs to a running program; its rules are not "
				   "looked at");
	}
}

static void look_for_legacy(struct look *look)
{
	char tables[DOCTOR_PATH_MAX];
	struct doctor *doctor = look->doctor;
	if (doctor_read(doctor, tables, sizeof(tables), "/proc/net/ip_tables_names") || !*tables)
		return;
	for (char *c = tables; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	doctor_say(doctor, STATUS_SKIPPED, "iptables-legacy",
		   "rules in its tables (%s) are not looked at: iptables-legacy-save shows them",
		   tables);
}

// ---- what stands in the way --------------------------------------------------------------------

static const char *describe(const struct ruleset_culprit *culprit, char *text)
{
	if (culprit->handle)
		snprintf(text, COMMAND_MAX, "rule %d of chain %.60s, table %s %.60s",
			 culprit->handle, culprit->chain, culprit->family, culprit->table);
	else
		snprintf(text, COMMAND_MAX, "the policy of chain %.60s, table %s %.60s",
			 culprit->chain, culprit->family, culprit->table);
	return text;
}

static const char *fate_name(enum fate fate)
{
	return fate == FATE_REFUSED ? "refuses" : fate == FATE_DIVERTED ? "diverts" : "drops";
}

// Of the half of the packet that is known: an address and a port.
// A rule before the other one: what others have written stays.
static void fix_rule(struct doctor *doctor, const struct ruleset_packet *packet,
		     const struct ruleset_culprit *culprit)
{
	char addr[IP_ADDR_TEXT_MAX];
	bool is_from = packet->sport != PORT_UNKNOWN;
	const struct ip_addr *known = is_from ? packet->saddr : packet->daddr;
	doctor_fix(doctor, "nft insert rule %s %s %s %s %s %s %s %s %d accept", culprit->family,
		   culprit->table, culprit->base, ip_addr_is_v4(known) ? "ip" : "ip6",
		   is_from ? "saddr" : "daddr", ip_addr_format(known, addr),
		   packet->proto == IPPROTO_TCP ? "tcp" : "udp", is_from ? "sport" : "dport",
		   is_from ? packet->sport : packet->dport);
}

// `hooks` ends with NULL. Whether the packet gets through, as far as can be told.
static bool look_at_packet(struct look *look, const struct ruleset_packet *packet,
			   const char *const *hooks, const char *subject, const char *what)
{
	struct ruleset_culprit culprit;
	char text[COMMAND_MAX];
	for (; *hooks; hooks++) {
		enum fate fate = ruleset_judge(look->ruleset, packet, *hooks, &culprit);
		if (fate == FATE_UNKNOWN)
			continue;
		doctor_say(look->doctor, STATUS_ERROR, subject, "%s %s %s",
			   describe(&culprit, text), fate_name(fate), what);
		fix_rule(look->doctor, packet, &culprit);
		look->is_fine = false;
		return false;
	}
	return true;
}

static const char *front_link(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->n_links; i++) {
		if (doctor->links[i].is_front)
			return doctor->links[i].info.name;
	}
	return NULL;
}

static struct ruleset_packet client_packet(const struct doctor *doctor,
					   const struct config_frontend *frontend)
{
	return (struct ruleset_packet){
		.daddr = &frontend->endpoint.addr,
		.proto = frontend->endpoint.proto,
		.sport = PORT_UNKNOWN,
		.dport = ntohs(frontend->endpoint.port_be),
		.in = front_link(doctor),
		.state = "new",
	};
}

static void look_at_clients(struct look *look)
{
	static const char *const hooks[] = {"ingress", "prerouting", "input", NULL};
	struct doctor *doctor = look->doctor;
	char subject[SUBJECT_MAX];
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		const struct config_frontend *frontend = &doctor->config->frontends[i];
		struct ruleset_packet packet = client_packet(doctor, frontend);
		if (!ip_addr_is_unspecified(&frontend->endpoint.addr))
			look_at_packet(look, &packet, hooks,
				       doctor_frontend_name(frontend, subject),
				       "what clients send");
	}
}

// With manage = false somebody else has to keep the kernel from answering.
static void look_for_protection(struct look *look)
{
	static const char *const hooks[] = {"ingress", "prerouting", NULL};
	struct doctor *doctor = look->doctor;
	struct ruleset_culprit culprit;
	char subject[SUBJECT_MAX];
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		const struct config_frontend *frontend = &doctor->config->frontends[i];
		struct ruleset_packet packet = client_packet(doctor, frontend);
		bool is_dropped = false;
		for (const char *const *hook = hooks; *hook; hook++)
			is_dropped |= ruleset_judge(look->ruleset, &packet, *hook, &culprit) ==
				      FATE_DROPPED;
		if (is_dropped)
			continue;
		doctor_say(doctor, STATUS_ERROR, doctor_frontend_name(frontend, subject),
			   "[firewall] manage = false, and no rule keeps clients' packets from the "
			   "kernel, which answers them as well");
		doctor_fix(doctor, "iptables/setup.sh up --config %s", doctor->config->path);
		look->is_fine = false;
	}
}

// Both ways of a connection that this host makes: for a health check, or for a client. In the
// packet modes what is forwarded passes the hook of its interface only.
static void look_at_backend(struct look *look, const struct doctor_hop *hop)
{
	static const char *const out[] = {"output", "postrouting", "egress", NULL};
	static const char *const in[] = {"ingress", "prerouting", "input", NULL};
	char link[IF_NAMESIZE] = "";
	char subject[SUBJECT_MAX];
	const struct endpoint *endpoint = &hop->backend->endpoint;
	if (!hop->hop.has_route || hop->hop.is_local || !if_indextoname(hop->hop.ifindex, link))
		return;
	doctor_backend_name(hop, subject);
	struct ruleset_packet packet = {
		.saddr = &hop->hop.source,
		.daddr = &endpoint->addr,
		.proto = endpoint->proto,
		.sport = PORT_UNKNOWN,
		.dport = ntohs(endpoint->port_be),
		.out = link,
		.state = "new",
	};
	if (!look_at_packet(look, &packet, out, subject, "what is sent to it"))
		return;
	struct ruleset_packet answer = {
		.saddr = &endpoint->addr,
		.daddr = &hop->hop.source,
		.proto = endpoint->proto,
		.sport = ntohs(endpoint->port_be),
		.dport = PORT_UNKNOWN,
		.in = link,
		.state = "established",
	};
	look_at_packet(look, &answer, in, subject, "its answers");
}

static void look_at_backends(struct look *look)
{
	struct doctor *doctor = look->doctor;
	uint64_t deadline = clock_now_ns() + BACKENDS_MAX_MS * NS_PER_MS;
	for (size_t i = 0; i < doctor->n_hops; i++) {
		if (clock_now_ns() > deadline) {
			doctor_say(doctor, STATUS_SKIPPED, "",
				   "rules on the way to %zu more backends", doctor->n_hops - i);
			return;
		}
		look_at_backend(look, &doctor->hops[i]);
	}
}

void check_firewall(struct doctor *doctor)
{
	struct ruleset *ruleset;
	struct err err = {0};
	const struct config *config = doctor->config;
	if (!doctor_has_capability(doctor, CAP_NET_ADMIN)) {
		doctor_say(doctor, STATUS_SKIPPED, "", "reading firewall rules needs root");
		return;
	}
	if (ruleset_read(&ruleset, &err)) {
		doctor_say(doctor, STATUS_SKIPPED, "", "%s", err.message);
		return;
	}
	struct look look = {doctor, ruleset, true};
	look_for_tables(&look);
	look_for_script(&look);
	look_for_owned(&look);
	look_for_legacy(&look);
	if (config->mode == MODE_PROXY)
		look_at_clients(&look);
	else if (!config->firewall_manage)
		look_for_protection(&look);
	look_at_backends(&look);
	if (look.is_fine)
		doctor_say(doctor, STATUS_OK, "",
			   "no rule is in the way, and none was left behind");
	ruleset_free(ruleset);
}
