// SPDX-License-Identifier: Apache-2.0
// What is not ordinary is culvert's: the programs of the fast path leave it alone, as it is.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fast_bench.h"

enum {
	IP = ETH_HEADER_LEN,
	TCP_OFFSET_BYTE = 12, // from the start of the header
	TCP_FLAGS_BYTE = 13,
	N_NOTE = 5,
	MTU = 1500,
};

static struct fast_lab_client establish(struct fast_bench *bench, uint32_t number, uint8_t proto,
					bool is_v6)
{
	struct fast_lab_client client = fast_lab_client(&bench->lab, number, proto, is_v6);
	fast_lab_establish(&bench->lab, &client);
	return client;
}

static struct frame_spec plain_of(const struct fast_lab_client *client, enum flow_dir dir)
{
	struct frame_spec spec = client->specs[dir];
	spec.flags = TCP_FLAG_ACK;
	spec.seq = client->next[dir];
	spec.ack = client->next[!dir];
	spec.payload_len = 100;
	return spec;
}

static bool is_taken_at(const struct fast_bench *bench, uint32_t link,
			const struct frame_spec *spec)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct fast_run run;
	uint32_t len = frame_build(spec, frame, &vnet);
	fast_bench_run(bench, link, spec, &run);
	if (run.divert == FAST_TO_NOBODY) {
		cr_assert_eq(run.forward, FAST_REDIRECTED);
		return true;
	}
	cr_assert_eq(run.divert, FAST_TO_CULVERT);
	cr_assert_eq(run.forward, FAST_LEFT_ALONE);
	cr_assert_eq(run.len, len);
	cr_assert_arr_eq(run.frame, frame, len);
	return false;
}

static bool is_taken(const struct fast_bench *bench, const struct frame_spec *spec)
{
	return is_taken_at(bench, SCENE_FRONT, spec);
}

static void poke(struct frame_spec *spec, uint32_t at, uint32_t value)
{
	spec->pokes[spec->n_pokes++] = (struct frame_poke){(uint16_t)at, (uint8_t)value};
}

// The IPv4 header's checksum is right again after its word at `at` has become `value`.
static void poke_ip_word(struct frame_spec *spec, uint32_t at, uint16_t value)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	frame_build(spec, frame, &vnet);
	frame[IP + at] = (uint8_t)(value >> 8);
	frame[IP + at + 1] = (uint8_t)value;
	frame[IP + IP_CSUM_OFFSET] = frame[IP + IP_CSUM_OFFSET + 1] = 0;
	uint16_t sum = (uint16_t)~frame_plain_sum(frame + IP, IP_HEADER_MIN, 0);
	poke(spec, IP + at, value >> 8);
	poke(spec, IP + at + 1, value);
	poke(spec, IP + IP_CSUM_OFFSET, sum >> 8);
	poke(spec, IP + IP_CSUM_OFFSET + 1, sum);
}

// ---- headers ------------------------------------------------------------------------------------

Test(fast_program_plain, segments_that_could_change_a_connection_are_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, is_v6);
		for (unsigned flags = 0; flags < 256; flags++) {
			struct frame_spec spec = plain_of(&client, FROM_CLIENT);
			spec.flags = (uint8_t)flags;
			bool is_plain = (flags & TCP_FLAG_ACK) &&
					!(flags & (TCP_FLAG_SYN | TCP_FLAG_FIN | TCP_FLAG_RST));
			cr_expect_eq(is_taken(&bench, &spec), is_plain, "%x", flags);
		}
	}
	fast_bench_close(&bench);
}

Test(fast_program_plain, headers_that_contradict_their_packet_are_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		uint32_t l4 = IP + (is_v6 ? 40U : 20U);
		struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, is_v6);
		for (unsigned words = 0; words < 16; words++) {
			struct frame_spec spec = plain_of(&client, FROM_CLIENT);
			spec.payload_len = 36;
			poke(&spec, l4 + TCP_OFFSET_BYTE, words << 4);
			cr_expect_eq(is_taken(&bench, &spec), words >= 5 && words * 4 <= 56, "%u",
				     words);
		}
		client = establish(&bench, 2, IPPROTO_UDP, is_v6);
		for (int off_by = -1; off_by <= 1; off_by++) {
			struct frame_spec spec = plain_of(&client, FROM_CLIENT);
			poke(&spec, l4 + UDP_LEN_OFFSET + 1, (uint32_t)(108 + off_by));
			cr_expect_eq(is_taken(&bench, &spec), off_by == 0, "%d", off_by);
		}
	}
	fast_bench_close(&bench);
}

Test(fast_program_plain, lengths_that_contradict_their_frame_are_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client v4 = establish(&bench, 1, IPPROTO_TCP, false);
	struct fast_lab_client v6 = establish(&bench, 2, IPPROTO_TCP, true);
	struct frame_spec spec = plain_of(&v4, FROM_CLIENT);
	poke_ip_word(&spec, IP_LEN_OFFSET, 140);
	cr_expect(is_taken(&bench, &spec));
	spec = plain_of(&v4, FROM_CLIENT);
	poke_ip_word(&spec, IP_LEN_OFFSET, 141);
	cr_expect_not(is_taken(&bench, &spec), "a packet longer than its frame");
	spec = plain_of(&v4, FROM_CLIENT);
	poke_ip_word(&spec, IP_LEN_OFFSET, 39);
	cr_expect_not(is_taken(&bench, &spec), "headers longer than their packet");
	spec = plain_of(&v6, FROM_CLIENT);
	poke(&spec, IP + IPV6_LEN_OFFSET + 1, 121);
	cr_expect_not(is_taken(&bench, &spec), "a packet longer than its frame");
	spec = plain_of(&v6, FROM_CLIENT);
	poke(&spec, IP + IPV6_LEN_OFFSET + 1, 19);
	cr_expect_not(is_taken(&bench, &spec), "headers longer than their packet");
	fast_bench_close(&bench);
}

// Every length that a frame can be cut to, down to its IP header: the kernel runs nothing shorter.
Test(fast_program_plain, frames_that_end_early_are_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int kind = 0; kind < 4; kind++) {
		struct fast_lab_client client =
			establish(&bench, (uint32_t)kind, kind % 2 ? IPPROTO_TCP : IPPROTO_UDP,
				  kind / 2);
		struct frame_spec spec = plain_of(&client, FROM_CLIENT);
		spec.payload_len = 3;
		uint32_t ip_header = kind / 2 ? 40U : 20U;
		uint32_t whole = IP + ip_header + (kind % 2 ? 20U : 8U) + 3;
		cr_expect(is_taken(&bench, &spec));
		for (spec.cut_to = IP + ip_header; spec.cut_to < whole; spec.cut_to++)
			cr_expect_not(is_taken(&bench, &spec), "%u bytes", spec.cut_to);
	}
	fast_bench_close(&bench);
}

Test(fast_program_plain, what_more_than_a_rewriting_is_for_is_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	spec.ip_options = (struct frame_options){.bytes = {1, 1, 1, 1}, .len = 4};
	cr_expect_not(is_taken(&bench, &spec), "options");
	static const uint16_t fragments[] = {0, 0x2000, 1, 0x1fff, 0x6000, 0x4001, 0x8000, 0xc000};
	for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++) {
		spec = plain_of(&client, FROM_CLIENT);
		spec.fragment = fragments[i];
		cr_expect_not(is_taken(&bench, &spec), "%x", fragments[i]);
	}
	spec = plain_of(&client, FROM_CLIENT);
	spec.is_ip_sum_wrong = true;
	cr_expect_not(is_taken(&bench, &spec), "a wrong checksum");
	spec = plain_of(&client, FROM_CLIENT);
	poke_ip_word(&spec, 0, 0x5500);
	cr_expect_not(is_taken(&bench, &spec), "another version");
	spec = plain_of(&client, FROM_CLIENT);
	spec.proto = IPPROTO_ICMP;
	cr_expect_not(is_taken(&bench, &spec), "another protocol");
	spec = plain_of(&client, FROM_CLIENT);
	spec.n_vlans = 1;
	spec.vlans[0] = 10;
	cr_expect_not(is_taken(&bench, &spec), "a tag");
	cr_expect_eq(fast_lab_entry(&bench.lab, &client, FROM_CLIENT)->packets, 0);
	fast_bench_close(&bench);
}

Test(fast_program_plain, extension_headers_are_left)
{
	static const uint8_t protos[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT};
	const uint8_t padding[8] = {0, 0, 1, 4};
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, true);
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct frame_spec spec = plain_of(&client, FROM_CLIENT);
		cr_assert(frame_add_extension(&spec.extensions, protos[i], padding, 8));
		cr_expect_not(is_taken(&bench, &spec), "%u", protos[i]);
	}
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	poke(&spec, IP, 0x40);
	cr_expect_not(is_taken(&bench, &spec), "another version");
	fast_bench_close(&bench);
}

Test(fast_program_plain, what_is_at_the_end_of_its_life_is_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, is_v6);
		for (uint8_t ttl = 0; ttl < 4; ttl++) {
			struct frame_spec spec = plain_of(&client, FROM_CLIENT);
			spec.ttl = ttl;
			cr_expect_eq(is_taken(&bench, &spec), ttl > 1, "%u", ttl);
		}
	}
	fast_bench_close(&bench);
}

// ---- whose --------------------------------------------------------------------------------------

Test(fast_program_plain, only_the_flows_own_packets_are_taken)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, is_v6);
		for (int i = 0; i < 5; i++) {
			struct frame_spec spec = plain_of(&client, FROM_CLIENT);
			spec.src.bytes[15] ^= i == 0;
			spec.dst.bytes[15] ^= i == 1;
			spec.src_port ^= i == 2;
			spec.dst_port ^= i == 3;
			spec.proto = i == 4 ? IPPROTO_UDP : IPPROTO_TCP;
			cr_expect_not(is_taken(&bench, &spec), "%d", i);
		}
	}
	fast_bench_close(&bench);
}

Test(fast_program_plain, a_client_that_seems_to_be_elsewhere_is_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	for (int i = 0; i < 6; i++) {
		struct frame_spec spec = plain_of(&client, FROM_CLIENT);
		spec.src_mac.bytes[i] ^= 0x10;
		cr_expect_not(is_taken(&bench, &spec), "byte %d", i);
		// It does not matter by which way the backend's answers come.
		spec = plain_of(&client, FROM_BACKEND);
		spec.src_mac.bytes[i] ^= 0x10;
		cr_expect(is_taken_at(&bench, SCENE_BACK, &spec));
	}
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	spec.dst_mac = bench.lab.scene.link_macs[SCENE_BACK];
	cr_expect_not(is_taken_at(&bench, SCENE_BACK, &spec), "another link");
	spec = plain_of(&client, FROM_BACKEND);
	spec.dst_mac = bench.lab.scene.link_macs[SCENE_FRONT];
	cr_expect(is_taken_at(&bench, SCENE_FRONT, &spec));
	fast_bench_close(&bench);
}

Test(fast_program_plain, what_is_for_another_host_is_left)
{
	static const struct mac_addr others[] = {{{2, 0, 0, 0, 0, 0x77}},
						 {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
						 {{1, 0, 0x5e, 0, 0, 1}}};
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct frame_spec spec = plain_of(&client, FROM_CLIENT);
		spec.dst_mac = others[i];
		cr_expect_not(is_taken(&bench, &spec), "%zu", i);
	}
	fast_bench_close(&bench);
}

// IPv4 addresses in the form of IPv6 are never on a wire (RFC 4942 section 2.2), and a key of IPv4
// looks the same.
Test(fast_program_plain, a_packet_of_ipv6_with_the_addresses_of_a_flow_of_ipv4_is_left)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct fast_bench bench;
	uint32_t note[N_NOTE];
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct fast_lab_client client = establish(&bench, (uint32_t)i, protos[i], false);
		struct frame_spec v4 = plain_of(&client, FROM_CLIENT);
		struct frame_spec v6 = v4;
		v6.src.bytes[0] = 0xfd;
		uint32_t len = frame_build(&v6, frame, &vnet);
		memcpy(frame + IP + IPV6_SRC_OFFSET, v4.src.bytes, IPV6_ADDR_LEN);
		cr_expect(is_taken(&bench, &v4));
		cr_expect_eq(fast_bench_divert(&bench, SCENE_FRONT, frame, len, note),
			     FAST_TO_CULVERT);
	}
	fast_bench_close(&bench);
}

// ---- when ---------------------------------------------------------------------------------------

Test(fast_program_plain, entries_of_another_snapshot_do_not_hold)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	uint64_t version = bench.lab.pump.snapshot->version;
	cr_expect(is_taken(&bench, &spec));
	fast_program_set_version(&bench.program, version + 1);
	cr_expect_not(is_taken(&bench, &spec));
	fast_program_set_version(&bench.program, version);
	cr_expect(is_taken(&bench, &spec));
	fast_program_set_version(&bench.program, 0);
	cr_expect_not(is_taken(&bench, &spec));
	fast_bench_close(&bench);
}

Test(fast_program_plain, a_flow_that_has_left_is_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	cr_expect(is_taken(&bench, &spec));
	fast_path_leave(&bench.lab.pump.worker, client.flow);
	cr_expect_not(is_taken(&bench, &spec));
	fast_bench_close(&bench);
}

Test(fast_program_plain, what_is_too_long_for_the_way_out_is_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		uint32_t headers = is_v6 ? 60 : 40;
		struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, is_v6);
		struct frame_spec spec = plain_of(&client, FROM_CLIENT);
		spec.payload_len = MTU - headers;
		cr_expect(is_taken(&bench, &spec));
		spec.payload_len++;
		cr_expect_not(is_taken(&bench, &spec));
		// A super-frame is as long as its segments.
		spec.payload_len = 2 * (MTU - headers);
		bench.gso_size = MTU - headers;
		cr_expect(is_taken(&bench, &spec));
		bench.gso_size++;
		cr_expect_not(is_taken(&bench, &spec));
		// Its last segment may be alone.
		spec.payload_len = MTU - headers;
		cr_expect(is_taken(&bench, &spec));
		bench.gso_size = 0;
	}
	fast_bench_close(&bench);
}

Test(fast_program_plain, super_frames_of_datagrams_are_left)
{
	struct fast_bench bench;
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_UDP, false);
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	cr_expect(is_taken(&bench, &spec));
	bench.gso_size = 50;
	cr_expect_not(is_taken(&bench, &spec));
	fast_bench_close(&bench);
}

// ---- from one program to the other --------------------------------------------------------------

static int forward_with(const struct fast_bench *bench, const struct frame_spec *spec,
			const uint32_t note[N_NOTE])
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct fast_run run;
	run.len = frame_build(spec, frame, &vnet);
	memcpy(run.frame, frame, run.len);
	int code = fast_bench_forward(bench, SCENE_FRONT, note, &run);
	if (code == FAST_LEFT_ALONE)
		cr_assert_arr_eq(run.frame, frame, run.len);
	return code;
}

Test(fast_program_plain, without_the_right_note_nothing_is_forwarded)
{
	static uint8_t frame[FRAME_MAX];
	struct virtio_net_hdr vnet;
	struct fast_bench bench;
	uint32_t note[N_NOTE];
	fast_bench_open(&bench, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&bench, 1, IPPROTO_TCP, false);
	struct frame_spec spec = plain_of(&client, FROM_CLIENT);
	uint32_t len = frame_build(&spec, frame, &vnet);
	cr_assert_eq(fast_bench_divert(&bench, SCENE_FRONT, frame, len, note), FAST_TO_NOBODY);
	const struct fast_entry *entry = fast_lab_entry(&bench.lab, &client, FROM_CLIENT);
	uint32_t index = (uint32_t)(entry - bench.lab.maps.entries);
	cr_expect_eq(note[FAST_NOTE_ENTRY], entry->turn << 16 | index);
	cr_expect_neq(bench.lab.maps.control->token, 0);
	cr_expect_eq(note[FAST_NOTE_TOKEN], bench.lab.maps.control->token);

	const uint32_t none[N_NOTE] = {0};
	cr_expect_eq(forward_with(&bench, &spec, none), FAST_LEFT_ALONE);
	note[FAST_NOTE_TOKEN] ^= 2;
	cr_expect_eq(forward_with(&bench, &spec, note), FAST_LEFT_ALONE, "another token");
	note[FAST_NOTE_TOKEN] ^= 2;
	uint32_t number = note[FAST_NOTE_ENTRY];
	note[FAST_NOTE_ENTRY] = (entry->turn + 1) << 16 | index;
	cr_expect_eq(forward_with(&bench, &spec, note), FAST_LEFT_ALONE, "another flow's since");
	note[FAST_NOTE_ENTRY] = UINT32_MAX;
	cr_expect_eq(forward_with(&bench, &spec, note), FAST_LEFT_ALONE, "no such entry");
	cr_expect_eq(entry->packets, 0);
	note[FAST_NOTE_ENTRY] = number;
	cr_expect_eq(forward_with(&bench, &spec, note), FAST_REDIRECTED);
	cr_expect_eq(entry->packets, 1);
	fast_bench_close(&bench);
}
