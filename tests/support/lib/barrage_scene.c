// SPDX-License-Identifier: Apache-2.0
#include "barrage_scene.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "barrage.h"

enum { N_PORTS = 16, TINY_MTU = 120, NARROW_MTU = 1280 };

static const struct {
	const char *pool;
	uint8_t proto;
	const char *vip;
	const char *backends[2];
} services[] = {
	{"web", IPPROTO_TCP, "10.1.0.100:80", {"10.2.0.21:8080", "10.2.0.22:8080"}},
	{"dns", IPPROTO_UDP, "10.1.0.100:53", {"10.2.0.21:5353", NULL}},
	{"web6", IPPROTO_TCP, "[fd01::100]:80", {"[fd02::21]:8080", "[fd02::22]:8080"}},
	{"dns6", IPPROTO_UDP, "[fd01::100]:53", {"[fd02::21]:5353", NULL}},
};

enum { N_SERVICES = sizeof(services) / sizeof(services[0]), N_SERVICES_V4 = 2 };

static struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr;
	if (!ip_addr_parse(text, &addr))
		abort();
	return addr;
}

// ---- the network --------------------------------------------------------------------------------

static void add_services(struct barrage_scene *stage)
{
	struct scene *scene = &stage->scene;
	// Tunnels carry IPv4 only.
	unsigned n = stage->is_wrapping ? N_SERVICES_V4 : N_SERVICES;
	for (unsigned i = 0; i < n; i++) {
		size_t pool = scene_add_pool(scene, services[i].pool, services[i].proto);
		for (unsigned b = 0; b < 2 && services[i].backends[b]; b++)
			scene_add_backend(scene, pool, b ? "two" : "one", services[i].backends[b],
					  1);
		enum hash_kind hash =
			services[i].proto == IPPROTO_TCP ? HASH_5_TUPLE : HASH_SOURCE_IP;
		scene_add_frontend(scene, services[i].vip, pool, hash);
	}
}

static void set_mode(struct barrage_scene *stage, uint8_t setup)
{
	static const enum dsr_method methods[] = {DSR_NAT, DSR_NAT, DSR_L2, DSR_IPIP};
	struct config *config = stage->scene.config;
	unsigned way = setup % BARRAGE_WAYS;
	config->mode = way ? MODE_DSR : MODE_PASSTHROUGH;
	config->dsr.method = methods[way];
	config->dsr.mss_clamp = setup & BARRAGE_CLAMP ? MSS_CLAMP_AUTO : 0;
	config->passthrough.mss_clamp = config->dsr.mss_clamp;
	stage->is_wrapping = way && methods[way] == DSR_IPIP;
	config->passthrough.nat_port_max = config->passthrough.nat_port_min + N_PORTS - 1;
	config->passthrough.connection_tracker_capacity = setup & BARRAGE_FEW_FLOWS ? 5 : 24;
	if (setup & BARRAGE_NARROW_BACK)
		stage->scene.mtus[SCENE_BACK] = stage->is_wrapping ? TINY_MTU : NARROW_MTU;
	if (setup & BARRAGE_NARROW_FRONT)
		stage->scene.mtus[SCENE_FRONT] = NARROW_MTU;
}

void barrage_scene_set_hops(struct barrage_scene *stage, uint32_t mask, enum hop_state state)
{
	const struct config_passthrough *passthrough = &stage->scene.config->passthrough;
	bool is_dsr = stage->scene.config->mode == MODE_DSR;
	for (uint32_t i = 0; i < registry_n_backends(stage->scene.registry); i++) {
		const struct endpoint *endpoint =
			&registry_backend(stage->scene.registry, i)->endpoint;
		unsigned snat = ip_addr_is_v4(&endpoint->addr) ? 0 : 1;
		struct snapshot_hop hop = {
			.state = mask >> i & 1 ? state : HOP_READY,
			.link = SCENE_BACK,
			.mac = {{2, 2, 0, 0, 0, (uint8_t)i}},
			.source = passthrough->snat_addrs[snat],
		};
		registry_set_hop(stage->scene.registry, i, &hop, is_dsr ? 1 : UINT64_C(1) << snat);
	}
}

// ---- who speaks to whom -------------------------------------------------------------------------

static const struct flow *flow_at(const struct barrage_scene *stage, uint32_t number)
{
	const struct flow_table *table = stage->pump.worker.flows;
	uint32_t n = 0;
	for (uint32_t i = 1; i <= table->n_fresh; i++) {
		if (table->flows[i].state == FLOW_FREE || n++ != number % table->n_flows)
			continue;
		return &table->flows[i];
	}
	return NULL;
}

uint16_t barrage_scene_port(const struct barrage_scene *stage, uint8_t proto)
{
	for (uint32_t i = 0; i < stage->pump.worker.flows->n_flows; i++) {
		const struct flow *flow = flow_at(stage, i);
		if (flow->proto == proto && ip_addr_is_v4(&flow->client))
			return flow->nat_port;
	}
	return 0;
}

static void ends_of_flow(const struct barrage_scene *stage, const struct flow *flow, bool is_back,
			 struct recipe_ends *ends)
{
	const struct snapshot *snapshot = stage->pump.snapshot;
	const struct snapshot_backend *backend = &snapshot->backends[flow->backend];
	ends->client = (struct endpoint){flow->client, flow->client_port_be, flow->proto, 0};
	ends->vip = snapshot->frontends[flow->frontend].endpoint;
	ends->src = ends->client;
	ends->dst = ends->vip;
	ends->seq = flow->client_next;
	ends->ack = flow->backend_next;
	if (!is_back)
		return;
	ends->src = backend->endpoint;
	ends->dst = (struct endpoint){backend->hop.source, htons(flow->nat_port), flow->proto, 0};
	ends->seq = flow->backend_next;
	ends->ack = flow->client_next;
}

// Somebody unknown. From the back: the second backend, to a port that may be anybody's.
static void ends_of_stranger(const struct barrage_scene *stage, const struct recipe *recipe,
			     struct recipe_ends *ends)
{
	unsigned kind = recipe->kind & ((1U << RECIPE_KIND_BITS) - 1);
	bool is_udp = kind == RECIPE_UDP || kind == RECIPE_ICMP_ABOUT_UDP;
	bool is_v6 = recipe->who & BARRAGE_WHO_V6;
	uint8_t number = recipe->who & BARRAGE_WHO_NUMBER;
	unsigned service = (is_v6 ? N_SERVICES_V4 : 0) + is_udp;
	struct ip_addr client = addr_of(is_v6 ? "fd01::b" : "10.1.0.11");
	client.bytes[15] = (uint8_t)(client.bytes[15] + number / 8);
	ends->client = (struct endpoint){client, htons((uint16_t)(1000 + number % 8)),
					 services[service].proto, 0};
	ends->vip = scene_endpoint(services[service].vip, services[service].proto);
	ends->src = ends->client;
	ends->dst = ends->vip;
	if (!(recipe->who & BARRAGE_WHO_BACK))
		return;
	uint16_t port =
		(uint16_t)(stage->scene.config->passthrough.nat_port_min + number % (N_PORTS + 1));
	ends->src = scene_endpoint(services[service].backends[!is_udp], services[service].proto);
	ends->dst = (struct endpoint){addr_of(is_v6 ? "fd02::1" : "10.2.0.1"), htons(port),
				      services[service].proto, 0};
}

void barrage_scene_ends(const struct barrage_scene *stage, const struct recipe *recipe,
			struct recipe_ends *ends, uint32_t *link)
{
	bool is_back = recipe->who & BARRAGE_WHO_BACK;
	const struct flow *flow = NULL;
	*ends = (struct recipe_ends){0};
	if ((recipe->who & BARRAGE_WHO_FLOW) && stage->pump.worker.flows->n_flows)
		flow = flow_at(stage, recipe->who & BARRAGE_WHO_NUMBER);
	if (flow)
		ends_of_flow(stage, flow, is_back, ends);
	else
		ends_of_stranger(stage, recipe, ends);
	*link = is_back ? SCENE_BACK : SCENE_FRONT;
	ends->router = addr_of(ip_addr_is_v4(&ends->dst.addr) ? "10.9.0.1" : "fd09::1");
	ends->src_mac = (struct mac_addr){{2, 9, 0, 0, 0, 9}};
	ends->dst_mac = stage->scene.link_macs[*link];
}

// ---- open flows ---------------------------------------------------------------------------------

static void send_recipe(struct barrage_scene *stage, struct recipe recipe)
{
	uint8_t frame[RECIPE_FRAME_MAX];
	struct recipe_ends ends;
	struct virtio_net_hdr vnet;
	struct mem_frame *sent;
	uint32_t link;
	barrage_scene_ends(stage, &recipe, &ends, &link);
	uint32_t len = recipe_build((const uint8_t *)&recipe, sizeof(recipe), &ends, frame, &vnet);
	mem_io_push(stage->pump.io, link, frame, len, &vnet);
	pump_round(&stage->pump);
	while ((sent = mem_io_take(stage->pump.io)))
		free(sent);
}

// One established connection and one answered datagram in each family.
static void open_flows(struct barrage_scene *stage)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < stage->scene.config->n_frontends; i++) {
		uint8_t family = i < N_SERVICES_V4 ? 0 : BARRAGE_WHO_V6;
		uint8_t kind = services[i].proto == IPPROTO_TCP ? RECIPE_TCP : RECIPE_UDP;
		uint8_t flow = (uint8_t)(BARRAGE_WHO_FLOW | n++);
		send_recipe(stage,
			    (struct recipe){.who = family, .kind = kind, .flags = TCP_FLAG_SYN});
		send_recipe(stage, (struct recipe){.who = flow | BARRAGE_WHO_BACK,
						   .kind = kind,
						   .flags = TCP_FLAG_SYN | TCP_FLAG_ACK});
		send_recipe(stage,
			    (struct recipe){.who = flow, .kind = kind, .flags = TCP_FLAG_ACK});
	}
	if (stage->pump.worker.flows->n_flows != n)
		abort();
}

void barrage_scene_open(struct barrage_scene *stage, uint8_t setup)
{
	*stage = (struct barrage_scene){0};
	scene_init(&stage->scene, "10.2.0.1");
	scene_add_snat(&stage->scene, "fd02::1");
	set_mode(stage, setup);
	add_services(stage);
	scene_build(&stage->scene);
	barrage_scene_set_hops(stage, 0, HOP_READY);
	pump_open(&stage->pump, &stage->scene);
	open_flows(stage);
}

void barrage_scene_close(struct barrage_scene *stage)
{
	pump_close(&stage->pump);
	scene_fini(&stage->scene);
}
