// SPDX-License-Identifier: Apache-2.0
#include "barrage.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "barrage_scene.h"
#include "culvert/base/clock.h"
#include "flow_check.h"
#include "puzzle.h"
#include "wire.h"

enum {
	IP_AT = 14,
	OUTER_LEN = 20,
	GSO_UDP_L4 = 5,
	L4_MIN = 20 + 8,
	SECONDS_PER_DAY = 86400,
	FIRST_ID = 1000, // of datagrams in fragments, each of which has its own
};

// ---- what came in and what went out -------------------------------------------------------------

// What can be said of a frame. `ip` is borrowed.
struct finding {
	const uint8_t *ip; // NULL: nothing
	struct wire wire;
	enum frame_sum sum; // of the transport
};

static bool is_partial(const struct virtio_net_hdr *vnet, uint32_t l4_at)
{
	return (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && vnet->csum_start == l4_at;
}

static struct finding look_at(const uint8_t *frame, uint32_t len, uint32_t ip_at,
			      const struct virtio_net_hdr *vnet)
{
	struct finding found = {.sum = SUM_UNKNOWN};
	if (ip_at > len || !wire_read(frame + ip_at, len - ip_at, &found.wire))
		return found;
	found.ip = frame + ip_at;
	found.sum = wire_transport_sum(found.ip, &found.wire,
				       is_partial(vnet, ip_at + found.wire.header_len));
	return found;
}

static const char *compare_sums(enum frame_sum before, enum frame_sum after)
{
	// What goes into a tunnel has been completed.
	bool is_completed = before == SUM_PARTIAL && after == SUM_RIGHT;
	if (before == SUM_UNKNOWN || after == SUM_UNKNOWN || before == after || is_completed)
		return NULL;
	return before == SUM_WRONG ? "a wrong checksum became right" : "a checksum was spoilt";
}

static bool is_same_payload(const struct finding *in, const struct finding *out)
{
	uint32_t in_at = wire_payload_at(in->ip, &in->wire);
	uint32_t out_at = wire_payload_at(out->ip, &out->wire);
	uint32_t len = in->wire.len - in_at;
	return len == out->wire.len - out_at && memcmp(in->ip + in_at, out->ip + out_at, len) == 0;
}

static const char *compare(const struct finding *in, const struct finding *out)
{
	const char *wrong = compare_sums(in->sum, out->sum);
	bool is_icmp = out->wire.proto != IPPROTO_TCP && out->wire.proto != IPPROTO_UDP;
	if (wrong || !in->ip || in->wire.is_fragment || out->wire.is_fragment)
		return wrong;
	if (out->wire.ttl != in->wire.ttl - 1)
		return "the time to live is not one less";
	if (out->wire.proto != in->wire.proto)
		return "another protocol came out";
	return is_icmp || is_same_payload(in, out) ? NULL : "the payload is another";
}

// By itself: every frame that leaves has our address for its source, no tag, headers that fit, a
// right IP checksum, and room on the link.
static const char *check_frame(const struct barrage_scene *stage, const struct mem_frame *sent,
			       const struct finding *found)
{
	const struct snapshot_link *link = &stage->pump.snapshot->links[sent->link];
	if (!found->ip || wire_ip_at(sent->bytes, sent->len) != IP_AT)
		return "what was sent is no IP packet";
	if (memcmp(sent->bytes + 6, &link->mac, sizeof(link->mac)) != 0)
		return "what was sent is not from our address";
	if (wire_ip_sum(found->ip, &found->wire) != SUM_RIGHT)
		return "what was sent has a wrong IP checksum";
	if (found->wire.len + IP_AT != sent->len)
		return "what was sent has something behind it";
	if (sent->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE && found->wire.len > link->mtu)
		return "what was sent is too big for its link";
	return NULL;
}

// NULL as well when it is not wrapped.
static const char *unwrap(const struct barrage_scene *stage, const struct mem_frame *sent,
			  struct finding *found)
{
	if (!stage->is_wrapping || found->wire.proto != IPPROTO_IPIP)
		return NULL;
	*found = look_at(sent->bytes, sent->len, IP_AT + OUTER_LEN, &sent->vnet);
	if (!found->ip || wire_ip_sum(found->ip, &found->wire) != SUM_RIGHT)
		return "what was wrapped is no right IP packet";
	return NULL;
}

// What a round has done.
struct outcome {
	uint64_t n_forwarded;
	uint64_t n_generated;
};

static struct outcome outcome_of(const struct barrage_scene *stage)
{
	const struct ledger *ledger = &stage->pump.transmit.ledger;
	return (struct outcome){
		.n_forwarded = counter_read(&ledger->verdicts[VERDICT_FORWARDED]),
		.n_generated = counter_read(&ledger->generated),
	};
}

static const char *check_output(const struct barrage_scene *stage, const struct mem_frame *sent,
				const struct outcome *outcome, const struct finding *in,
				struct puzzle *puzzle)
{
	struct finding found = look_at(sent->bytes, sent->len, IP_AT, &sent->vnet);
	const char *wrong = check_frame(stage, sent, &found);
	if (!wrong)
		wrong = unwrap(stage, sent, &found);
	if (wrong || (outcome->n_forwarded && outcome->n_generated))
		return wrong;
	if (found.wire.is_fragment)
		puzzle_add(puzzle, found.ip, &found.wire);
	if (outcome->n_forwarded)
		return in ? compare(in, &found) : NULL;
	return found.sum == SUM_RIGHT ? NULL : "an answer has a wrong checksum";
}

// When all fragments have come out they are what went in, whole or not.
static const char *check_puzzle(struct puzzle *puzzle, const struct finding *in)
{
	static const struct virtio_net_hdr none;
	uint32_t len;
	const uint8_t *ip = puzzle_packet(puzzle, &len);
	if (!ip)
		return NULL;
	struct finding out = look_at(ip, len, 0, &none);
	if (!out.ip)
		return "what was fragmented is no IP packet when it is whole";
	return compare(in, &out);
}

// A round, and what it has sent on account of `in` (NULL: of no frame). Fragments sent are added to
// the puzzle.
static const char *run_round_for(struct barrage_scene *stage, const struct finding *in,
				 struct puzzle *puzzle)
{
	const char *wrong = NULL;
	struct mem_frame *sent;
	struct outcome before = outcome_of(stage);
	pump_round(&stage->pump);
	struct outcome outcome = outcome_of(stage);
	outcome.n_forwarded -= before.n_forwarded;
	outcome.n_generated -= before.n_generated;
	while ((sent = mem_io_take(stage->pump.io))) {
		if (!wrong)
			wrong = check_output(stage, sent, &outcome, in, puzzle);
		free(sent);
	}
	return wrong ? wrong : flow_check(stage->pump.worker.flows);
}

static const char *run_round(struct barrage_scene *stage, const struct finding *in)
{
	static const struct puzzle empty;
	static struct puzzle puzzle;
	puzzle = empty;
	const char *wrong = run_round_for(stage, in, &puzzle);
	return wrong || !in || in->wire.is_fragment ? wrong : check_puzzle(&puzzle, in);
}

static const char *run_frame(struct barrage_scene *stage, uint32_t link, const uint8_t *frame,
			     uint32_t len, const struct virtio_net_hdr *vnet)
{
	uint32_t ip_at = wire_ip_at(frame, len);
	struct finding in = {.sum = SUM_UNKNOWN};
	if (ip_at)
		in = look_at(frame, len, ip_at, vnet);
	// A super-frame that is cut gets new checksums and numbers, whatever it had.
	bool is_super = vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
	// An error about a tunnel becomes another one, about what was in it.
	bool is_error = in.ip && in.wire.proto == IPPROTO_ICMP;
	bool is_new = stage->is_wrapping && (is_super || is_error);
	mem_io_push(stage->pump.io, link, frame, len, vnet);
	return run_round(stage, is_new ? NULL : &in);
}

// ---- frames as they are -------------------------------------------------------------------------

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

// Aim the frame at one of the flows, and mend its checksums, as the flags say.
static void prepare(const struct barrage_scene *stage, uint8_t flags, uint8_t *frame, uint32_t len)
{
	uint8_t *ip = frame + IP_AT;
	struct wire wire;
	if (len < IP_AT + L4_MIN)
		return;
	uint32_t room = len - IP_AT;
	uint32_t l4_at = (ip[0] & 0x0fU) * 4;
	uint8_t proto = flags & BARRAGE_TO_UDP_FLOW ? IPPROTO_UDP : IPPROTO_TCP;
	uint16_t port = barrage_scene_port(stage, proto);
	bool has_ports = stage->scene.config->mode == MODE_PASSTHROUGH;
	if (has_ports && (flags & (BARRAGE_TO_FLOW | BARRAGE_TO_UDP_FLOW)) && l4_at + 4 <= room)
		put16(ip + l4_at + 2, port);
	if (has_ports && (flags & BARRAGE_QUOTE_FLOW) && l4_at + 8 + 24 <= room)
		put16(ip + l4_at + 8 + 20, port);
	if (!wire_read(ip, room, &wire))
		return;
	if (flags & BARRAGE_FIX_L4)
		wire_set_transport_sum(ip, &wire, SUM_RIGHT);
	if (flags & BARRAGE_FIX_IP)
		wire_set_ip_sum(ip, &wire, SUM_RIGHT);
}

static struct virtio_net_hdr vnet_of(const struct barrage_scene *stage, uint8_t flags,
				     const uint8_t *frame)
{
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)(IP_AT + (frame[IP_AT] & 0x0fU) * 4),
		.csum_offset = frame[IP_AT + 9] == IPPROTO_TCP ? 16 : 6,
	};
	if (stage->scene.config->mode == MODE_PASSTHROUGH)
		return vnet;
	if (flags & BARRAGE_TCP_SUPER)
		vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	else if (flags & BARRAGE_UDP_SUPER)
		vnet.gso_type = GSO_UDP_L4;
	vnet.gso_size = vnet.gso_type ? RECIPE_GSO_SIZE : 0;
	return vnet;
}

// In memory of its own length: a read beyond it is seen.
static const char *run_bytes(struct barrage_scene *stage, uint8_t flags, const uint8_t *data,
			     uint32_t len)
{
	uint8_t *frame = malloc(len ? len : 1);
	if (!frame)
		abort();
	memcpy(frame, data, len);
	prepare(stage, flags, frame, len);
	struct virtio_net_hdr vnet = {0};
	if ((flags & BARRAGE_PARTIAL) && len > IP_AT + L4_MIN)
		vnet = vnet_of(stage, flags, frame);
	uint32_t link = flags & BARRAGE_BACK ? SCENE_BACK : SCENE_FRONT;
	const char *wrong = run_frame(stage, link, frame, len, &vnet);
	free(frame);
	return wrong;
}

// ---- frames by recipe ---------------------------------------------------------------------------

static const char *run_recipe(struct barrage_scene *stage, const uint8_t *data, size_t size)
{
	static uint8_t frame[RECIPE_FRAME_MAX];
	struct recipe recipe = recipe_read(data, size);
	struct recipe_ends ends;
	struct virtio_net_hdr vnet;
	uint32_t link;
	barrage_scene_ends(stage, &recipe, &ends, &link);
	uint32_t len = recipe_build(data, size, &ends, frame, &vnet);
	return run_frame(stage, link, frame, len, &vnet);
}

// ---- datagrams in fragments ---------------------------------------------------------------------

// One of the pieces of `piece_len` bytes that a packet is cut into. Returns the frame's length.
static uint32_t cut(const uint8_t *frame, const struct finding *whole, uint32_t piece_len,
		    uint32_t number, uint8_t *out)
{
	uint32_t ip_at = (uint32_t)(whole->ip - frame);
	uint32_t header_len = whole->wire.header_len;
	uint32_t at = number * piece_len;
	uint32_t rest = whole->wire.len - header_len - at;
	uint32_t len = rest < piece_len ? rest : piece_len;
	uint8_t *ip = out + ip_at;
	struct wire wire;
	memcpy(out, frame, ip_at + header_len);
	memcpy(ip + header_len, whole->ip + header_len + at, len);
	if (whole->wire.is_v6) {
		put16(ip + 4, header_len + len - 40);
		put16(ip + header_len - 6, at | (len < rest));
	} else {
		put16(ip + 2, header_len + len);
		put16(ip + 6, at / 8 | (len < rest ? 0x2000U : 0));
	}
	if (wire_read(ip, header_len + len, &wire))
		wire_set_ip_sum(ip, &wire, SUM_RIGHT);
	return ip_at + header_len + len;
}

// Forwards or backwards, beginning anywhere.
static uint32_t turn(uint32_t i, uint32_t n, uint8_t order)
{
	uint32_t turned = (i + (order >> 1)) % n;
	return order & 1 ? n - 1 - turned : turned;
}

static const char *run_pieces(struct barrage_scene *stage, uint32_t link, const uint8_t *frame,
			      const struct finding *whole, const uint8_t *how)
{
	static const struct puzzle empty;
	static const struct virtio_net_hdr none;
	static struct puzzle puzzle;
	static uint8_t piece[RECIPE_FRAME_MAX];
	uint32_t piece_len = 8U + how[0] * 8U;
	uint32_t n = (whole->wire.len - whole->wire.header_len + piece_len - 1) / piece_len;
	const char *wrong = NULL;
	puzzle = empty;
	for (uint32_t i = 0; i < n && !wrong; i++) {
		uint32_t len = cut(frame, whole, piece_len, turn(i, n, how[1]), piece);
		mem_io_push(stage->pump.io, link, piece, len, &none);
		wrong = run_round_for(stage, NULL, &puzzle);
	}
	return wrong ? wrong : check_puzzle(&puzzle, whole);
}

// Two bytes say how a packet is cut, and in which order its pieces come; the recipe follows.
static const char *run_train(struct barrage_scene *stage, const uint8_t *data, size_t size)
{
	static uint8_t frame[RECIPE_FRAME_MAX];
	struct recipe recipe = recipe_read(data + 2, size < 2 ? 0 : size - 2);
	struct recipe_ends ends;
	struct virtio_net_hdr vnet;
	uint32_t link;
	if (size < 2)
		return NULL;
	recipe.fragment = 0;
	recipe.sums &= RECIPE_SUM_MASK;
	if (recipe.sums == RECIPE_SUM_MASK)
		recipe.sums = 0; // whoever makes fragments has completed the checksum
	barrage_scene_ends(stage, &recipe, &ends, &link);
	if (!ip_addr_is_v4(&ends.dst.addr))
		recipe.chain = (uint8_t)((recipe.chain & 0xf0) | 8); // a fragment header
	uint32_t len = recipe_build((const uint8_t *)&recipe, sizeof(recipe), &ends, frame, &vnet);
	uint32_t ip_at = wire_ip_at(frame, len);
	struct finding whole = look_at(frame, len, ip_at, &vnet);
	if (whole.ip)
		put16(frame + ip_at + (whole.wire.is_v6 ? whole.wire.header_len - 2 : 4),
		      FIRST_ID + stage->n_trains++);
	return whole.ip ? run_pieces(stage, link, frame, &whole, data) : NULL;
}

// ---- other events -------------------------------------------------------------------------------

static void set_up(struct barrage_scene *stage, uint32_t mask, bool is_up)
{
	for (uint32_t i = 0; i < registry_n_backends(stage->scene.registry); i++) {
		if (mask >> i & 1)
			registry_set_up(stage->scene.registry, i, is_up);
	}
	pump_publish(&stage->pump);
}

static const char *run_event(struct barrage_scene *stage, const uint8_t *data, size_t size)
{
	struct pump *pump = &stage->pump;
	uint32_t mask = size > 1 && data[1] ? data[1] : UINT32_MAX;
	switch (data[0] % BARRAGE_N_EVENTS) {
	case BARRAGE_DOWN:
	case BARRAGE_UP:
		set_up(stage, mask, data[0] % BARRAGE_N_EVENTS == BARRAGE_UP);
		break;
	case BARRAGE_SECOND:
		pump->now_ns += NS_PER_SEC;
		break;
	case BARRAGE_DAY:
		pump->now_ns += SECONDS_PER_DAY * NS_PER_SEC;
		break;
	case BARRAGE_RECIPE:
		return run_recipe(stage, data + 1, size - 1);
	case BARRAGE_TRAIN:
		return run_train(stage, data + 1, size - 1);
	case BARRAGE_REFUSE:
		mem_io_refuse(pump->io, mask & 1 ? VERDICT_DROP_TX_FULL : VERDICT_DROP_TX_ERROR);
		break;
	case BARRAGE_ACCEPT:
		mem_io_refuse(pump->io, VERDICT_NONE);
		break;
	default:
		barrage_scene_set_hops(stage, size > 1 ? data[1] : 0,
				       mask & 1 ? HOP_UNRESOLVED : HOP_NO_ROUTE);
		pump_publish(pump);
	}
	return run_round(stage, NULL);
}

static const char *run_records(struct barrage_scene *stage, const uint8_t *data, size_t size)
{
	const char *wrong = NULL;
	while (size >= BARRAGE_RECORD_HEAD && !wrong) {
		uint8_t flags = data[0];
		size_t len = (size_t)data[1] << 8 | data[2];
		data += BARRAGE_RECORD_HEAD;
		size -= BARRAGE_RECORD_HEAD;
		len = len < size ? len : size;
		if (!(flags & BARRAGE_EVENT))
			wrong = run_bytes(stage, flags, data, (uint32_t)len);
		else if (len)
			wrong = run_event(stage, data, len);
		data += len;
		size -= len;
	}
	return wrong ? wrong : pump_check_ledger(&stage->pump);
}

const char *barrage_run(const uint8_t *data, size_t size)
{
	struct barrage_scene stage;
	if (size == 0)
		return NULL;
	barrage_scene_open(&stage, data[0]);
	const char *wrong = run_records(&stage, data + 1, size - 1);
	barrage_scene_close(&stage);
	return wrong;
}
