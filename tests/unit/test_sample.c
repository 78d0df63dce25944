// SPDX-License-Identifier: Apache-2.0
// Samples of what is dropped: the packets that came, in full up to their limit, and no others.
#include <criterion/criterion.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../support/lib/frame.h"
#include "../support/lib/rig.h"
#include "culvert/packet/query.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CLIENT = 0x0a030001, VIP = 0x0a010064, AWAIT_MS = 60000, SPACE = 2048 };

static const int layouts[] = {WORKERS_INLINE, 1, 3};

static void start(struct rig *rig, struct scene *scene, int workers)
{
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene->config->passthrough.workers = workers;
	scene_build(scene);
	rig_start(rig, scene);
}

static void stop(struct rig *rig, struct scene *scene)
{
	cr_expect_null(rig_stop(rig));
	scene_fini(scene);
}

static struct frame_spec segment(uint8_t flags)
{
	return (struct frame_spec){
		.src = frame_v4(CLIENT),
		.dst = frame_v4(VIP),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = 80,
		.flags = flags,
		.seq = 100,
	};
}

static uint32_t push(struct rig *rig, const struct frame_spec *spec, uint8_t *frame)
{
	struct virtio_net_hdr vnet;
	struct frame_spec sent = *spec;
	sent.dst_mac = rig->scene->link_macs[SCENE_FRONT];
	uint32_t len = frame_build(&sent, frame, &vnet);
	rig_push(rig, SCENE_FRONT, frame, len, &vnet);
	return len;
}

static void disarm(struct rig *rig, struct sample *sample)
{
	while (!engine_disarm(rig->engine, sample))
		sched_yield();
}

// A capture file of a disarmed sample, opened for reading.
static pcap_t *read_back(const struct sample *sample, char **bytes)
{
	char reason[PCAP_ERRBUF_SIZE];
	size_t size = 0;
	cr_assert_eq(sample_to_pcap(sample, bytes, &size), 0);
	FILE *file = fmemopen(*bytes, size, "rb");
	pcap_t *pcap = file ? pcap_fopen_offline(file, reason) : NULL;
	cr_assert_not_null(pcap, "%s", reason);
	cr_expect_eq(pcap_datalink(pcap), DLT_EN10MB);
	return pcap;
}

static unsigned count_frames(const struct sample *sample)
{
	char *bytes;
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned n = 0;
	pcap_t *pcap = read_back(sample, &bytes);
	while (pcap_next_ex(pcap, &header, &data) == 1)
		n++;
	pcap_close(pcap);
	free(bytes);
	return n;
}

static void expect_frame(const struct sample *sample, const uint8_t *frame, uint32_t len)
{
	char *bytes;
	struct pcap_pkthdr *header;
	const u_char *data;
	uint32_t kept = len < SAMPLE_BYTES ? len : (uint32_t)SAMPLE_BYTES;
	pcap_t *pcap = read_back(sample, &bytes);
	cr_assert_eq(pcap_next_ex(pcap, &header, &data), 1);
	cr_expect_eq(header->len, len);
	cr_expect_eq(header->caplen, kept);
	cr_expect_gt(header->ts.tv_sec, 1000000000);
	cr_expect_arr_eq(data, frame, kept);
	cr_expect_neq(pcap_next_ex(pcap, &header, &data), 1, "no more than one");
	pcap_close(pcap);
	free(bytes);
}

// ---- each way of being dropped -----------------------------------------------------------------

enum quirk { QUIRK_NONE, QUIRK_NOBODY_UP, QUIRK_NO_ROUTE, QUIRK_CUT_OFF, QUIRK_BAD_CHECKSUM };

static const struct {
	enum verdict reason;
	uint8_t flags;
	uint8_t ttl;
	uint16_t payload;
	enum quirk quirk;
} cases[] = {
	{VERDICT_DROP_NO_FLOW, TCP_FLAG_ACK, 64, 0, QUIRK_NONE},    // answered by a reset
	{VERDICT_DROP_NO_FLOW, TCP_FLAG_ACK, 64, 1000, QUIRK_NONE}, // longer than what is kept
	{VERDICT_DROP_NO_BACKEND, TCP_FLAG_SYN, 64, 0, QUIRK_NOBODY_UP},
	{VERDICT_DROP_NO_ROUTE, TCP_FLAG_SYN, 64, 0, QUIRK_NO_ROUTE}, // silent
	{VERDICT_DROP_TTL_EXPIRED, TCP_FLAG_SYN, 1, 0, QUIRK_NONE},   // answered by ICMP
	{VERDICT_DROP_BAD_TCP_FLAGS, TCP_FLAG_SYN | TCP_FLAG_FIN, 64, 0, QUIRK_NONE}, // in capture
	{VERDICT_DROP_TRUNCATED, TCP_FLAG_SYN, 64, 0, QUIRK_CUT_OFF},
	{VERDICT_DROP_BAD_IP_CHECKSUM, TCP_FLAG_SYN, 64, 0, QUIRK_BAD_CHECKSUM},
};

static void prepare(struct rig *rig, enum quirk quirk)
{
	static const struct snapshot_hop nowhere = {.state = HOP_NO_ROUTE};
	if (quirk == QUIRK_NOBODY_UP)
		registry_set_up(rig->scene->registry, 0, false);
	if (quirk == QUIRK_NO_ROUTE)
		registry_set_hop(rig->scene->registry, 0, &nowhere, 1);
	rig_publish(rig);
}

static uint32_t push_case(struct rig *rig, size_t k, uint8_t *frame)
{
	struct virtio_net_hdr vnet;
	struct frame_spec spec = segment(cases[k].flags);
	spec.ttl = cases[k].ttl;
	spec.payload_len = cases[k].payload;
	spec.dst_mac = rig->scene->link_macs[SCENE_FRONT];
	uint32_t len = frame_build(&spec, frame, &vnet);
	if (cases[k].quirk == QUIRK_CUT_OFF)
		len -= 10;
	if (cases[k].quirk == QUIRK_BAD_CHECKSUM)
		frame[24] ^= 1;
	rig_push(rig, SCENE_FRONT, frame, len, &vnet);
	return len;
}

static void run_case(int workers, size_t k)
{
	struct scene scene;
	struct rig rig;
	uint8_t frame[SPACE];
	int wake_fd = eventfd(0, EFD_NONBLOCK);
	struct pollfd bell = {.fd = wake_fd, .events = POLLIN};
	start(&rig, &scene, workers);
	prepare(&rig, cases[k].quirk);
	struct sample *sample = sample_create(cases[k].reason, 1, wake_fd);
	cr_assert_not_null(sample);
	push_case(&rig, k, frame); // before it is armed
	rig_settle(&rig);
	engine_arm(rig.engine, sample);
	cr_expect_not(sample_is_full(sample));
	uint32_t len = push_case(&rig, k, frame);
	push_case(&rig, k, (uint8_t[SPACE]){0}); // more than there is room for
	cr_assert_eq(poll(&bell, 1, AWAIT_MS), 1, "case %zu, %d workers", k, workers);
	cr_expect(sample_is_full(sample));
	disarm(&rig, sample);
	expect_frame(sample, frame, len);
	rig_settle(&rig);
	sample_destroy(sample);
	stop(&rig, &scene);
	close(wake_fd);
}

Test(sample, has_the_packet_as_it_came, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		for (size_t k = 0; k < COUNT(cases); k++)
			run_case(layouts[i], k);
	}
}

Test(sample, has_what_the_device_refused, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		uint8_t frame[SPACE];
		struct frame_spec syn = segment(TCP_FLAG_SYN);
		start(&rig, &scene, layouts[i]);
		struct sample *sample = sample_create(VERDICT_DROP_TX_FULL, 5, -1);
		engine_arm(rig.engine, sample);
		mem_io_refuse(rig.io, VERDICT_DROP_TX_FULL);
		push(&rig, &syn, frame);
		rig_settle(&rig);
		disarm(&rig, sample);
		cr_expect_eq(count_frames(sample), 1);
		sample_destroy(sample);
		stop(&rig, &scene);
	}
}

Test(sample, has_nothing_that_was_dropped_for_another_reason_or_forwarded, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		uint8_t frame[SPACE];
		struct frame_spec syn = segment(TCP_FLAG_SYN);
		struct frame_spec stray = segment(TCP_FLAG_ACK);
		stray.src_port = 2000;
		start(&rig, &scene, layouts[i]);
		struct sample *sample = sample_create(VERDICT_DROP_NO_BACKEND, 5, -1);
		engine_arm(rig.engine, sample);
		push(&rig, &syn, frame);
		push(&rig, &stray, frame);
		rig_settle(&rig);
		disarm(&rig, sample);
		cr_expect_eq(count_frames(sample), 0);
		sample_destroy(sample);
		stop(&rig, &scene);
	}
}

// ---- many, and again ---------------------------------------------------------------------------

struct source {
	struct rig *rig;
	_Atomic bool is_stopping; // w: the test, r: the source
	uint64_t n_pushed;        // read after the join
};

// Strays from many clients, so that all workers drop at a time.
static void *run_source(void *arg)
{
	struct source *source = arg;
	uint8_t frame[SPACE];
	struct virtio_net_hdr vnet;
	for (uint32_t i = 0; !atomic_load(&source->is_stopping); i++) {
		struct frame_spec spec =
			segment(i % 5 ? TCP_FLAG_ACK : TCP_FLAG_SYN | TCP_FLAG_FIN);
		spec.src = frame_v4(CLIENT + i % 1000);
		spec.dst_mac = source->rig->scene->link_macs[SCENE_FRONT];
		uint32_t len = frame_build(&spec, frame, &vnet);
		mem_io_push(source->rig->io, SCENE_FRONT, frame, len, &vnet);
		source->n_pushed++;
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

Test(sample, is_taken_again_and_again_under_traffic, .timeout = 120)
{
	static const enum verdict reasons[] = {VERDICT_DROP_NO_FLOW, VERDICT_DROP_BAD_TCP_FLAGS};
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		pthread_t thread;
		int wake_fd = eventfd(0, EFD_NONBLOCK);
		struct pollfd bell = {.fd = wake_fd, .events = POLLIN};
		start(&rig, &scene, layouts[i]);
		mem_io_forget_sent(rig.io);
		struct source source = {.rig = &rig};
		cr_assert_eq(pthread_create(&thread, NULL, run_source, &source), 0);
		for (uint32_t round = 0; round < 60; round++) {
			uint64_t rung;
			uint32_t n = 1 + round % 7 * 10;
			struct sample *sample = sample_create(reasons[round % 2], n, wake_fd);
			engine_arm(rig.engine, sample);
			bool is_awaited = round % 3 != 0;
			// A bell that is rung late is about the sample before.
			while (is_awaited && !sample_is_full(sample)) {
				cr_assert_eq(poll(&bell, 1, AWAIT_MS), 1);
				(void)!read(wake_fd, &rung, sizeof(rung));
			}
			disarm(&rig, sample);
			if (is_awaited)
				cr_expect_eq(count_frames(sample), n);
			else
				cr_expect_leq(count_frames(sample), n);
			sample_destroy(sample);
		}
		atomic_store(&source.is_stopping, true);
		pthread_join(thread, NULL);
		rig.n_pushed = source.n_pushed;
		rig_settle(&rig);
		stop(&rig, &scene);
		close(wake_fd);
	}
}

Test(sample, may_be_armed_when_the_engine_stops, .timeout = 120)
{
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct scene scene;
		struct rig rig;
		uint8_t frame[SPACE];
		struct frame_spec stray = segment(TCP_FLAG_ACK);
		start(&rig, &scene, layouts[i]);
		struct sample *sample = sample_create(VERDICT_DROP_NO_FLOW, 5, -1);
		engine_arm(rig.engine, sample);
		push(&rig, &stray, frame);
		rig_settle(&rig);
		stop(&rig, &scene);
		sample_destroy(sample);
	}
}
