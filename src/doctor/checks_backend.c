// SPDX-License-Identifier: Apache-2.0
// Can each backend be reached: by a route, by its neighbour entry, by the check that its pool
// configures. All checks run side by side, once, and the neighbours are looked for meanwhile.
#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"
#include "culvert/control/health.h"
#include "doctor/checks.h"

enum {
	WAIT_MAX_MS = 4500, // for slow backends, however patient the file is with them
	WAIT_EXTRA_MS = 500,
	NEIGHBOUR_WAIT_MS = 1500,
	ONCE_MS = 3600 * 1000, // no second check
	LOOK_US = 20000,
};

// ---- routes ------------------------------------------------------------------------------------

static void check_route(struct doctor *doctor, const struct doctor_hop *hop)
{
	char subject[SUBJECT_MAX];
	char addr[IP_ADDR_TEXT_MAX];
	char name[IF_NAMESIZE] = "?";
	const struct config *config = doctor->config;
	const struct ip_addr *backend = &hop->backend->endpoint.addr;
	doctor_backend_name(hop, subject);
	ip_addr_format(backend, addr);
	if_indextoname(hop->hop.ifindex, name);
	if (!hop->hop.has_route) {
		doctor_say(doctor, STATUS_ERROR, subject, "there is no route to it");
		doctor_fix(doctor, "ip route add %s via GATEWAY", addr);
	} else if (hop->hop.is_local && config->mode != MODE_PROXY) {
		doctor_say(doctor, STATUS_ERROR, subject,
			   "it is an address of this host; in mode %s a backend is another host",
			   mode_name(config->mode));
		doctor_fix(doctor, "correct %s, or run with --proxy", config->path);
	} else if (config->mode == MODE_DSR && config->dsr.method == DSR_L2 &&
		   !ip_addr_equal(&hop->hop.gateway, backend)) {
		doctor_say(
			doctor, STATUS_ERROR, subject,
			"it is behind a router, and method l2 reaches networks of this host only");
		doctor_fix(doctor, "write method = \"nat\" in the section dsr of %s", config->path);
	} else {
		doctor_say(doctor, STATUS_OK, subject, "by %s",
			   hop->hop.is_local ? "this host itself" : name);
	}
}

void check_routes(struct doctor *doctor)
{
	if (!doctor->netwatch)
		return;
	for (size_t i = 0; i < doctor->n_hops; i++) {
		if (!doctor->hops[i].backend->unix_path)
			check_route(doctor, &doctor->hops[i]);
	}
}

// ---- one check each ----------------------------------------------------------------------------

// The configuration, changed so that one check decides and none follows.
struct trial {
	struct config config;
	struct health *health;
	struct event *looking;
	uint64_t deadline_ns;
	uint64_t neighbours_ns; // when neighbours are given up
	struct doctor *doctor;
};

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	(void)arg;
	(void)backend;
	(void)is_up;
	(void)reason; // asked for when all is over
}

static bool is_awaiting_neighbour(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->n_hops; i++) {
		struct next_hop hop;
		const struct doctor_hop *known = &doctor->hops[i];
		if (known->hop.has_route && !known->hop.is_local && doctor->netwatch &&
		    netwatch_next_hop(doctor->netwatch, &known->backend->endpoint.addr, &hop) &&
		    !hop.is_resolved)
			return true;
	}
	return false;
}

static bool is_awaiting_check(const struct trial *trial)
{
	for (size_t i = 0; i < trial->doctor->n_hops; i++) {
		if (!health_is_known(trial->health, i))
			return true;
	}
	return false;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct trial *trial = arg;
	uint64_t now = clock_now_ns();
	bool is_over = now >= trial->deadline_ns;
	if (!is_over && is_awaiting_check(trial))
		return;
	if (!is_over && now < trial->neighbours_ns && is_awaiting_neighbour(trial->doctor))
		return;
	event_base_loopbreak(trial->doctor->base);
}

static uint64_t patience_ms(const struct config *config)
{
	uint64_t longest = 0;
	for (size_t i = 0; i < config->n_pools; i++) {
		if (config->pools[i].health_check_timeout_ms > longest)
			longest = config->pools[i].health_check_timeout_ms;
	}
	longest += WAIT_EXTRA_MS;
	return longest < WAIT_MAX_MS ? longest : WAIT_MAX_MS;
}

static int copy_pools(struct trial *trial)
{
	const struct config *config = trial->doctor->config;
	struct config_pool *pools = calloc(config->n_pools + 1, sizeof(*pools));
	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_pools; i++) {
		pools[i] = config->pools[i];
		pools[i].rise = 1;
		pools[i].fall = 1;
		pools[i].health_check_interval_ms = ONCE_MS;
	}
	trial->config = *config;
	trial->config.pools = pools;
	return 0;
}

static void track_neighbours(struct doctor *doctor)
{
	struct err err = {0};
	if (!doctor->netwatch || !doctor_has_capability(doctor, CAP_NET_ADMIN))
		return;
	for (size_t i = 0; i < doctor->n_hops; i++) {
		const struct doctor_hop *hop = &doctor->hops[i];
		if (hop->hop.has_route && !hop->hop.is_local)
			(void)netwatch_track(doctor->netwatch, &hop->backend->endpoint.addr, &err);
	}
}

static int run_trial(struct trial *trial, struct err *err)
{
	static const struct timeval look = {.tv_usec = LOOK_US};
	struct doctor *doctor = trial->doctor;
	uint64_t now = clock_now_ns();
	trial->deadline_ns = now + patience_ms(doctor->config) * NS_PER_MS;
	trial->neighbours_ns = now + NEIGHBOUR_WAIT_MS * NS_PER_MS;
	trial->looking = event_new(doctor->base, -1, EV_PERSIST, on_look, trial);
	if (!trial->looking || event_add(trial->looking, &look) || copy_pools(trial))
		return err_sys(err, -ENOMEM, "checks");
	track_neighbours(doctor);
	int code = health_start(&trial->health, doctor->base, &trial->config, on_change, NULL, err);
	if (!code && event_base_dispatch(doctor->base) < 0)
		code = err_set(err, -EIO, "the event loop broke down");
	return code;
}

// ---- what came of it ---------------------------------------------------------------------------

static bool is_silent_neighbour(const struct doctor *doctor, const struct doctor_hop *known,
				struct next_hop *hop)
{
	return known->hop.has_route && !known->hop.is_local && doctor->netwatch &&
	       netwatch_next_hop(doctor->netwatch, &known->backend->endpoint.addr, hop) &&
	       !hop->is_resolved;
}

static void say_silent(struct doctor *doctor, const struct doctor_hop *known,
		       const struct next_hop *hop)
{
	char subject[SUBJECT_MAX];
	char gateway[IP_ADDR_TEXT_MAX];
	char name[IF_NAMESIZE] = "?";
	bool is_router = !ip_addr_equal(&hop->gateway, &known->backend->endpoint.addr);
	bool is_v4 = ip_addr_is_v4(&hop->gateway);
	if_indextoname(hop->ifindex, name);
	ip_addr_format(&hop->gateway, gateway);
	doctor_say(doctor, STATUS_ERROR, doctor_backend_name(known, subject),
		   "%s%s does not answer %s on %s", is_router ? "the router to it, " : "", gateway,
		   is_v4 ? "ARP" : "neighbour solicitations", name);
	doctor_fix(doctor, "start that host or mend its cable (%s %s -I %s shows when it answers)",
		   is_v4 ? "arping" : "ping", gateway, name);
}

static void say_failed(struct doctor *doctor, const struct doctor_hop *hop, const char *reason)
{
	char subject[SUBJECT_MAX];
	char addr[CONFIG_BACKEND_TEXT_MAX];
	doctor_say(doctor, STATUS_ERROR, doctor_backend_name(hop, subject), "%s", reason);
	doctor_fix(doctor,
		   "on that host: start what serves %s, and let its firewall pass this host",
		   config_backend_format(hop->backend, addr));
}

static void say_result(struct trial *trial, size_t number)
{
	char subject[SUBJECT_MAX];
	struct next_hop hop;
	struct doctor *doctor = trial->doctor;
	struct doctor_hop *known = &doctor->hops[number];
	bool is_checked = known->pool->health_check != HEALTH_NONE;
	bool is_up = health_is_up(trial->health, number);
	doctor_backend_name(known, subject);
	if (known->hop.is_local && doctor->config->mode != MODE_PROXY)
		return; // wrong already
	if (is_checked && is_up)
		doctor_say(doctor, STATUS_OK, subject, "%s",
			   health_last_result(trial->health, number));
	else if (is_silent_neighbour(doctor, known, &hop))
		say_silent(doctor, known, &hop);
	else if (!is_checked)
		doctor_say(doctor, STATUS_NOTE, subject,
			   "health_check = \"none\": its host is there; clients are sent to it "
			   "whether "
			   "it serves or not");
	else if (!known->hop.has_route && doctor->netwatch && !known->backend->unix_path)
		return; // without a route it is told already
	else if (health_is_known(trial->health, number))
		say_failed(doctor, known, health_last_result(trial->health, number));
	else
		doctor_say(doctor, STATUS_SKIPPED, subject,
			   "no result in time; this host may lack descriptors or ports");
	known->has_failed = is_checked && !is_up;
}

void check_backends(struct doctor *doctor)
{
	struct trial trial = {.doctor = doctor};
	struct err err = {0};
	int code = run_trial(&trial, &err);
	if (code)
		doctor_say(doctor, STATUS_SKIPPED, "", "%s", err.message);
	for (size_t i = 0; !code && i < doctor->n_hops; i++)
		say_result(&trial, i);
	health_stop(trial.health);
	if (trial.looking)
		event_free(trial.looking);
	free(trial.config.pools);
}
