// SPDX-License-Identifier: Apache-2.0
// Ports: those to listen on are free, and no connection of this host uses one of NAT.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/net/sockaddr.h"
#include "doctor/checks.h"
#include "doctor/process.h"

// ---- listening ---------------------------------------------------------------------------------

// 0 or -errno. The port is held for a moment, and nobody could connect to it.
static int try_bind(const struct endpoint *endpoint)
{
	static const int on = 1;
	struct sockaddr_storage addr;
	socklen_t size = sockaddr_from_endpoint(endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	int code = bind(fd, (const struct sockaddr *)&addr, size) ? -errno : 0;
	close(fd);
	return code;
}

// `choice` is what else can be done: write another address.
static void say_in_use(struct doctor *doctor, const struct endpoint *endpoint, const char *subject,
		       const char *choice)
{
	char name[PROCESS_NAME_MAX];
	int process = tcp_listener_of(doctor, endpoint);
	if (process && process_serves(doctor, process)) {
		doctor_say(doctor, STATUS_OK, subject, "culvert has it (process %d)", process);
		return;
	}
	if (!process) {
		doctor_say(doctor, STATUS_ERROR, subject, "another program has the port");
		doctor_fix(doctor, "%s, or stop that program: sudo ss -ltnp 'sport = :%u' shows it",
			   choice, ntohs(endpoint->port_be));
		return;
	}
	process_name(doctor, process, name);
	doctor_say(doctor, STATUS_ERROR, subject, "%s (process %d) has the port", name, process);
	doctor_fix(doctor, "%s, or stop %s (process %d)", choice, name, process);
}

// Privileges and missing addresses are other checks' business.
static void check_port(struct doctor *doctor, const struct endpoint *endpoint, const char *subject,
		       const char *choice)
{
	int code = try_bind(endpoint);
	if (code == -EADDRINUSE)
		say_in_use(doctor, endpoint, subject, choice);
	else if (code == 0)
		doctor_say(doctor, STATUS_OK, subject, "the port is free");
	else
		doctor_say(doctor, STATUS_SKIPPED, subject, "whether the port is free: %s",
			   strerrordesc_np(-code));
}

void check_ports(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	char subject[SUBJECT_MAX];
	for (size_t i = 0; config->mode == MODE_PROXY && i < config->n_frontends; i++)
		check_port(doctor, &config->frontends[i].endpoint,
			   doctor_frontend_name(&config->frontends[i], subject),
			   "choose another listen_addr");
	if (!config->stats_port)
		return;
	char addr[ENDPOINT_TEXT_MAX];
	struct endpoint stats = {
		.addr = config->stats_listen_addr,
		.port_be = htons(config->stats_port),
		.proto = IPPROTO_TCP,
	};
	snprintf(subject, sizeof(subject), "stats %s", endpoint_format(&stats, addr));
	check_port(doctor, &stats, subject, "choose another [stats] port");
}

// ---- NAT ports ---------------------------------------------------------------------------------

struct conflict {
	const struct doctor *doctor;
	struct tcp_socket first;
	size_t n;
};

static bool is_backend(const struct doctor *doctor, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < doctor->n_hops; i++) {
		if (endpoint_equal(&doctor->hops[i].backend->endpoint, endpoint))
			return true;
	}
	return false;
}

static bool take_conflict(void *arg, const struct tcp_socket *socket)
{
	struct conflict *conflict = arg;
	const struct config_passthrough *passthrough = &conflict->doctor->config->passthrough;
	uint16_t port = ntohs(socket->local.port_be);
	if (socket->is_listening || socket->is_waiting || port < passthrough->nat_port_min ||
	    port > passthrough->nat_port_max || !is_backend(conflict->doctor, &socket->remote))
		return true;
	if (conflict->n++ == 0)
		conflict->first = *socket;
	return true;
}

// ---- reserved ports ----------------------------------------------------------------------------

// As the kernel writes the longest list: "1,3,5,...".
enum { RESERVED_TEXT_MAX = 32768 * 6 + 2 };

struct reserved {
	unsigned n_inside;              // ports of the NAT range
	char others[RESERVED_TEXT_MAX]; // the list without them
	size_t used;
};

static void keep_range(struct reserved *reserved, unsigned first, unsigned last)
{
	size_t room = sizeof(reserved->others) - reserved->used;
	const char *comma = reserved->used ? "," : "";
	if (first > last)
		return;
	int n = first == last
			? snprintf(reserved->others + reserved->used, room, "%s%u", comma, first)
			: snprintf(reserved->others + reserved->used, room, "%s%u-%u", comma, first,
				   last);
	if (n > 0 && (size_t)n < room)
		reserved->used += (size_t)n;
}

// A range of the list, less what lies between `min` and `max`.
static void take_range(struct reserved *reserved, unsigned first, unsigned last, unsigned min,
		       unsigned max)
{
	if (last < min || first > max) {
		keep_range(reserved, first, last);
		return;
	}
	if (first < min)
		keep_range(reserved, first, min - 1);
	reserved->n_inside += (last < max ? last : max) - (first > min ? first : min) + 1;
	if (last > max)
		keep_range(reserved, max + 1, last);
}

static void parse_reserved(struct reserved *reserved, const char *text, unsigned min, unsigned max)
{
	char *end;
	for (unsigned long first = strtoul(text, &end, 10); end != text;
	     first = strtoul(text, &end, 10)) {
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
		take_range(reserved, (unsigned)first, (unsigned)last, min, max);
		text = end + strspn(end, ", \t\n");
	}
}

static void say_left(struct doctor *doctor, const struct reserved *reserved)
{
	const struct config_passthrough *passthrough = &doctor->config->passthrough;
	doctor_say(
		doctor, STATUS_NOTE, "net.ipv4.ip_local_reserved_ports",
		"%u-%u are reserved though no culvert runs here: one that was killed has left them "
		"so, or they were reserved by hand; the next does not give them back either",
		passthrough->nat_port_min, passthrough->nat_port_max);
	doctor_fix(doctor, "sysctl -w net.ipv4.ip_local_reserved_ports=%s", reserved->others);
}

// With manage = false they have to be.
static void check_reserved(struct doctor *doctor)
{
	const struct config_passthrough *passthrough = &doctor->config->passthrough;
	unsigned min = passthrough->nat_port_min;
	unsigned max = passthrough->nat_port_max;
	if (doctor->holder != -ENOENT || !doctor->config->firewall_manage)
		return;
	struct reserved *reserved = calloc(1, sizeof(*reserved));
	char *text = malloc(RESERVED_TEXT_MAX);
	if (reserved && text &&
	    doctor_read(doctor, text, RESERVED_TEXT_MAX,
			"/proc/sys/net/ipv4/ip_local_reserved_ports") == 0) {
		parse_reserved(reserved, text, min, max);
		if (reserved->n_inside == max - min + 1)
			say_left(doctor, reserved);
	}
	free(text);
	free(reserved);
}

// ---- both --------------------------------------------------------------------------------------

// What comes back to them looks like replies to culvert, whose rules keep it from the kernel.
void check_nat_ports(struct doctor *doctor)
{
	check_reserved(doctor);
	char local[ENDPOINT_TEXT_MAX];
	char remote[ENDPOINT_TEXT_MAX];
	struct conflict conflict = {.doctor = doctor};
	const struct config_passthrough *passthrough = &doctor->config->passthrough;
	if (!tcp_sockets_walk(doctor, take_conflict, &conflict)) {
		doctor_say(doctor, STATUS_SKIPPED, "", "/proc/net/tcp cannot be read");
		return;
	}
	if (conflict.n == 0) {
		doctor_say(doctor, STATUS_OK, "",
			   "no connection of this host to a backend uses one of %u-%u",
			   passthrough->nat_port_min, passthrough->nat_port_max);
		return;
	}
	endpoint_format(&conflict.first.local, local);
	endpoint_format(&conflict.first.remote, remote);
	doctor_say(doctor, STATUS_WARNING, "",
		   "%zu connection%s of this host to a backend use%s ports of the NAT range, %s to "
		   "%s for one: no answer will reach them",
		   conflict.n, conflict.n == 1 ? "" : "s", conflict.n == 1 ? "s" : "", local,
		   remote);
	doctor_fix(doctor,
		   "ss -tnp 'sport >= :%u and sport <= :%u' # shows whose they are: let those "
		   "connect again when culvert runs",
		   passthrough->nat_port_min, passthrough->nat_port_max);
}
