// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

#include <string.h>

#include "culvert/base/log.h"

// The names live in `topology`, endpoints in `cover`, the rest in the snapshot.
static struct firewall_plan plan_of(const struct topology *topology, const struct cover *cover,
				    const struct snapshot *snapshot, const char **names)
{
	for (uint32_t i = 0; i < topology->n_links; i++)
		names[i] = topology->names[i];
	struct firewall_plan plan = {
		.links = names,
		.n_links = topology->n_links,
		.frontends = cover->vips,
		.n_frontends = cover->n_vips,
	};
	// Backends answer clients, not us: what else comes from them is the kernel's.
	if (topology->config->mode == MODE_DSR)
		return plan;
	plan.backends = cover->backends;
	plan.n_backends = cover->n_backends;
	plan.snat_addrs = snapshot->snats;
	plan.n_snat_addrs = snapshot->n_snats;
	plan.nat_port_min = snapshot->nat_port_min;
	plan.nat_port_max = snapshot->nat_port_max;
	return plan;
}

static int reserve_ports(struct guard *guard, const struct topology *topology,
			 const struct firewall_plan *plan, struct err *err)
{
	if (topology->config->mode == MODE_DSR)
		return 0;
	return reserved_ports_open(&guard->ports, plan->nat_port_min, plan->nat_port_max, err);
}

// Of other modes no connection survives, so the kernel should refuse what goes on.
static int open_restart(struct guard *guard, const struct topology *topology,
			const struct cover *cover, const struct snapshot *snapshot, struct err *err)
{
	if (topology->config->mode != MODE_DSR)
		return firewall_remove_lapsing(err);
	guard->restart_plan = plan_of(topology, cover, snapshot, guard->names);
	guard->restart_plan.lapse_s = GUARD_CRASH_S + GUARD_REFRESH_S;
	return firewall_open(&guard->restart, &guard->restart_plan, err);
}

static void note_snats(struct guard *guard, const struct snapshot *snapshot)
{
	guard->n_snats = snapshot->n_snats;
	memcpy(guard->snats, snapshot->snats, sizeof(guard->snats));
}

int guard_open(struct guard *guard, const struct topology *topology, const struct cover *cover,
	       const struct snapshot *snapshot, struct err *err)
{
	const char *names[CONFIG_MAX_INTERFACES];
	struct firewall_plan plan = plan_of(topology, cover, snapshot, names);
	if (!topology->config->firewall_manage)
		return 0;
	int code = reserve_ports(guard, topology, &plan, err);
	if (code)
		return code;
	note_snats(guard, snapshot);
	code = firewall_open(&guard->firewall, &plan, err);
	return code ? code : open_restart(guard, topology, cover, snapshot, err);
}

// Until they are installed, those of before are what is put off.
static int update_restart(struct guard *guard, const struct topology *topology,
			  const struct cover *cover, const struct snapshot *snapshot,
			  struct err *err)
{
	if (!guard->restart)
		return 0;
	struct firewall_plan plan = plan_of(topology, cover, snapshot, guard->names);
	plan.lapse_s = GUARD_CRASH_S + GUARD_REFRESH_S;
	int code = firewall_update(guard->restart, &plan, err);
	if (!code)
		guard->restart_plan = plan;
	return code;
}

int guard_update(struct guard *guard, const struct topology *topology, const struct cover *cover,
		 const struct snapshot *snapshot, struct err *err)
{
	const char *names[CONFIG_MAX_INTERFACES];
	struct firewall_plan plan = plan_of(topology, cover, snapshot, names);
	if (!guard->firewall)
		return 0;
	int code = firewall_update(guard->firewall, &plan, err);
	if (code)
		return code;
	note_snats(guard, snapshot);
	return update_restart(guard, topology, cover, snapshot, err);
}

bool guard_lacks(const struct guard *guard, const struct snapshot *snapshot)
{
	size_t bytes = snapshot->n_snats * sizeof(snapshot->snats[0]);
	return guard->firewall && (guard->n_snats != snapshot->n_snats ||
				   memcmp(guard->snats, snapshot->snats, bytes) != 0);
}

int guard_refresh(struct guard *guard, struct err *err)
{
	return guard->restart ? firewall_update(guard->restart, &guard->restart_plan, err) : 0;
}

void guard_close(struct guard *guard)
{
	struct err err = {0};
	guard->restart_plan.lapse_s = GUARD_RESTART_S;
	if (guard_refresh(guard, &err))
		log_warn("firewall", "a restart may cost connections: %s", err.message);
	else if (guard->restart)
		log_info("firewall",
			 "for %d s, what clients send is kept from the kernel, so that a restart "
			 "breaks no connection; `nft delete table netdev %s` ends that at once",
			 GUARD_RESTART_S, firewall_name(guard->restart));
	firewall_close(guard->restart);
	firewall_close(guard->firewall);
	reserved_ports_close(guard->ports);
}
