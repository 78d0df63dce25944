// SPDX-License-Identifier: Apache-2.0
#include "fast_lab.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/lib/flow_check.h"
#include "culvert/base/clock.h"

enum {
	CLIENT = 0x0a030000,
	FIRST_PORT = 1000,
	N_CLIENT_PORTS = 1000,
	FRAME_ROOM = 4096,
	DONT_FRAGMENT = 0x4000,
	SECRET = 77,
	UDP_TIMEOUT = 120,
	BUSY_POLL_US = 50,
	V4_HEADER = 20,
	V6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
};

static const uint32_t golden_ratio = 0x9e3779b9;

static const struct {
	const char *pool;
	uint8_t proto;
	const char *vip;
	const char *backends[2];
} services[] = {
	{"web", IPPROTO_TCP, "10.1.0.100:80", {"10.2.0.21:8080", "10.2.0.22:8080"}},
	{"dns", IPPROTO_UDP, "10.1.0.100:53", {"10.2.0.21:5353", "10.2.0.22:5353"}},
	{"web6", IPPROTO_TCP, "[fd01::100]:80", {"[fd02::21]:8080", "[fd02::22]:8080"}},
	{"dns6", IPPROTO_UDP, "[fd01::100]:53", {"[fd02::21]:5353", "[fd02::22]:5353"}},
};

enum { N_SERVICES = sizeof(services) / sizeof(services[0]) };

// ---- the scene ----------------------------------------------------------------------------------

void fast_lab_init(struct fast_lab *lab, enum fast_lab_way way)
{
	*lab = (struct fast_lab){.is_dsr = way != FAST_LAB_NAT};
	struct scene *scene = &lab->scene;
	scene_init(scene, "10.2.0.1");
	scene_add_snat(scene, "fd02::1");
	scene->config->mode = lab->is_dsr ? MODE_DSR : MODE_PASSTHROUGH;
	scene->config->passthrough.fast_path = FAST_PATH_ALWAYS;
	scene->config->dsr.method = way == FAST_LAB_DSR_L2 ? DSR_L2 : DSR_NAT;
	for (unsigned i = 0; i < N_SERVICES; i++) {
		size_t pool = scene_add_pool(scene, services[i].pool, services[i].proto);
		scene_add_backend(scene, pool, "one", services[i].backends[0], 1);
		scene_add_backend(scene, pool, "two", services[i].backends[1], 1);
		scene_add_frontend(scene, services[i].vip, pool, HASH_5_TUPLE);
	}
}

// There is one source address that stands for the client's own.
static void set_snats(const struct scene *scene)
{
	for (uint32_t i = 0; i < registry_n_backends(scene->registry); i++) {
		struct snapshot_hop hop = registry_backend(scene->registry, i)->hop;
		registry_set_hop(scene->registry, i, &hop, 1);
	}
}

// ---- opening and closing ------------------------------------------------------------------------

static void make_maps(struct fast_lab *lab)
{
	lab->owns_maps = true;
	lab->maps = (struct fast_maps){
		.control = calloc(1, sizeof(*lab->maps.control)),
		.buckets = calloc(FAST_BUCKETS, sizeof(*lab->maps.buckets)),
		.entries = calloc(FAST_ENTRIES, sizeof(*lab->maps.entries)),
	};
	cr_assert(lab->maps.control && lab->maps.buckets && lab->maps.entries);
	uint64_t factor = SECRET;
	for (int i = 0; i <= FAST_KEY_WORDS; i++) {
		factor = factor * 6364136223846793005U + 1442695040888963407U;
		lab->maps.control->factors[i] = factor;
	}
}

void fast_lab_open(struct fast_lab *lab, const struct fast_lab_params *params)
{
	struct err err = {0};
	struct worker *worker = &lab->pump.worker;
	if (params->waits_for_pressure) {
		lab->scene.config->passthrough.fast_path = FAST_PATH_AUTO;
		lab->scene.config->passthrough.busy_poll_us = BUSY_POLL_US;
	}
	scene_build(&lab->scene);
	if (lab->is_dsr)
		set_snats(&lab->scene);
	pump_open(&lab->pump, &lab->scene);
	worker->flows->params.timeouts[FLOW_UDP] = UDP_TIMEOUT;
	if (params->has_none)
		return;
	if (params->maps)
		lab->maps = *params->maps;
	else
		make_maps(lab);
	lab->maps.control->version = (uint32_t)lab->pump.snapshot->version;
	worker->number = params->number;
	struct worker_params of_worker = {
		.config = lab->scene.config,
		.number = params->number,
		.n_workers = params->n_workers ? params->n_workers : 1,
		.is_inline = true,
		.fast = &lab->maps,
	};
	int code = fast_path_init(&worker->fast, worker, &of_worker, &err);
	cr_assert_eq(code, 0, "%s", err.message);
}

void fast_lab_open_alone(struct fast_lab *lab, enum fast_lab_way way)
{
	static const struct fast_lab_params alone = {0};
	fast_lab_init(lab, way);
	fast_lab_open(lab, &alone);
}

void fast_lab_close(struct fast_lab *lab)
{
	const char *wrong = pump_check_ledger(&lab->pump);
	cr_expect_null(wrong, "%s", wrong);
	wrong = flow_check(lab->pump.worker.flows);
	cr_expect_null(wrong, "%s", wrong);
	wrong = fast_lab_check(lab);
	cr_expect_null(wrong, "%s", wrong);
	pump_close(&lab->pump);
	scene_fini(&lab->scene);
	if (!lab->owns_maps)
		return;
	free(lab->maps.control);
	free(lab->maps.buckets);
	free(lab->maps.entries);
}

// ---- packets ------------------------------------------------------------------------------------

static const char *vip_for(uint8_t proto, bool is_v6)
{
	return services[(is_v6 ? 2 : 0) + (proto == IPPROTO_UDP)].vip;
}

static struct ip_addr addr_of(uint32_t number, bool is_v6)
{
	struct ip_addr v6 = {{0xfd, 0x03}};
	struct ip_addr v4 = frame_v4(CLIENT + number);
	memcpy(v6.bytes + 12, v4.bytes + 12, 4);
	return is_v6 ? v6 : v4;
}

struct fast_lab_client fast_lab_client(const struct fast_lab *lab, uint32_t number, uint8_t proto,
				       bool is_v6)
{
	struct endpoint vip = scene_endpoint(vip_for(proto, is_v6), proto);
	struct ip_addr own = addr_of(number, is_v6);
	return (struct fast_lab_client){
		.specs[FROM_CLIENT] =
			{
				.src_mac = frame_mac_of(&own),
				.dst_mac = lab->scene.link_macs[SCENE_FRONT],
				.src = own,
				.dst = vip.addr,
				.proto = proto,
				.ttl = 64,
				.fragment = DONT_FRAGMENT,
				.src_port = (uint16_t)(FIRST_PORT + number % N_CLIENT_PORTS),
				.dst_port = ntohs(vip.port_be),
			},
		.next = {(number + 1) * golden_ratio, ~(number + 1) * golden_ratio},
		.is_udp = proto == IPPROTO_UDP,
	};
}

struct mem_frame *fast_lab_push(struct fast_lab *lab, uint32_t link, const struct frame_spec *spec)
{
	uint8_t frame[FRAME_ROOM];
	struct virtio_net_hdr vnet;
	uint32_t len = frame_build(spec, frame, &vnet);
	mem_io_push(lab->pump.io, link, frame, len, &vnet);
	pump_round(&lab->pump);
	return mem_io_take(lab->pump.io);
}

static struct frame_spec next_of(const struct fast_lab_client *client, enum flow_dir dir,
				 uint8_t flags, uint32_t len)
{
	struct frame_spec spec = client->specs[dir];
	spec.flags = flags;
	spec.seq = client->next[dir];
	spec.ack = flags & TCP_FLAG_ACK ? client->next[!dir] : 0;
	spec.payload_len = len;
	return spec;
}

// Where the backend answers to, from the first packet that it has got.
static void learn_backend(struct fast_lab *lab, struct fast_lab_client *client,
			  const struct mem_frame *sent)
{
	struct frame_view view;
	cr_assert_eq(parse_frame(sent->bytes, sent->len, &view), PARSE_OK);
	client->specs[FROM_BACKEND] = (struct frame_spec){
		.src_mac = frame_mac_of(&view.dst.addr),
		.dst_mac = lab->scene.link_macs[SCENE_BACK],
		.src = view.dst.addr,
		.dst = view.src.addr,
		.proto = view.src.proto,
		.ttl = 64,
		.fragment = DONT_FRAGMENT,
		.src_port = ntohs(view.dst.port_be),
		.dst_port = ntohs(view.src.port_be),
	};
}

bool fast_lab_say(struct fast_lab *lab, struct fast_lab_client *client, enum flow_dir dir,
		  uint8_t flags, uint32_t len)
{
	struct frame_spec spec = next_of(client, dir, flags, len);
	struct mem_frame *sent =
		fast_lab_push(lab, dir == FROM_CLIENT ? SCENE_FRONT : SCENE_BACK, &spec);
	client->next[dir] += len + !!(flags & TCP_FLAG_SYN) + !!(flags & TCP_FLAG_FIN);
	bool is_forwarded = sent && sent->link != (dir == FROM_CLIENT ? SCENE_FRONT : SCENE_BACK);
	if (is_forwarded && dir == FROM_CLIENT)
		learn_backend(lab, client, sent);
	free(sent);
	return is_forwarded;
}

static void find_flow(const struct fast_lab *lab, struct fast_lab_client *client)
{
	const struct flow_table *table = lab->pump.worker.flows;
	const struct frame_spec *spec = &client->specs[FROM_CLIENT];
	client->flow = 0;
	for (uint32_t i = 1; i <= table->n_fresh; i++) {
		const struct flow *flow = &table->flows[i];
		if (flow->state != FLOW_FREE && flow->proto == spec->proto &&
		    flow->client_port_be == htons(spec->src_port) &&
		    ip_addr_equal(&flow->client, &spec->src))
			client->flow = i;
	}
	cr_assert_neq(client->flow, 0);
}

struct flow *fast_lab_flow(const struct fast_lab *lab, const struct fast_lab_client *client)
{
	return &lab->pump.worker.flows->flows[client->flow];
}

void fast_lab_establish(struct fast_lab *lab, struct fast_lab_client *client)
{
	cr_assert(fast_lab_say(lab, client, FROM_CLIENT, TCP_FLAG_SYN, client->is_udp));
	if (lab->is_dsr && client->is_udp)
		fast_lab_move_ms(lab, 1000); // a client that speaks again in a later second
	else if (lab->is_dsr)
		client->next[FROM_BACKEND]++;
	else
		cr_assert(fast_lab_say(lab, client, FROM_BACKEND, TCP_FLAG_SYN | TCP_FLAG_ACK, 0));
	cr_assert(fast_lab_say(lab, client, FROM_CLIENT, TCP_FLAG_ACK, 0));
	find_flow(lab, client);
	cr_assert_eq(fast_lab_flow(lab, client)->class, CLASS_LIVE);
}

struct fast_lab_client fast_lab_established(struct fast_lab *lab, uint32_t number)
{
	struct fast_lab_client client = fast_lab_client(lab, number, IPPROTO_TCP, false);
	fast_lab_establish(lab, &client);
	return client;
}

// ---- as the kernel ------------------------------------------------------------------------------

static struct fast_key key_of(const struct frame_spec *spec)
{
	struct fast_key key = {
		.src_port_be = htons(spec->src_port),
		.dst_port_be = htons(spec->dst_port),
		.proto = spec->proto,
	};
	memcpy(key.src_be, spec->src.bytes, sizeof(key.src_be));
	memcpy(key.dst_be, spec->dst.bytes, sizeof(key.dst_be));
	return key;
}

struct fast_entry *fast_lab_entry(const struct fast_lab *lab, const struct fast_lab_client *client,
				  enum flow_dir dir)
{
	const struct fast_control *control = lab->maps.control;
	struct fast_key key = key_of(&client->specs[dir]);
	if (!control || (lab->is_dsr && dir == FROM_BACKEND))
		return NULL;
	uint32_t hash = fast_hash(&key, control->factors);
	const struct fast_bucket *bucket = &lab->maps.buckets[fast_bucket_of(hash)];
	for (int i = 0; i < FAST_CELLS; i++) {
		struct fast_entry *entry = &lab->maps.entries[(uint32_t)bucket->cells[i]];
		if (bucket->cells[i] >> 32 == fast_tag_of(hash) &&
		    memcmp(&entry->key, &key, sizeof(key)) == 0)
			return entry->version == control->version ? entry : NULL;
	}
	return NULL;
}

static bool is_near(uint32_t number, uint32_t expected)
{
	int32_t distance = (int32_t)(number - expected);
	return distance >= -FAST_SEQ_WINDOW && distance <= FAST_SEQ_WINDOW;
}

static void raise_to(uint32_t *number, uint32_t to)
{
	if ((int32_t)(to - *number) > 0)
		*number = to;
}

static void count(struct fast_entry *entry, const struct frame_spec *spec)
{
	uint32_t headers = (frame_is_v6(spec) ? V6_HEADER : V4_HEADER) +
			   (spec->proto == IPPROTO_TCP ? TCP_HEADER : UDP_HEADER);
	entry->packets++;
	entry->bytes += headers + spec->payload_len;
	if (spec->proto == IPPROTO_TCP) {
		if (!is_near(spec->seq, entry->next) && !is_near(spec->ack, entry->acked))
			return;
		raise_to(&entry->next, spec->seq + spec->payload_len);
		raise_to(&entry->acked, spec->ack);
	}
	entry->n_known++;
}

static bool is_on_path(const struct fast_entry *entry, const struct frame_spec *spec)
{
	return !(entry->flags & FAST_HAS_PATH) ||
	       memcmp(entry->rx_mac, spec->src_mac.bytes, sizeof(entry->rx_mac)) == 0;
}

bool fast_lab_pass(struct fast_lab *lab, struct fast_lab_client *client, enum flow_dir dir,
		   uint32_t len)
{
	struct fast_entry *entry = fast_lab_entry(lab, client, dir);
	struct frame_spec spec = next_of(client, dir, TCP_FLAG_ACK, len);
	if (!entry || !is_on_path(entry, &spec))
		return false;
	count(entry, &spec);
	client->next[dir] += len;
	return true;
}

// ---- time ---------------------------------------------------------------------------------------

void fast_lab_publish(struct fast_lab *lab)
{
	pump_publish(&lab->pump);
	if (lab->maps.control)
		lab->maps.control->version = (uint32_t)lab->pump.snapshot->version;
}

void fast_lab_move_ms(struct fast_lab *lab, uint32_t ms)
{
	lab->pump.now_ns += ms * NS_PER_MS;
	do
		pump_round(&lab->pump);
	while (worker_is_busy(&lab->pump.worker));
}

// ---- what must hold -----------------------------------------------------------------------------

static const char *check_flows(const struct fast_lab *lab)
{
	const struct worker *worker = &lab->pump.worker;
	const struct fast_path *fast = &worker->fast;
	uint32_t n_aside = 0;
	for (uint32_t i = 1; i <= worker->flows->n_fresh; i++) {
		const struct flow *flow = &worker->flows->flows[i];
		if (!flow->is_aside)
			continue;
		n_aside++;
		if (flow->state != FLOW_ESTABLISHED && flow->state != FLOW_UDP)
			return "a flow is aside that is not established";
		if (flow->marks & FLOW_IS_ORPHAN)
			return "an orphan is aside";
		uint32_t n_slots = 0;
		for (uint32_t k = 0; k < fast->n_active; k++)
			n_slots += fast->active[k] == fast->slot_of[i];
		if (n_slots != 1)
			return "a flow aside has no slot of its own";
	}
	return n_aside == fast->n_active ? NULL : "a slot is active without a flow";
}

static bool is_active(const struct fast_path *fast, uint32_t slot)
{
	for (uint32_t i = 0; i < fast->n_active; i++) {
		if (fast->active[i] == slot)
			return true;
	}
	return false;
}

static const char *check_cell(const struct fast_lab *lab, uint32_t bucket, uint64_t cell,
			      uint32_t *n_own)
{
	const struct fast_path *fast = &lab->pump.worker.fast;
	uint32_t number = (uint32_t)cell;
	if (!cell || number < fast->first || number >= fast->first + fast->n_slots * fast->n_ways)
		return NULL;
	const struct fast_entry *entry = &lab->maps.entries[number];
	uint32_t hash = fast_hash(&entry->key, lab->maps.control->factors);
	*n_own += 1;
	if (fast_bucket_of(hash) != bucket || fast_tag_of(hash) != cell >> 32)
		return "a cell names an entry that is not looked for there";
	return is_active(fast, (number - fast->first) / fast->n_ways)
		       ? NULL
		       : "a cell names an entry of a slot that is not active";
}

const char *fast_lab_check(const struct fast_lab *lab)
{
	const struct fast_path *fast = &lab->pump.worker.fast;
	uint32_t n_own = 0;
	if (!fast->maps)
		return NULL;
	if (fast->n_active + fast->n_free + fast->n_resting != fast->n_slots)
		return "slots are lost";
	if (counter_read(&fast->flows) != fast->n_active ||
	    lab->maps.control->n_flows < fast->n_active)
		return "flows aside are miscounted";
	const char *wrong = check_flows(lab);
	for (uint32_t i = 0; i < FAST_BUCKETS * FAST_CELLS && !wrong; i++)
		wrong = check_cell(lab, i / FAST_CELLS,
				   lab->maps.buckets[i / FAST_CELLS].cells[i % FAST_CELLS], &n_own);
	if (wrong)
		return wrong;
	return n_own == fast->n_active * fast->n_ways
		       ? NULL
		       : "a flow aside has an entry that cannot be found";
}

bool fast_lab_is_empty(const struct fast_lab *lab)
{
	uint64_t cells = 0;
	for (uint32_t i = 0; i < FAST_BUCKETS * FAST_CELLS; i++)
		cells |= lab->maps.buckets[i / FAST_CELLS].cells[i % FAST_CELLS];
	return cells == 0 && lab->maps.control->n_flows == 0 &&
	       lab->pump.worker.fast.n_free == lab->pump.worker.fast.n_slots;
}
