// SPDX-License-Identifier: Apache-2.0
// The store of fragments against a plain model of it, with random orders, overlaps, losses and
// time; and its bounds. What becomes of single datagrams is in tests/golden.
#include "packet/fragments.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/scene.h"
#include "culvert/base/clock.h"

enum { DATA_AT = 34, FRAME_LEN = 1514, CLIENT = 0x0a01000b, VIP = 0x0a010064 };

struct bench {
	struct scene scene;
	struct snapshot *snapshot;
	struct fragments fragments;
	uint64_t now_ns;
};

static void bench_init(struct bench *bench, uint32_t n_datagrams, uint32_t n_packets,
		       uint32_t n_bytes)
{
	struct scene *scene = &bench->scene;
	struct err err = {0};
	scene_init(scene, "10.2.0.1");
	size_t dns = scene_add_pool(scene, "dns", IPPROTO_UDP);
	scene_add_backend(scene, dns, "one", "10.2.0.21:5353", 1);
	scene_add_frontend(scene, "10.1.0.100:53", dns, HASH_5_TUPLE);
	scene_build(scene);
	struct fragments_params params = {
		.secret = 42,
		.n_datagrams = n_datagrams,
		.n_packets = n_packets,
		.n_bytes = n_bytes,
	};
	bench->snapshot = scene_snapshot(scene);
	bench->now_ns = 1000 * NS_PER_SEC;
	cr_assert_eq(fragments_init(&bench->fragments, &params, &err), 0, "%s", err.message);
}

static void bench_fini(struct bench *bench)
{
	fragments_fini(&bench->fragments);
	snapshot_destroy(bench->snapshot);
	scene_fini(&bench->scene);
}

// A fragment as steering leaves it, without a frame: the store reads none.
static struct packet *make(uint32_t client, uint32_t id, uint32_t at, uint32_t len, bool has_more)
{
	struct packet *packet = calloc(1, sizeof(*packet));
	cr_assert_not_null(packet);
	packet->len = DATA_AT + len;
	packet->is_fragment = true;
	packet->view = (struct frame_view){
		.src = {.addr = ip_addr_from_v4(htonl(client)), .proto = IPPROTO_UDP},
		.dst = {.addr = ip_addr_from_v4(htonl(VIP)), .proto = IPPROTO_UDP},
		.l3 = ETH_HEADER_LEN,
		.frame_len = DATA_AT + len,
		.fragment = {true, has_more, (uint16_t)at, DATA_AT, id},
	};
	if (at == 0) {
		packet->view.src.port_be = htons((uint16_t)client);
		packet->view.dst.port_be = htons(53);
		packet->worker = (uint8_t)client;
		packet->hash = client * 7;
	}
	return packet;
}

static bool offer(struct bench *bench, struct packet *packet)
{
	return fragments_accept(&bench->fragments, bench->snapshot, packet, bench->now_ns);
}

// The verdict that the next released packet has, which is freed.
static int next_released(struct bench *bench)
{
	struct packet *packet = fragments_next_released(&bench->fragments);
	int verdict = packet ? packet->verdict : -1;
	free(packet);
	return verdict;
}

static void forget_released(struct bench *bench)
{
	while (next_released(bench) >= 0)
		;
}

// The verdict of a fragment, -1 when it waits.
static int put(struct bench *bench, uint32_t client, uint32_t id, uint32_t at, uint32_t len,
	       bool has_more)
{
	struct packet *packet = make(client, id, at, len, has_more);
	int verdict = -1;
	if (offer(bench, packet)) {
		verdict = packet->verdict;
		free(packet);
	}
	return verdict;
}

static uint64_t held(const struct bench *bench)
{
	return counter_read(&bench->fragments.held);
}

// ---- what later ones learn ----------------------------------------------------------------------

static void check_followed(const struct packet *packet, const struct packet *first)
{
	cr_expect_eq(packet->verdict, VERDICT_NONE);
	cr_expect_eq(packet->worker, first->worker);
	cr_expect_eq(packet->hash, first->hash);
	cr_expect_eq(packet->datagram, first->datagram);
	cr_expect_eq(packet->datagram_serial, first->datagram_serial);
	cr_expect(endpoint_equal(&packet->view.src, &first->view.src));
	cr_expect(endpoint_equal(&packet->view.dst, &first->view.dst));
}

// What waited leaves with its burst, behind others that have come meanwhile.
Test(fragments, a_number_is_not_used_again_in_the_burst_that_completes_its_datagram)
{
	struct bench bench;
	bench_init(&bench, 4, 8, 1 << 20);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(put(&bench, CLIENT, 100 + i, 0, 1480, true), VERDICT_NONE);
	struct packet *early = make(CLIENT, 5, 1480, 9, false);
	struct packet *first = make(CLIENT, 5, 0, 1480, true);
	cr_expect_not(offer(&bench, early));
	cr_expect(offer(&bench, first));
	for (uint32_t i = 1; i < PACKET_BURST; i++) {
		struct packet *other = make(CLIENT, 200 + i, 0, 1480, true);
		cr_expect(offer(&bench, other));
		cr_expect_neq(other->datagram, first->datagram, "packet %u behind it", i);
		free(other);
	}
	cr_expect_eq(fragments_next_released(&bench.fragments), early);
	cr_expect_eq(early->datagram, first->datagram);
	free(early);
	free(first);
	bench_fini(&bench);
}

Test(fragments, later_ones_learn_what_the_first_one_told)
{
	struct bench bench;
	bench_init(&bench, 8, 8, 1 << 20);
	struct packet *early = make(CLIENT, 5, 1480, 1480, true);
	struct packet *first = make(CLIENT, 5, 0, 1480, true);
	struct packet *late = make(CLIENT, 5, 2960, 9, false);
	cr_expect_not(offer(&bench, early));
	cr_expect_eq(held(&bench), 1);
	cr_expect(offer(&bench, first));
	cr_expect_eq(held(&bench), 0);
	cr_assert_eq(fragments_next_released(&bench.fragments), early);
	cr_expect_null(fragments_next_released(&bench.fragments));
	check_followed(early, first);
	cr_expect(offer(&bench, late));
	check_followed(late, first);
	cr_expect_not(fragments_are_any(&bench.fragments));
	free(early);
	free(first);
	free(late);
	bench_fini(&bench);
}

Test(fragments, of_what_was_passed_the_rest_is_passed)
{
	struct bench bench;
	bench_init(&bench, 8, 8, 1 << 20);
	struct packet *first = make(CLIENT, 5, 0, 1480, true);
	first->verdict = VERDICT_PASSED;
	cr_expect_eq(put(&bench, CLIENT, 5, 1480, 80, true), -1);
	cr_expect(offer(&bench, first));
	cr_expect_eq(first->verdict, VERDICT_PASSED);
	cr_expect_eq(next_released(&bench), VERDICT_PASSED);
	cr_expect_eq(put(&bench, CLIENT, 5, 1560, 80, false), VERDICT_PASSED);
	free(first);
	bench_fini(&bench);
}

Test(fragments, a_datagram_has_source_destination_protocol_and_identification)
{
	struct bench bench;
	bench_init(&bench, 8, 8, 1 << 20);
	cr_expect_eq(put(&bench, CLIENT, 5, 1480, 80, false), -1);
	cr_expect_eq(put(&bench, CLIENT, 6, 0, 1480, true), VERDICT_NONE);
	cr_expect_eq(put(&bench, CLIENT + 1, 5, 0, 1480, true), VERDICT_NONE);
	struct packet *other = make(CLIENT, 5, 0, 1480, true);
	other->view.src.proto = other->view.dst.proto = IPPROTO_TCP;
	cr_expect(offer(&bench, other));
	free(other);
	cr_expect_eq(held(&bench), 1);
	// In IPv6 the protocol stands behind headers that only the first one may have.
	struct packet *v6 = make(CLIENT, 9, 1480, 80, false);
	v6->view.is_v6 = true;
	v6->view.src.proto = IPPROTO_DSTOPTS;
	cr_expect_not(offer(&bench, v6));
	struct packet *first = make(CLIENT, 9, 0, 1480, true);
	first->view.is_v6 = true;
	cr_expect(offer(&bench, first));
	cr_assert_eq(fragments_next_released(&bench.fragments), v6);
	cr_expect_eq(v6->view.src.proto, IPPROTO_UDP);
	free(v6);
	free(first);
	fragments_give_up(&bench.fragments);
	cr_expect_eq(next_released(&bench), VERDICT_DROP_FRAGMENT_EXPIRED);
	cr_expect_eq(held(&bench), 0);
	bench_fini(&bench);
}

Test(fragments, the_largest_datagram_comes_whole)
{
	struct bench bench;
	bench_init(&bench, 8, 128, 1 << 20);
	uint32_t n = 0;
	for (uint32_t at = 64 * 1024 - 1024; at > 0; at -= 1024, n++)
		cr_assert_eq(put(&bench, CLIENT, 5, at, at + 1024 < 65536 ? 1024 : 995,
				 at + 1024 < 65536),
			     -1);
	cr_expect_eq(put(&bench, CLIENT, 5, 0, 1024, true), VERDICT_NONE);
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(next_released(&bench), VERDICT_NONE);
	cr_expect_not(fragments_are_any(&bench.fragments));
	bench_fini(&bench);
}

// ---- bounds -------------------------------------------------------------------------------------

Test(fragments, the_oldest_datagram_makes_room)
{
	struct bench bench;
	bench_init(&bench, 4, 100, 1 << 20);
	for (uint32_t id = 0; id < 4; id++)
		cr_expect_eq(put(&bench, CLIENT, id, 1480, 80, false), -1);
	cr_expect_eq(put(&bench, CLIENT, 4, 1480, 80, false), -1);
	cr_expect_eq(next_released(&bench), VERDICT_DROP_FRAGMENT_STORE_FULL);
	cr_expect_eq(next_released(&bench), -1);
	cr_expect_eq(held(&bench), 4);
	cr_expect_eq(put(&bench, CLIENT, 1, 0, 1480, true), VERDICT_NONE);
	cr_expect_eq(next_released(&bench), VERDICT_NONE);
	fragments_give_up(&bench.fragments);
	forget_released(&bench);
	bench_fini(&bench);
}

Test(fragments, packets_and_bytes_are_bounded)
{
	static const struct {
		uint32_t n_packets;
		uint32_t n_bytes;
	} bounds[] = {{10, 1 << 20}, {1000, 10 * (DATA_AT + 1480)}};
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		struct bench bench;
		bench_init(&bench, 64, bounds[i].n_packets, bounds[i].n_bytes);
		for (uint32_t id = 0; id < 10; id++)
			cr_expect_eq(put(&bench, CLIENT, id, 1480, 1480, true), -1);
		cr_expect_eq(put(&bench, CLIENT, 10, 1480, 1480, true), -1);
		cr_expect_eq(next_released(&bench), VERDICT_DROP_FRAGMENT_STORE_FULL);
		cr_expect_eq(next_released(&bench), -1);
		// One that nobody is older than makes no room for itself.
		cr_expect_eq(put(&bench, CLIENT, 1, 2960, 1480, true),
			     VERDICT_DROP_FRAGMENT_STORE_FULL);
		cr_expect_eq(held(&bench), 10);
		fragments_give_up(&bench.fragments);
		for (uint32_t n = 0; n < 10; n++)
			cr_expect_eq(next_released(&bench), VERDICT_DROP_FRAGMENT_EXPIRED);
		cr_expect_eq(held(&bench), 0);
		cr_expect_eq(bench.fragments.n_bytes, 0);
		bench_fini(&bench);
	}
}

Test(fragments, one_datagram_has_its_share_and_no_more)
{
	struct bench bench;
	bench_init(&bench, 8, 1000, 1 << 20);
	uint32_t at = 8;
	for (; at <= FRAGMENTS_PACKETS_EACH * 8; at += 8)
		cr_assert_eq(put(&bench, CLIENT, 5, at, 8, true), -1);
	cr_expect_eq(put(&bench, CLIENT, 5, at, 8, true), VERDICT_DROP_FRAGMENT_STORE_FULL);
	for (uint32_t i = 0; i < FRAGMENTS_PACKETS_EACH; i++)
		cr_assert_eq(next_released(&bench), VERDICT_DROP_FRAGMENT_STORE_FULL);
	cr_expect_eq(put(&bench, CLIENT, 5, 0, 8, true), VERDICT_DROP_FRAGMENT_STORE_FULL);
	cr_expect_eq(held(&bench), 0);
	bench_fini(&bench);
}

Test(fragments, a_flood_of_trains_costs_others_nothing)
{
	struct bench bench;
	bench_init(&bench, FRAGMENTS_DATAGRAMS, FRAGMENTS_PACKETS, FRAGMENTS_BYTES);
	for (uint32_t i = 0; i < 200000; i++) {
		(void)put(&bench, CLIENT + i, i, i % 2 * 1480, 1480, true);
		forget_released(&bench);
		if (i % 100)
			continue;
		// A datagram of somebody else's comes by, the first fragment last.
		cr_assert_eq(put(&bench, CLIENT - 1, i, 1480, 9, false), -1);
		forget_released(&bench); // who has made room for it
		cr_assert_eq(put(&bench, CLIENT - 1, i, 0, 1480, true), VERDICT_NONE);
		cr_assert_eq(next_released(&bench), VERDICT_NONE);
	}
	cr_expect_leq(held(&bench), FRAGMENTS_PACKETS);
	bench.now_ns += 6 * NS_PER_SEC;
	fragments_expire(&bench.fragments, bench.now_ns);
	cr_expect_eq(held(&bench), 0);
	cr_expect_not(fragments_are_any(&bench.fragments));
	forget_released(&bench);
	bench_fini(&bench);
}

// ---- the model ----------------------------------------------------------------------------------

enum {
	N_IDS = 6,
	N_UNITS = 40,
	N_STEPS = 400000,
	MODEL_SECONDS = 5,
};

struct model {
	bool is_known;
	bool is_followed;
	bool is_given_up;
	bool seen[N_UNITS + 8];
	uint32_t n_units; // 0: not known
	uint32_t n_held;
	uint64_t expires_ns;
};

struct outcome {
	int verdict; // -1: waits
	uint32_t n_released;
	int released_as;
};

static bool is_contradiction(const struct model *model, uint32_t start, uint32_t end, bool is_last)
{
	uint32_t n = 0;
	for (uint32_t i = start; i < end; i++)
		n += model->seen[i];
	if (n && n != end - start)
		return true;
	if (model->n_units && (end > model->n_units || (is_last && end != model->n_units)))
		return true;
	for (uint32_t i = end; is_last && i < N_UNITS + 8; i++) {
		if (model->seen[i])
			return true;
	}
	return false;
}

static bool is_whole(const struct model *model)
{
	for (uint32_t i = 0; i < model->n_units; i++) {
		if (!model->seen[i])
			return false;
	}
	return model->n_units != 0;
}

static struct outcome model_put(struct model *model, uint32_t start, uint32_t end, bool is_last,
				uint64_t now_ns)
{
	struct outcome outcome = {.verdict = VERDICT_NONE, .released_as = VERDICT_NONE};
	if (!model->is_known)
		*model = (struct model){.is_known = true,
					.expires_ns = now_ns + MODEL_SECONDS * NS_PER_SEC};
	if (model->is_given_up) {
		outcome.verdict = VERDICT_DROP_FRAGMENT_OVERLAP;
	} else if (is_contradiction(model, start, end, is_last)) {
		outcome = (struct outcome){VERDICT_DROP_FRAGMENT_OVERLAP, model->n_held,
					   VERDICT_DROP_FRAGMENT_OVERLAP};
		model->is_given_up = true;
		model->n_held = 0;
		model->expires_ns = now_ns + MODEL_SECONDS * NS_PER_SEC;
	} else if (model->seen[start]) {
		outcome.verdict = VERDICT_DROP_FRAGMENT_DUPLICATE;
	} else {
		for (uint32_t i = start; i < end; i++)
			model->seen[i] = true;
		model->n_units = is_last ? end : model->n_units;
		if (start == 0) {
			outcome.n_released = model->n_held;
			model->n_held = 0;
			model->is_followed = true;
			model->expires_ns = now_ns + MODEL_SECONDS * NS_PER_SEC;
		} else if (!model->is_followed) {
			model->n_held++;
			outcome.verdict = -1;
		}
		if (model->is_followed && is_whole(model))
			model->is_known = false;
	}
	return outcome;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void check_released(struct bench *bench, uint32_t n, int verdict, uint32_t step)
{
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(next_released(bench), verdict, "step %u", step);
	cr_assert_eq(next_released(bench), -1, "step %u", step);
}

static void pass_time(struct bench *bench, struct model *models, uint32_t step)
{
	uint32_t n_expired = 0;
	for (uint32_t id = 0; id < N_IDS; id++) {
		if (!models[id].is_known || models[id].expires_ns > bench->now_ns)
			continue;
		n_expired += models[id].n_held;
		models[id].is_known = false;
	}
	fragments_expire(&bench->fragments, bench->now_ns);
	check_released(bench, n_expired, VERDICT_DROP_FRAGMENT_EXPIRED, step);
}

static void step_model(struct bench *bench, struct model *models, uint32_t *state, uint32_t step)
{
	// Mostly pieces of a regular cut, so that some datagrams come whole, and some that fit
	// none.
	uint32_t id = next_random(state) % N_IDS;
	uint32_t start = next_random(state) % 4 * 10;
	uint32_t n = 10;
	bool is_last = start == 30;
	if (next_random(state) % 16 == 0) {
		start += next_random(state) % 8;
		n = 1 + next_random(state) % 7;
		is_last = next_random(state) % 4 == 0;
	}
	uint32_t len = n * 8 - (is_last ? next_random(state) % 8 : 0);
	struct outcome expected = model_put(&models[id], start, start + n, is_last, bench->now_ns);
	int verdict = put(bench, CLIENT, id, start * 8, len, !is_last);
	cr_assert_eq(verdict, expected.verdict, "step %u: expected %d, got %d", step,
		     expected.verdict, verdict);
	check_released(bench, expected.n_released, expected.released_as, step);
	uint64_t n_held = 0;
	for (uint32_t i = 0; i < N_IDS; i++)
		n_held += models[i].is_known ? models[i].n_held : 0;
	cr_assert_eq(held(bench), n_held, "step %u", step);
}

Test(fragments, do_as_the_model_does)
{
	struct bench bench;
	struct model models[N_IDS] = {0};
	uint32_t state = 1;
	bench_init(&bench, 16, 1000, 1 << 20);
	for (uint32_t step = 0; step < N_STEPS; step++) {
		step_model(&bench, models, &state, step);
		if (next_random(&state) % 8)
			continue;
		bench.now_ns += next_random(&state) % 2000 * NS_PER_MS;
		pass_time(&bench, models, step);
	}
	bench.now_ns += 3600 * NS_PER_SEC;
	pass_time(&bench, models, N_STEPS);
	cr_expect_not(fragments_are_any(&bench.fragments));
	bench_fini(&bench);
}
