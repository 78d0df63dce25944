// SPDX-License-Identifier: Apache-2.0
// Questions to the packet path: flows, the choice of a backend, samples of what is dropped.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/balance/snapshot.h"
#include "culvert/flow/query.h"
#include "culvert/flow/verdict.h"

struct engine;

// The snapshot that was published last; borrowed until the next engine_publish().
const struct snapshot *engine_snapshot(const struct engine *engine);

// Parts that a query has to have: one per flow table.
uint32_t engine_n_tables(const struct engine *engine);

// Have the workers answer. With query->is_for_one only the worker that the client's packets to
// filter.frontend meet: filter has the client and its port, and proto says of what. The query stays
// the caller's, and exists until it is done or the engine has stopped.
void engine_ask(struct engine *engine, struct query *query);

// ---- samples of what is dropped ----------------------------------------------------------------

struct sample;

enum { SAMPLE_BYTES = 256 }; // of a packet that are kept, headers included

// Room for the first `n_packets` (at least 1) that end in `reason`, a drop. `wake_fd`, an eventfd,
// is borrowed, and written when there is no more room. NULL when memory is short.
struct sample *sample_create(enum verdict reason, uint32_t n_packets, int wake_fd);
void sample_destroy(struct sample *sample); // disarmed, or the engine has stopped; NULL is legal
bool sample_is_full(const struct sample *sample);

// Collect from now on; one sample at a time. Packets are kept as they came, but for those
// that were in the way when they had been rewritten (too_big, no_buffer, tx_full, tx_error): these
// are kept as they would have left.
void engine_arm(struct engine *engine, struct sample *sample);
// No more. False when a thread is still writing: call again in a moment.
bool engine_disarm(struct engine *engine, struct sample *sample);

// A capture file of it, for free(). 0 or -ENOMEM.
int sample_to_pcap(const struct sample *sample, char **bytes, size_t *size);
