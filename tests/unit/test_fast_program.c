// SPDX-License-Identifier: Apache-2.0
// The programs of the fast path, run by the kernel (BPF_PROG_TEST_RUN), one right after the other
// as they meet a packet: what they make of it is what the worker would have made of it.
#include "packet/fast_program.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fast_bench.h"
#include "packet/forward.h"

enum {
	N_FLOWS = 12,
	N_FRAMES = 25, // of each half of a flow
	PAYLOAD_MAX = 1400,
	TCP_FLAG_ECE = 0x40,
	TCP_FLAG_CWR = 0x80,
	TCP_SUM_AT = 16, // from the start of the transport header
	UDP_SUM_AT = 6,
};

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((random_state >> 33) % n);
}

static uint32_t random_word(void)
{
	return random_below(1U << 16) << 16 | random_below(1U << 16);
}

// ---- frames -------------------------------------------------------------------------------------

static uint32_t transport_at(const struct frame_spec *spec)
{
	return ETH_HEADER_LEN +
	       (frame_is_v6(spec) ? (uint32_t)IPV6_HEADER_LEN : (uint32_t)IP_HEADER_MIN);
}

static void set_checksum(struct frame_spec *spec, uint16_t sum)
{
	uint32_t at = transport_at(spec) + (spec->proto == IPPROTO_TCP ? TCP_SUM_AT : UDP_SUM_AT);
	spec->n_pokes = 2;
	spec->pokes[0] = (struct frame_poke){(uint16_t)at, (uint8_t)(sum >> 8)};
	spec->pokes[1] = (struct frame_poke){(uint16_t)(at + 1), (uint8_t)sum};
}

static uint16_t checksum_of(const struct frame_spec *spec, const uint8_t *frame)
{
	uint32_t at = transport_at(spec) + (spec->proto == IPPROTO_TCP ? TCP_SUM_AT : UDP_SUM_AT);
	return (uint16_t)(frame[at] << 8 | frame[at + 1]);
}

static void add_tcp_options(struct frame_spec *spec)
{
	spec->tcp_options.len = (uint8_t)(random_below(11) * 4);
	memset(spec->tcp_options.bytes, 1, spec->tcp_options.len);
}

// Ordinary in all that makes it so, and anything else in the rest. Checksums that are wrong stay
// wrong by as much.
static struct frame_spec random_frame(const struct fast_lab_client *client, enum flow_dir dir)
{
	static const uint8_t flags[] = {TCP_FLAG_PSH, TCP_FLAG_URG, TCP_FLAG_ECE, TCP_FLAG_CWR};
	struct frame_spec spec = client->specs[dir];
	spec.payload_len = random_below(4) ? random_below(PAYLOAD_MAX) : random_below(3);
	spec.payload_from = random_below(256);
	spec.ttl = (uint8_t)(2 + random_below(254));
	spec.tos = (uint8_t)random_below(256);
	spec.id = random_below(1U << 16);
	spec.flow_label = random_below(1U << 20);
	spec.seq = random_below(2) ? client->next[dir] + random_below(1000) : random_word();
	spec.ack = random_below(2) ? client->next[!dir] : random_word();
	spec.flags = TCP_FLAG_ACK;
	for (size_t i = 0; i < sizeof(flags); i++)
		spec.flags |= random_below(2) ? flags[i] : 0;
	spec.window = (uint16_t)random_below(1U << 16);
	spec.urgent = (uint16_t)random_below(1U << 16);
	if (spec.proto == IPPROTO_TCP)
		add_tcp_options(&spec);
	else if (!frame_is_v6(&spec) && random_below(3) == 0)
		spec.sum = SUM_NONE;
	if (random_below(3) == 0)
		set_checksum(&spec, (uint16_t)random_word());
	return spec;
}

// ---- equal --------------------------------------------------------------------------------------

// Returns the frame, as both ways have made it, to be freed.
static struct mem_frame *expect_equal(struct fast_bench *bench, enum flow_dir dir,
				      const struct frame_spec *spec)
{
	uint32_t link = dir == FROM_CLIENT ? SCENE_FRONT : SCENE_BACK;
	struct mem_frame *expected = fast_lab_push(&bench->lab, link, spec);
	char why[200] = "";
	struct fast_run run;
	cr_assert_not_null(expected);
	fast_bench_run(bench, link, spec, &run);
	cr_assert_eq(run.divert, FAST_TO_NOBODY, "left to culvert");
	cr_assert_eq(run.forward, FAST_REDIRECTED);
	const char *difference = frame_difference(expected->bytes, expected->len, run.frame,
						  run.len, why, sizeof(why));
	cr_assert_null(difference, "%s", difference);
	cr_assert_eq(run.len, expected->len);
	cr_assert_arr_eq(run.frame, expected->bytes, run.len);
	return expected;
}

// The kernel does not tell no change from a change by nothing: of the two zeros of ones' complement
// it writes the other then. No TCP sends it (a sum of nothing but zeros), and it is worth the same.
static bool is_other_zero(const struct fast_bench *bench, const struct frame_spec *spec,
			  uint16_t sum)
{
	return forward_is_unchanged(&bench->lab.pump.worker) && spec->proto == IPPROTO_TCP &&
	       sum == 0xffff;
}

static void expect_sum_equal(struct fast_bench *bench, enum flow_dir dir,
			     const struct frame_spec *spec, uint16_t sum)
{
	struct frame_spec summed = *spec;
	if (is_other_zero(bench, spec, sum))
		return;
	set_checksum(&summed, sum);
	free(expect_equal(bench, dir, &summed));
}

// The same frame with the checksums that are about to become nothing, and others at the edges.
static void expect_edges_equal(struct fast_bench *bench, enum flow_dir dir,
			       const struct frame_spec *spec)
{
	static const uint16_t edges[] = {0, 1, 0xfffe, 0xffff};
	uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	frame_build(spec, frame, &vnet);
	struct mem_frame *sent = expect_equal(bench, dir, spec);
	uint32_t difference = checksum_of(spec, frame) + (0xffffU ^ checksum_of(spec, sent->bytes));
	uint16_t to_zero = (uint16_t)((difference & 0xffff) + (difference >> 16));
	free(sent);
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		expect_sum_equal(bench, dir, spec, edges[i]);
		expect_sum_equal(bench, dir, spec, (uint16_t)(to_zero + edges[i]));
	}
}

static void expect_flow_equal(struct fast_bench *bench, uint32_t number, uint8_t proto, bool is_v6)
{
	struct fast_lab_client client = fast_lab_client(&bench->lab, number, proto, is_v6);
	fast_lab_establish(&bench->lab, &client);
	for (int dir = 0; dir < (bench->lab.is_dsr ? 1 : N_FLOW_DIRS); dir++) {
		for (int i = 0; i < N_FRAMES; i++) {
			struct frame_spec spec = random_frame(&client, (enum flow_dir)dir);
			free(expect_equal(bench, (enum flow_dir)dir, &spec));
			if (i == 0)
				expect_edges_equal(bench, (enum flow_dir)dir, &spec);
		}
	}
}

static void expect_way_equal(enum fast_lab_way way)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct fast_bench bench;
	fast_bench_open(&bench, way);
	random_state = way + 1;
	for (uint32_t i = 0; i < N_FLOWS; i++) {
		for (unsigned kind = 0; kind < 4; kind++)
			expect_flow_equal(&bench, random_below(1U << 16), protos[kind % 2],
					  kind / 2);
	}
	fast_bench_close(&bench);
}

Test(fast_program, translates_both_ways_as_the_worker_does)
{
	expect_way_equal(FAST_LAB_NAT);
}

Test(fast_program, translates_for_backends_that_answer_past_us_as_the_worker_does)
{
	expect_way_equal(FAST_LAB_DSR_NAT);
}

Test(fast_program, sends_on_unchanged_as_the_worker_does)
{
	expect_way_equal(FAST_LAB_DSR_L2);
}

// Ethernet fills short frames up, with whatever there is.
Test(fast_program, padding_is_neither_looked_at_nor_passed_on)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (uint8_t kind = 0; kind < 4; kind++) {
		struct fast_run run;
		struct fast_lab_client client =
			fast_lab_client(&bench.lab, kind, kind % 2 ? IPPROTO_TCP : IPPROTO_UDP,
					kind / 2);
		fast_lab_establish(&bench.lab, &client);
		struct frame_spec spec = random_frame(&client, FROM_CLIENT);
		spec.payload_len = 1;
		spec.padding = 11;
		struct mem_frame *expected = fast_lab_push(&bench.lab, SCENE_FRONT, &spec);
		uint64_t before = fast_lab_entry(&bench.lab, &client, FROM_CLIENT)->bytes;
		fast_bench_run(&bench, SCENE_FRONT, &spec, &run);
		cr_assert_eq(run.forward, FAST_REDIRECTED);
		cr_expect_eq(run.len, expected->len);
		cr_expect_arr_eq(run.frame, expected->bytes, expected->len);
		uint64_t counted = fast_lab_entry(&bench.lab, &client, FROM_CLIENT)->bytes - before;
		cr_expect_eq(counted, expected->len - ETH_HEADER_LEN);
		free(expected);
	}
	fast_bench_close(&bench);
}

// ---- counting -----------------------------------------------------------------------------------

// What a segment does to an entry; numbers are from those expected.
static const struct {
	const char *name;
	uint32_t next; // before
	uint32_t acked;
	int64_t seq;
	int64_t ack;
	uint32_t len;
	uint32_t next_by; // what they grow by
	uint32_t acked_by;
	bool is_known;
} segments[] = {
	{"data", 1000, 5000, 0, 0, 100, 100, 0, true},
	{"an acknowledgement", 1000, 5000, 0, 300, 0, 0, 300, true},
	{"sent before", 1000, 5000, -500, -10, 100, 0, 0, true},
	{"overlaps", 1000, 5000, -50, 0, 100, 50, 0, true},
	{"after a gap", 1000, 5000, 2000, 0, 100, 2100, 0, true},
	{"as far as can be", 1 << 30, 5000, FAST_SEQ_WINDOW, 1 << 30, 0, FAST_SEQ_WINDOW, 1 << 30,
	 true},
	{"as far back", 1 << 30, 1 << 30, -FAST_SEQ_WINDOW, 1 << 29, 0, 0, 1 << 29, true},
	{"too far, but it acknowledges", 1000, 5000, FAST_SEQ_WINDOW + 1, 1, 10,
	 FAST_SEQ_WINDOW + 11, 1, true},
	{"too far back, but it acknowledges", 1 << 30, 5000, -FAST_SEQ_WINDOW - 1, 1, 10, 0, 1,
	 true},
	{"both too far", 1000, 5000, FAST_SEQ_WINDOW + 1, FAST_SEQ_WINDOW + 1, 10, 0, 0, false},
	{"both too far back", 1 << 30, 1 << 30, -FAST_SEQ_WINDOW - 1, -FAST_SEQ_WINDOW - 1, 10, 0,
	 0, false},
	{"wraps around", UINT32_MAX - 10, UINT32_MAX - 20, 0, 50, 100, 100, 50, true},
	{"has wrapped around", 10, 20, -30, -40, 5, 0, 0, true},
};

static void expect_counted(struct fast_bench *bench, struct fast_lab_client *client, int is_v6,
			   size_t i)
{
	struct fast_entry *entry = fast_lab_entry(&bench->lab, client, FROM_CLIENT);
	struct frame_spec spec = client->specs[FROM_CLIENT];
	struct fast_run run;
	entry->next = segments[i].next;
	entry->acked = segments[i].acked;
	struct fast_entry before = *entry;
	spec.flags = TCP_FLAG_ACK;
	spec.seq = segments[i].next + (uint32_t)segments[i].seq;
	spec.ack = segments[i].acked + (uint32_t)segments[i].ack;
	spec.payload_len = segments[i].len;
	add_tcp_options(&spec);
	uint32_t ip_len = (is_v6 ? 40U : 20U) + 20U + spec.tcp_options.len + spec.payload_len;
	fast_bench_run(bench, SCENE_FRONT, &spec, &run);
	cr_assert_eq(run.forward, FAST_REDIRECTED);
	cr_expect_eq(entry->packets - before.packets, 1);
	cr_expect_eq(entry->bytes - before.bytes, ip_len);
	cr_expect_eq(entry->next - before.next, segments[i].next_by, "%s", segments[i].name);
	cr_expect_eq(entry->acked - before.acked, segments[i].acked_by, "%s", segments[i].name);
	cr_expect_eq(entry->n_known - before.n_known, segments[i].is_known, "%s", segments[i].name);
}

Test(fast_program, counts_segments_as_the_flow_table_does)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab_client client = fast_lab_client(&bench.lab, 1, IPPROTO_TCP, is_v6);
		fast_lab_establish(&bench.lab, &client);
		for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
			expect_counted(&bench, &client, is_v6, i);
	}
	fast_bench_close(&bench);
}

Test(fast_program, every_datagram_counts)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab_client client = fast_lab_client(&bench.lab, 1, IPPROTO_UDP, is_v6);
		fast_lab_establish(&bench.lab, &client);
		struct frame_spec spec = client.specs[FROM_BACKEND];
		const struct fast_entry *entry = fast_lab_entry(&bench.lab, &client, FROM_BACKEND);
		for (spec.payload_len = 0; spec.payload_len < 30; spec.payload_len += 10) {
			struct fast_entry before = *entry;
			struct fast_run run;
			fast_bench_run(&bench, SCENE_BACK, &spec, &run);
			cr_assert_eq(run.forward, FAST_REDIRECTED);
			cr_expect_eq(entry->packets - before.packets, 1);
			cr_expect_eq(entry->n_known - before.n_known, 1);
			cr_expect_eq(entry->bytes - before.bytes,
				     (is_v6 ? 40U : 20U) + 8U + spec.payload_len);
		}
	}
	fast_bench_close(&bench);
}

// The worker's own way and the kernel's, mixed at random, lead to the same sums as one alone.
Test(fast_program, what_the_kernel_has_counted_is_what_the_worker_would_have)
{
	enum { N = 300 };
	struct fast_bench bench;
	struct fast_lab alone;
	struct fast_lab_params none = {.has_none = true};
	random_state = 7;
	fast_bench_open(&bench, FAST_LAB_NAT);
	fast_lab_init(&alone, FAST_LAB_NAT);
	fast_lab_open(&alone, &none);
	struct fast_lab_client client = fast_lab_client(&bench.lab, 1, IPPROTO_TCP, true);
	struct fast_lab_client twin = client;
	fast_lab_establish(&bench.lab, &client);
	fast_lab_establish(&alone, &twin);
	for (int i = 0; i < N; i++) {
		struct fast_run run;
		enum flow_dir dir = (enum flow_dir)random_below(2);
		uint32_t link = dir == FROM_CLIENT ? SCENE_FRONT : SCENE_BACK;
		struct frame_spec spec = random_frame(&client, dir);
		uint32_t off_by = random_below(10) ? 0 : 1U << 30; // or it is nobody's guess
		spec.seq = client.next[dir] + off_by;
		spec.ack = client.next[!dir] + off_by;
		client.next[dir] += spec.payload_len;
		free(fast_lab_push(&alone, link, &spec));
		if (random_below(5))
			fast_bench_run(&bench, link, &spec, &run);
		else
			free(fast_lab_push(&bench.lab, link, &spec));
	}
	fast_path_catch_up_all(&bench.lab.pump.worker);
	const struct flow *flow = fast_lab_flow(&bench.lab, &client);
	const struct flow *other = fast_lab_flow(&alone, &twin);
	cr_expect_eq(flow->bytes_tx, other->bytes_tx);
	cr_expect_eq(flow->bytes_rx, other->bytes_rx);
	cr_expect_eq(flow->client_next, other->client_next);
	cr_expect_eq(flow->backend_next, other->backend_next);
	fast_lab_close(&alone);
	fast_bench_close(&bench);
}
