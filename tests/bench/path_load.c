// SPDX-License-Identifier: Apache-2.0
#include "path_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"

enum {
	FRAME_BYTES = 60,
	CLIENTS = 0x0b000000, // 11.0.0.0, with so many addresses before a client's port changes
	CLIENT_MASK = 0xffff,
	FIRST_CLIENT_PORT = 1024,
	BACKENDS = 0x0a010001, // 10.1.0.1
	FLOWS_PER_BACKEND = 20000,
	MIN_BACKENDS = 16,
	SNAT = 0x0a01fffe, // 10.1.255.254
	VIP = 0x0a000001,  // 10.0.0.1
	PORT = 80,
	OTHER_PORT = 81,
	FRONTEND = 0, // its slot
	MIN_NAT_PORT = 1024,
	MAX_NAT_PORT = 65535,
	MAGLEV_SLOTS = 65537,
	HALF_OPEN_ROOM = 4, // half-open flows may fill a quarter of the table
	STEPS = 2 * HALF_OPEN_ROOM,
	SHORT_SECONDS = 20, // of TCP but established: many of them pass before that is over
	LIVE_SECONDS = 1 << 24,
	TTL = 64,
	WINDOW = 65535,
	CLIENT_SEQ = 1000,
	BACKEND_SEQ = 2000,
	L3 = 14,
	L4 = L3 + 20,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

// What a flow's replies need, learnt from its first packet.
struct origin {
	uint32_t backend;
	uint16_t nat_port;
};

struct ports {
	uint32_t src;
	uint32_t dst;
	uint16_t src_port;
	uint16_t dst_port;
};

struct io {
	const struct load_params *params;
	struct origin *origins; // owned; by flow
	uint32_t n_learnt;      // while flows are opened
	uint32_t n_backends;
	enum load_kind kind;
	uint32_t next; // of the ordered kinds
	uint32_t n_left;
	uint64_t random;
	struct mac_addr macs[SCENE_N_LINKS];
};

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "packet_path: %s\n", what);
	abort();
}

// ---- frames ------------------------------------------------------------------------------------

// xorshift64: speed matters here, quality does not.
static uint32_t random_below(struct io *io, uint32_t n)
{
	io->random ^= io->random << 13;
	io->random ^= io->random >> 7;
	io->random ^= io->random << 17;
	return (uint32_t)((io->random >> 32) * n >> 32);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static uint16_t ip_sum(const uint8_t *header)
{
	uint32_t sum = 0;
	for (int i = 0; i < L4 - L3; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static uint8_t tcp_flags(enum load_kind kind)
{
	switch (kind) {
	case LOAD_OPEN:
		return TCP_SYN;
	case LOAD_ACCEPT:
		return TCP_SYN | TCP_ACK;
	case LOAD_RESET:
		return TCP_RST | TCP_ACK;
	default:
		return TCP_ACK;
	}
}

static void put_tcp(struct io *io, uint8_t *l4)
{
	bool is_reply = io->kind == LOAD_ACCEPT || io->kind == LOAD_REPLY;
	bool is_first = io->kind == LOAD_OPEN || io->kind == LOAD_ACCEPT;
	uint32_t seq = is_reply ? BACKEND_SEQ : CLIENT_SEQ;
	uint32_t ack = (is_reply ? CLIENT_SEQ : BACKEND_SEQ) + 1;
	put32(l4 + 4, is_first ? seq : seq + 1);
	put32(l4 + 8, io->kind == LOAD_OPEN ? 0 : ack);
	l4[12] = 5 << 4;
	l4[13] = tcp_flags(io->kind);
	put16(l4 + 14, WINDOW);
}

// The transport checksum is left at zero: culvert only ever updates it, and nobody looks at it
// here.
static void put_frame(struct io *io, uint32_t link, const struct ports *ports, uint8_t *frame)
{
	memset(frame, 0, FRAME_BYTES);
	memcpy(frame, &io->macs[link], sizeof(io->macs[link]));
	frame[6] = 0x02;
	put16(frame + 12, 0x0800);
	uint8_t *ip = frame + L3;
	ip[0] = 0x45;
	put16(ip + 2, FRAME_BYTES - L3);
	put16(ip + 6, 0x4000);
	ip[8] = TTL;
	ip[9] = io->params->proto;
	put32(ip + 12, ports->src);
	put32(ip + 16, ports->dst);
	put16(ip + 10, ip_sum(ip));
	uint8_t *l4 = frame + L4;
	put16(l4, ports->src_port);
	put16(l4 + 2, ports->dst_port);
	if (io->params->proto == IPPROTO_TCP)
		put_tcp(io, l4);
	else
		put16(l4 + 4, FRAME_BYTES - L4);
}

static struct ports ports_of_client(uint32_t flow, uint16_t port)
{
	return (struct ports){
		.src = CLIENTS + (flow & CLIENT_MASK),
		.dst = VIP,
		.src_port = (uint16_t)(FIRST_CLIENT_PORT + flow / (CLIENT_MASK + 1)),
		.dst_port = port,
	};
}

static struct ports ports_of_backend(const struct io *io, uint32_t flow)
{
	return (struct ports){
		.src = io->origins[flow].backend,
		.dst = SNAT,
		.src_port = PORT,
		.dst_port = io->origins[flow].nat_port,
	};
}

// The backend behind the last has no weight, so no flow, but ports all the same.
static struct ports ports_of_nobody(const struct io *io)
{
	return (struct ports){BACKENDS + io->n_backends, SNAT, PORT, MAX_NAT_PORT};
}

// Each number below `n` once, in no order that memory has: a prime, by the golden ratio of 2^32.
static uint32_t scattered(uint32_t number, uint32_t n)
{
	return (uint32_t)(number * UINT64_C(2654435761) % n);
}

static struct ports next_ports(struct io *io)
{
	switch (io->kind) {
	case LOAD_OPEN:
	case LOAD_CONFIRM:
		return ports_of_client(io->next++, PORT);
	case LOAD_ACCEPT:
		return ports_of_backend(io, io->next++);
	case LOAD_RESET:
		return ports_of_client(scattered(io->next++, io->params->n_flows), PORT);
	case LOAD_FORWARD:
		return ports_of_client(random_below(io, io->params->n_flows), PORT);
	case LOAD_REPLY:
		return ports_of_backend(io, random_below(io, io->params->n_flows));
	case LOAD_NO_FRONTEND:
		return ports_of_client(random_below(io, io->params->n_flows), OTHER_PORT);
	case LOAD_NO_FLOW:
	default:
		return ports_of_nobody(io);
	}
}

static uint32_t link_of(enum load_kind kind)
{
	bool is_reply = kind == LOAD_ACCEPT || kind == LOAD_REPLY || kind == LOAD_NO_FLOW;
	return is_reply ? SCENE_BACK : SCENE_FRONT;
}

// ---- the driver --------------------------------------------------------------------------------

static int driver_open(struct io **io, const struct io_link *links, uint32_t n_links,
		       struct err *err)
{
	(void)links, (void)n_links, (void)err;
	*io = calloc(1, sizeof(**io));
	if (!*io)
		give_up("not enough memory");
	(*io)->random = 42;
	return 0;
}

static void driver_close(struct io *io)
{
	free(io->origins);
	free(io);
}

static int driver_recv_burst(struct io *io, uint32_t link, struct packet *const *packets,
			     uint32_t n)
{
	if (io->n_left == 0 || link != link_of(io->kind))
		return 0;
	n = n < io->n_left ? n : io->n_left;
	for (uint32_t i = 0; i < n; i++) {
		struct ports ports = next_ports(io);
		put_frame(io, link, &ports, packets[i]->frame);
		packets[i]->len = FRAME_BYTES;
		packets[i]->vnet = (struct virtio_net_hdr){0};
	}
	io->n_left -= n;
	return (int)n;
}

// Flows are sent in the order in which they came.
static void learn(struct io *io, const uint8_t *frame)
{
	struct origin *origin = &io->origins[io->n_learnt++];
	memcpy(&origin->backend, frame + L3 + 16, sizeof(origin->backend));
	origin->backend = ntohl(origin->backend);
	origin->nat_port = (uint16_t)(frame[L4] << 8 | frame[L4 + 1]);
}

static void driver_send_burst(struct io *io, uint32_t link, struct packet *const *packets,
			      uint32_t n)
{
	if (io->kind != LOAD_OPEN || link != SCENE_BACK)
		return;
	for (uint32_t i = 0; i < n; i++)
		learn(io, packets[i]->frame);
}

static void driver_wait(struct io *io, int wake_fd, int timeout_ms)
{
	(void)io, (void)wake_fd, (void)timeout_ms;
}

static uint64_t driver_kernel_drops(struct io *io)
{
	(void)io;
	return 0;
}

static const struct io_driver io_load = {
	.name = "load",
	.open = driver_open,
	.close = driver_close,
	.recv_burst = driver_recv_burst,
	.wait = driver_wait,
	.send_burst = driver_send_burst,
	.kernel_drops = driver_kernel_drops,
};

// ---- the scene ---------------------------------------------------------------------------------

static void add_backend(struct load *load, size_t pool, uint32_t number, uint16_t weight)
{
	char name[16];
	char endpoint[32];
	uint32_t addr = BACKENDS + number;
	snprintf(name, sizeof(name), "b%u", number);
	snprintf(endpoint, sizeof(endpoint), "%u.%u.%u.%u:%d", addr >> 24, addr >> 16 & 0xff,
		 addr >> 8 & 0xff, addr & 0xff, PORT);
	scene_add_backend(&load->scene, pool, name, endpoint, weight);
}

static uint32_t build_scene(struct load *load)
{
	const struct load_params *params = &load->params;
	struct scene *scene = &load->scene;
	uint32_t n_backends = MIN_BACKENDS + params->n_flows / FLOWS_PER_BACKEND;
	scene_init(scene, "10.1.255.254");
	scene->config->mode = params->is_dsr ? MODE_DSR : MODE_PASSTHROUGH;
	scene->config->dsr.method = DSR_L2;
	struct config_passthrough *passthrough = &scene->config->passthrough;
	passthrough->connection_tracker_capacity = params->n_flows + HALF_OPEN_ROOM * PACKET_BURST;
	passthrough->nat_port_min = MIN_NAT_PORT;
	passthrough->nat_port_max = MAX_NAT_PORT;
	passthrough->maglev_table_size = MAGLEV_SLOTS;
	if (params->proto == IPPROTO_TCP)
		scene->config->timeouts.tcp_syn = SHORT_SECONDS;
	size_t pool = scene_add_pool(scene, "web", params->proto);
	for (uint32_t i = 0; i < n_backends; i++)
		add_backend(load, pool, i, 1);
	add_backend(load, pool, n_backends, 0);
	scene_add_frontend(scene, "10.0.0.1:80", pool, HASH_5_TUPLE);
	scene_build(scene);
	return n_backends;
}

void load_open(struct load *load, const struct load_params *params)
{
	*load = (struct load){.params = *params};
	uint32_t n_backends = build_scene(load);
	pump_open_over(&load->pump, &load->scene, &io_load);
	uint32_t *timeouts = load->pump.worker.flows->params.timeouts;
	timeouts[FLOW_ESTABLISHED] = timeouts[FLOW_UDP] = LIVE_SECONDS;
	struct io *io = load->pump.io;
	io->params = &load->params;
	io->n_backends = n_backends;
	memcpy(io->macs, load->scene.link_macs, sizeof(io->macs));
	io->origins = calloc(params->n_flows + 1, sizeof(*io->origins));
	if (!io->origins)
		give_up("not enough memory for so many flows");
}

void load_close(struct load *load)
{
	pump_close(&load->pump);
	scene_fini(&load->scene);
}

// ---- runs --------------------------------------------------------------------------------------

static void set(struct io *io, enum load_kind kind, uint32_t first, uint32_t n)
{
	io->kind = kind;
	io->next = io->n_learnt = first;
	io->n_left = n;
}

static enum verdict expected(enum load_kind kind)
{
	switch (kind) {
	case LOAD_NO_FRONTEND:
		return VERDICT_PASSED;
	case LOAD_NO_FLOW:
		return VERDICT_DROP_NO_FLOW;
	default:
		return VERDICT_FORWARDED;
	}
}

static uint64_t n_ended(const struct pump *pump, enum verdict verdict)
{
	return counter_read(&pump->capture.ledger.verdicts[verdict]) +
	       counter_read(&pump->transmit.ledger.verdicts[verdict]);
}

void load_run(struct load *load, enum load_kind kind, uint32_t first, uint32_t n)
{
	struct io *io = load->pump.io;
	enum verdict verdict = expected(kind);
	uint64_t before = n_ended(&load->pump, verdict);
	set(io, kind, first, n);
	while (io->n_left)
		pump_round(&load->pump);
	if (n_ended(&load->pump, verdict) - before != n)
		give_up("packets ended otherwise than they should: this would measure "
			"something else");
}

// Where answers are not seen, a client of UDP is there when it speaks on in a later second.
static bool is_settled_by_time(const struct load *load)
{
	return load->params.is_dsr && load->params.proto == IPPROTO_UDP;
}

void load_settle_flows(struct load *load, uint32_t first, uint32_t n)
{
	if (is_settled_by_time(load))
		load->pump.now_ns += NS_PER_SEC;
	if (!load->params.is_dsr)
		load_run(load, LOAD_ACCEPT, first, n);
	load_run(load, LOAD_CONFIRM, first, n);
}

// As many as a second has room for, so that no flow runs out before all have been made; else few.
static uint32_t flows_at_once(const struct load *load)
{
	return is_settled_by_time(load) ? load->params.n_flows / STEPS + 1 : PACKET_BURST;
}

void load_make_flows(struct load *load, uint32_t first, uint32_t n)
{
	uint32_t at_once = flows_at_once(load);
	for (uint32_t done = 0; done < n;) {
		uint32_t some = n - done < at_once ? n - done : at_once;
		load_run(load, LOAD_OPEN, first + done, some);
		load_settle_flows(load, first + done, some);
		done += some;
	}
	if (load->pump.worker.flows->n_flows < first + n)
		give_up("flows have made way for one another: this would measure opening them");
}

static void end_flow(struct load *load, uint32_t number)
{
	struct flow_table *flows = load->pump.worker.flows;
	struct ports ports = ports_of_client(number, PORT);
	struct endpoint client = {.addr = ip_addr_from_v4(htonl(ports.src)),
				  .port_be = htons(ports.src_port)};
	struct steer_client to = steering_of_client(&load->pump.capture.steering, &client.addr,
						    client.port_be, FRONTEND);
	uint32_t index = flow_table_find(flows, &client, FRONTEND, to.hash);
	if (!index)
		give_up("a flow that should be there is not");
	flow_table_end(flows, index, FLOW_REMOVED);
}

static void look_at_timers(struct load *load)
{
	do
		pump_round(&load->pump);
	while (load->pump.worker.has_expiry_left);
}

void load_end_flows(struct load *load, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		end_flow(load, first + scattered(i, n));
	load->pump.now_ns += NS_PER_SEC * 2 * NAT_PORT_REST;
	look_at_timers(load);
}

void load_let_time_pass(struct load *load)
{
	load->pump.now_ns += (SHORT_SECONDS + 1) * NS_PER_SEC;
}

void load_expire(struct load *load, uint32_t n)
{
	const struct flow_table *flows = load->pump.worker.flows;
	uint32_t left = flows->n_flows - n;
	look_at_timers(load);
	if (flows->n_flows != left)
		give_up("other flows were forgotten than those that should");
}

// What is learnt here of flows is nonsense, and replaced when they are opened.
void load_run_generator(struct load *load, enum load_kind kind, uint32_t first, uint32_t n)
{
	struct io *io = load->pump.io;
	struct packet_pool *pool = &load->pump.capture.pool;
	struct packet *packets[PACKET_BURST];
	uint32_t link = link_of(kind);
	set(io, kind, first, n);
	while (io->n_left) {
		uint32_t room = packet_pool_take(pool, packets, PACKET_BURST);
		int filled = driver_recv_burst(io, link, packets, room);
		driver_send_burst(io, link, packets, (uint32_t)filled);
		packet_pool_give_back(pool, packets, room);
	}
}
