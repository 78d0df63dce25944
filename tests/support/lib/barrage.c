// SPDX-License-Identifier: Apache-2.0
#include "barrage.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"
#include "frame.h"
#include "pump.h"

enum {
	IP_AT = 14,
	OUTER_LEN = 20,
	SEGMENT_LEN = 7,
	GSO_UDP_L4 = 5,
	FRAGMENT_BITS = 0x3fff,
	NARROW_MTU = 120,
	L4_MIN = 20 + 8,
	SECONDS_PER_DAY = 86400,
	CLIENT = 0x0a01000b,
	VIP = 0x0a010064,
	LOCAL = 0x0a020001,
	BACKEND = 0x0a020015,
};

struct way {
	enum mode mode;
	enum dsr_method method;
};

static const struct way ways[] = {
	{MODE_PASSTHROUGH, DSR_NAT},
	{MODE_DSR, DSR_NAT},
	{MODE_DSR, DSR_L2},
	{MODE_DSR, DSR_IPIP},
};

struct barrage {
	struct way way;
	struct scene scene;
	struct pump pump;
	uint16_t tcp_port; // NAT ports of the flows there from the start
	uint16_t udp_port;
};

static bool is_wrapping(const struct barrage *barrage)
{
	return barrage->way.mode == MODE_DSR && barrage->way.method == DSR_IPIP;
}

static void build_scene(struct barrage *barrage)
{
	struct scene *scene = &barrage->scene;
	scene_init(scene, "10.2.0.1");
	scene->config->mode = barrage->way.mode;
	scene->config->dsr.method = barrage->way.method;
	scene->config->dsr.mss_clamp = MSS_CLAMP_AUTO;
	scene->config->passthrough.mss_clamp = MSS_CLAMP_AUTO;
	if (is_wrapping(barrage))
		scene->mtus[SCENE_BACK] = NARROW_MTU;
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	size_t dns = scene_add_pool(scene, "dns", IPPROTO_UDP);
	scene_add_backend(scene, dns, "two", "10.2.0.21:5353", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:53", dns, HASH_SOURCE_IP);
	scene->config->passthrough.nat_port_max = scene->config->passthrough.nat_port_min + 15;
	scene->config->passthrough.connection_tracker_capacity = 24;
	scene_build(scene);
}

static void push(struct barrage *barrage, uint32_t link, const struct frame_spec *spec)
{
	uint8_t frame[200];
	struct virtio_net_hdr vnet;
	struct frame_spec sent = *spec;
	sent.dst_mac = barrage->scene.link_macs[link];
	uint32_t len = frame_build(&sent, frame, &vnet);
	mem_io_push(barrage->pump.io, link, frame, len, &vnet);
	pump_round(&barrage->pump);
}

// The NAT port that the last packet left from.
static uint16_t port_of_last(struct barrage *barrage)
{
	struct mem_frame *sent = mem_io_take(barrage->pump.io);
	if (!sent)
		abort();
	uint16_t port = (uint16_t)(sent->bytes[34] << 8 | sent->bytes[35]);
	free(sent);
	return port;
}

static void forget_sent(struct barrage *barrage)
{
	struct mem_frame *sent;
	while ((sent = mem_io_take(barrage->pump.io)))
		free(sent);
}

// The client's half alone.
static void open_dsr_flows(struct barrage *barrage)
{
	struct frame_spec there = {.src = frame_v4(CLIENT),
				   .dst = frame_v4(VIP),
				   .ttl = 64,
				   .src_port = 1000};
	there.proto = IPPROTO_UDP;
	there.dst_port = 53;
	push(barrage, SCENE_FRONT, &there);
	there.proto = IPPROTO_TCP;
	there.dst_port = 80;
	there.flags = TCP_FLAG_SYN;
	push(barrage, SCENE_FRONT, &there);
	there.flags = TCP_FLAG_ACK;
	there.seq = there.ack = 1;
	push(barrage, SCENE_FRONT, &there);
	forget_sent(barrage);
}

// A TCP connection, established, and a UDP conversation, answered.
static void open_flows(struct barrage *barrage)
{
	struct frame_spec there = {.src = frame_v4(CLIENT),
				   .dst = frame_v4(VIP),
				   .ttl = 64,
				   .src_port = 1000};
	struct frame_spec back = {.src = frame_v4(BACKEND), .dst = frame_v4(LOCAL), .ttl = 64};
	there.proto = back.proto = IPPROTO_UDP;
	there.dst_port = 53;
	back.src_port = 5353;
	push(barrage, SCENE_FRONT, &there);
	back.dst_port = barrage->udp_port = port_of_last(barrage);
	push(barrage, SCENE_BACK, &back);

	there.proto = back.proto = IPPROTO_TCP;
	there.dst_port = 80;
	back.src_port = 8080;
	there.flags = TCP_FLAG_SYN;
	push(barrage, SCENE_FRONT, &there);
	free(mem_io_take(barrage->pump.io)); // the UDP answer
	back.dst_port = barrage->tcp_port = port_of_last(barrage);
	back.flags = TCP_FLAG_SYN | TCP_FLAG_ACK;
	back.ack = there.seq = 1;
	push(barrage, SCENE_BACK, &back);
	there.flags = TCP_FLAG_ACK;
	there.ack = 1;
	push(barrage, SCENE_FRONT, &there);
	forget_sent(barrage);
}

// ---- records -----------------------------------------------------------------------------------

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void fix_ip(uint8_t *ip, uint32_t len)
{
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	if (len < 20 || header_len > len)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, 0xffff & ~(uint32_t)frame_plain_sum(ip, header_len, 0));
}

static uint32_t l4_len_of(const uint8_t *ip, uint32_t len, uint32_t header_len)
{
	uint32_t total = (uint32_t)ip[2] << 8 | ip[3];
	return total <= len && total > header_len ? total - header_len : 0;
}

static void fix_l4(uint8_t *ip, uint32_t len)
{
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	if (len < L4_MIN)
		return;
	uint32_t l4_len = l4_len_of(ip, len, header_len);
	uint32_t offset = ip[9] == IPPROTO_TCP ? 16 : ip[9] == IPPROTO_UDP ? 6 : 2;
	if (l4_len < offset + 2)
		return;
	uint8_t *l4 = ip + header_len;
	uint32_t pseudo = 0;
	if (ip[9] != IPPROTO_ICMP) {
		uint8_t ends[4] = {0, ip[9], (uint8_t)(l4_len >> 8), (uint8_t)l4_len};
		pseudo = frame_plain_sum(ip + 12, 8, frame_plain_sum(ends, 4, 0));
	}
	put16(l4 + offset, 0);
	put16(l4 + offset, 0xffff & ~(uint32_t)frame_plain_sum(l4, l4_len, pseudo));
}

// Aim the frame at one of the flows, and mend its checksums, as the flags say.
static void prepare(const struct barrage *barrage, uint8_t flags, uint8_t *frame, uint32_t len)
{
	uint8_t *ip = frame + IP_AT;
	if (len < IP_AT + L4_MIN)
		return;
	uint32_t room = len - IP_AT;
	uint32_t l4_at = (ip[0] & 0x0fU) * 4;
	uint16_t port = flags & BARRAGE_TO_UDP_FLOW ? barrage->udp_port : barrage->tcp_port;
	bool has_ports = barrage->way.mode == MODE_PASSTHROUGH;
	if (has_ports && (flags & (BARRAGE_TO_FLOW | BARRAGE_TO_UDP_FLOW)) && l4_at + 4 <= room)
		put16(ip + l4_at + 2, port);
	if (has_ports && (flags & BARRAGE_QUOTE_FLOW) && l4_at + 8 + 24 <= room)
		put16(ip + l4_at + 8 + 20, port);
	if (flags & BARRAGE_FIX_L4)
		fix_l4(ip, room);
	if (flags & BARRAGE_FIX_IP)
		fix_ip(ip, room);
}

static const char *compare_sums(enum frame_sum before, enum frame_sum after)
{
	if (before == SUM_UNKNOWN || after == SUM_UNKNOWN || before == after)
		return NULL;
	return before == SUM_WRONG ? "a wrong checksum became right" : "a checksum was spoilt";
}

// Of what has come out. What is wrapped has been completed; of fragments there is nothing to judge.
static enum frame_sum sum_of(const struct barrage *barrage, struct mem_frame *sent, bool is_partial)
{
	static const uint8_t ethertype[] = {0x08, 0x00};
	uint8_t *inner = sent->bytes + OUTER_LEN;
	bool is_wrapped = is_wrapping(barrage) && sent->len > IP_AT + OUTER_LEN + 20 &&
			  sent->bytes[IP_AT + 9] == IPPROTO_IPIP;
	if (!is_wrapped)
		return frame_transport_sum(sent->bytes, sent->len, is_partial);
	if (((inner[IP_AT + 6] << 8 | inner[IP_AT + 7]) & FRAGMENT_BITS) != 0)
		return SUM_UNKNOWN;
	memcpy(inner + IP_AT - sizeof(ethertype), ethertype, sizeof(ethertype));
	enum frame_sum sum = frame_transport_sum(inner, sent->len - OUTER_LEN, false);
	return is_partial && sum == SUM_RIGHT ? SUM_PARTIAL : sum;
}

static const char *check_outputs(struct barrage *barrage, uint64_t n_forwarded,
				 enum frame_sum before, bool is_partial)
{
	const char *wrong = NULL;
	struct mem_frame *sent;
	while ((sent = mem_io_take(barrage->pump.io))) {
		// Culvert's own answers are right, whatever they answer.
		if (n_forwarded && !wrong)
			wrong = compare_sums(before, sum_of(barrage, sent, is_partial));
		free(sent);
	}
	return wrong;
}

static struct virtio_net_hdr vnet_of(const struct barrage *barrage, uint8_t flags,
				     const uint8_t *frame)
{
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)(IP_AT + (frame[IP_AT] & 0x0fU) * 4),
		.csum_offset = frame[IP_AT + 9] == IPPROTO_TCP ? 16 : 6,
	};
	if (barrage->way.mode == MODE_PASSTHROUGH)
		return vnet;
	if (flags & BARRAGE_TCP_SUPER)
		vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	else if (flags & BARRAGE_UDP_SUPER)
		vnet.gso_type = GSO_UDP_L4;
	vnet.gso_size = vnet.gso_type ? SEGMENT_LEN : 0;
	return vnet;
}

static const char *run_frame(struct barrage *barrage, uint8_t flags, const uint8_t *data,
			     uint32_t len)
{
	uint8_t *frame = malloc(len + 1);
	if (!frame)
		abort();
	memcpy(frame, data, len);
	prepare(barrage, flags, frame, len);
	bool is_partial = flags & BARRAGE_PARTIAL;
	struct virtio_net_hdr vnet = {0};
	if (is_partial && len > IP_AT + L4_MIN)
		vnet = vnet_of(barrage, flags, frame);
	// A super-frame that is cut gets new checksums, whatever it had.
	bool is_new = vnet.gso_size && is_wrapping(barrage);
	enum frame_sum before = is_new ? SUM_UNKNOWN : frame_transport_sum(frame, len, is_partial);
	counter_t *forwarded = &barrage->pump.transmit.ledger.verdicts[VERDICT_FORWARDED];
	uint64_t n_before = counter_read(forwarded);
	mem_io_push(barrage->pump.io, flags & BARRAGE_BACK ? SCENE_BACK : SCENE_FRONT, frame, len,
		    &vnet);
	free(frame);
	pump_round(&barrage->pump);
	return check_outputs(barrage, counter_read(forwarded) - n_before, before, is_partial);
}

static void run_event(struct barrage *barrage, uint8_t event)
{
	struct pump *pump = &barrage->pump;
	switch (event % 4) {
	case BARRAGE_DOWN:
	case BARRAGE_UP:
		for (uint32_t i = 0; i < 2; i++)
			registry_set_up(barrage->scene.registry, i, event % 4 == BARRAGE_UP);
		pump_publish(pump);
		break;
	case BARRAGE_SECOND:
		pump->now_ns += NS_PER_SEC;
		break;
	default:
		pump->now_ns += SECONDS_PER_DAY * NS_PER_SEC;
	}
	pump_round(pump);
	(void)check_outputs(barrage, 0, SUM_UNKNOWN, false);
}

static const char *run_records(struct barrage *barrage, const uint8_t *data, size_t size)
{
	const char *wrong = NULL;
	while (size >= BARRAGE_RECORD_HEAD && !wrong) {
		uint8_t flags = data[0];
		size_t len = (size_t)data[1] << 8 | data[2];
		data += BARRAGE_RECORD_HEAD;
		size -= BARRAGE_RECORD_HEAD;
		len = len < size ? len : size;
		if (!(flags & BARRAGE_EVENT))
			wrong = run_frame(barrage, flags, data, (uint32_t)len);
		else if (len)
			run_event(barrage, data[0]);
		data += len;
		size -= len;
	}
	return wrong ? wrong : pump_check_ledger(&barrage->pump);
}

static const char *run_way(struct way way, const uint8_t *data, size_t size)
{
	struct barrage barrage = {.way = way};
	build_scene(&barrage);
	pump_open(&barrage.pump, &barrage.scene);
	if (way.mode == MODE_DSR)
		open_dsr_flows(&barrage);
	else
		open_flows(&barrage);
	const char *wrong = run_records(&barrage, data, size);
	pump_close(&barrage.pump);
	scene_fini(&barrage.scene);
	return wrong;
}

const char *barrage_run(const uint8_t *data, size_t size)
{
	const char *wrong = NULL;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && !wrong; i++)
		wrong = run_way(ways[i], data, size);
	return wrong;
}
