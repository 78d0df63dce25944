// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

// The names live in `topology`, the rest in the snapshot.
static struct firewall_plan plan_of(const struct topology *topology,
				    const struct snapshot *snapshot, const char **names)
{
	for (uint32_t i = 0; i < topology->n_links; i++)
		names[i] = topology->names[i];
	return (struct firewall_plan){
		.links = names,
		.n_links = topology->n_links,
		.frontends = snapshot->vips->endpoints,
		.n_frontends = snapshot->vips->n,
		.backends = snapshot->backend_ids->endpoints,
		.n_backends = snapshot->backend_ids->n,
		.snat_addrs = snapshot->snats,
		.n_snat_addrs = snapshot->n_snats,
		.nat_port_min = snapshot->nat_port_min,
		.nat_port_max = snapshot->nat_port_max,
	};
}

int guard_open(struct guard *guard, const struct topology *topology,
	       const struct snapshot *snapshot, struct err *err)
{
	const char *names[CONFIG_MAX_INTERFACES];
	struct firewall_plan plan = plan_of(topology, snapshot, names);
	if (!topology->config->firewall_manage)
		return 0;
	int code = reserved_ports_open(&guard->ports, plan.nat_port_min, plan.nat_port_max, err);
	if (code)
		return code;
	guard->n_snats = snapshot->n_snats;
	return firewall_open(&guard->firewall, &plan, err);
}

int guard_update(struct guard *guard, const struct topology *topology,
		 const struct snapshot *snapshot, struct err *err)
{
	const char *names[CONFIG_MAX_INTERFACES];
	struct firewall_plan plan = plan_of(topology, snapshot, names);
	if (!guard->firewall || snapshot->n_snats == guard->n_snats)
		return 0;
	int code = firewall_update(guard->firewall, &plan, err);
	if (!code)
		guard->n_snats = snapshot->n_snats;
	return code;
}

void guard_close(struct guard *guard)
{
	firewall_close(guard->firewall);
	reserved_ports_close(guard->ports);
}
