// SPDX-License-Identifier: Apache-2.0
#include "packet/sample.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "culvert/packet/query.h"
#include "packet/plan.h"

struct sample_frame {
	struct timespec time;
	uint32_t len;
	uint32_t n_bytes; // kept
	uint8_t bytes[SAMPLE_BYTES];
};

struct sample {
	enum verdict reason;
	int wake_fd; // borrowed
	uint32_t n_max;
	_Atomic uint32_t n_left; // w: threads; each that lowers it has a frame for itself
	uint32_t n_taken;        // w, r: control; taps that it has been taken out of
	struct sample_frame frames[];
};

// ---- the threads -------------------------------------------------------------------------------

// A frame that no other thread gets, or NULL.
static struct sample_frame *claim(struct sample *sample)
{
	uint32_t n_left = atomic_load_explicit(&sample->n_left, memory_order_relaxed);
	while (n_left) {
		// Relaxed: control reads frames when it has the sample out of every tap.
		if (atomic_compare_exchange_weak_explicit(&sample->n_left, &n_left, n_left - 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return &sample->frames[sample->n_max - n_left];
	}
	return NULL;
}

// The time is that of a clock that needs no system call, and only asked for what is kept.
static void copy(struct sample_frame *frame, const struct packet *packet)
{
	clock_gettime(CLOCK_REALTIME, &frame->time);
	frame->len = packet->len;
	frame->n_bytes = packet->len < SAMPLE_BYTES ? packet->len : (uint32_t)SAMPLE_BYTES;
	memcpy(frame->bytes, packet->frame, frame->n_bytes);
}

void sample_take(struct sample_tap *tap, const struct packet *packet)
{
	static const uint64_t ring = 1;
	// Pairs with the exchange in engine_disarm() and the release in engine_arm().
	struct sample *sample = atomic_exchange_explicit(&tap->sample, NULL, memory_order_acq_rel);
	if (!sample)
		return;
	struct sample_frame *frame = claim(sample);
	if (frame)
		copy(frame, packet);
	bool is_last = frame == &sample->frames[sample->n_max - 1];
	int wake_fd = sample->wake_fd;
	atomic_store_explicit(&tap->sample, sample, memory_order_release);
	if (is_last)
		(void)!write(wake_fd, &ring, sizeof(ring));
}

// ---- control -----------------------------------------------------------------------------------

struct sample *sample_create(enum verdict reason, uint32_t n_packets, int wake_fd)
{
	struct sample *sample =
		calloc(1, sizeof(*sample) + (size_t)n_packets * sizeof(sample->frames[0]));
	if (!sample)
		return NULL;
	sample->reason = reason;
	sample->wake_fd = wake_fd;
	sample->n_max = n_packets;
	atomic_store_explicit(&sample->n_left, n_packets, memory_order_relaxed);
	return sample;
}

void sample_destroy(struct sample *sample)
{
	free(sample);
}

bool sample_is_full(const struct sample *sample)
{
	return atomic_load_explicit(&sample->n_left, memory_order_relaxed) == 0;
}

// Every thread that ends packets: capture, transmit, and workers for what they answer.
static struct sample_tap *tap_at(struct engine *engine, uint32_t i)
{
	if (i < engine->n_workers)
		return &engine->workers[i].worker.tap;
	return i == engine->n_workers ? &engine->capture.tap : &engine->transmit.tap;
}

static uint32_t n_taps(const struct engine *engine)
{
	return engine->n_workers + 2;
}

void engine_arm(struct engine *engine, struct sample *sample)
{
	for (uint32_t i = 0; i < n_taps(engine); i++) {
		struct sample_tap *tap = tap_at(engine, i);
		// Pairs with the exchange in sample_take().
		atomic_store_explicit(&tap->sample, sample, memory_order_release);
		atomic_store_explicit(&tap->reason, sample->reason, memory_order_relaxed);
	}
}

bool engine_disarm(struct engine *engine, struct sample *sample)
{
	for (uint32_t i = 0; i < n_taps(engine); i++)
		atomic_store_explicit(&tap_at(engine, i)->reason, VERDICT_NONE,
				      memory_order_relaxed);
	for (; sample->n_taken < n_taps(engine); sample->n_taken++) {
		struct sample_tap *tap = tap_at(engine, sample->n_taken);
		// Pairs with the release in sample_take(): what was copied is seen.
		if (!atomic_exchange_explicit(&tap->sample, NULL, memory_order_acq_rel))
			return false;
	}
	return true;
}

static void dump_all(const struct sample *sample, pcap_dumper_t *dumper)
{
	uint32_t n = sample->n_max - atomic_load_explicit(&sample->n_left, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		const struct sample_frame *frame = &sample->frames[i];
		struct pcap_pkthdr header = {
			.ts = {.tv_sec = frame->time.tv_sec, .tv_usec = frame->time.tv_nsec / 1000},
			.caplen = frame->n_bytes,
			.len = frame->len,
		};
		pcap_dump((u_char *)dumper, &header, frame->bytes);
	}
}

int sample_to_pcap(const struct sample *sample, char **bytes, size_t *size)
{
	char *text = NULL;
	size_t n = 0;
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SAMPLE_BYTES);
	FILE *file = pcap ? open_memstream(&text, &n) : NULL;
	pcap_dumper_t *dumper = file ? pcap_dump_fopen(pcap, file) : NULL;
	bool is_whole = false;
	if (dumper) {
		dump_all(sample, dumper);
		is_whole = pcap_dump_flush(dumper) == 0;
		pcap_dump_close(dumper); // and the file
	} else if (file) {
		fclose(file);
	}
	if (pcap)
		pcap_close(pcap);
	if (!is_whole) {
		free(text);
		return -ENOMEM;
	}
	*bytes = text;
	*size = n;
	return 0;
}
