// SPDX-License-Identifier: Apache-2.0
// One worker: the flows that are its own, and what it needs to decide about their packets. It never
// allocates, locks, logs or calls the system.
#pragma once

#include "culvert/balance/generation.h"
#include "culvert/flow/flow_table.h"
#include "culvert/flow/query.h"
#include "packet/answer.h"
#include "packet/fast_path.h"
#include "packet/flow_log.h"
#include "packet/ip_ids.h"
#include "packet/packet.h"
#include "packet/pressure.h"
#include "packet/sample.h"

enum { WORKER_SPARES = PACKET_BURST }; // a batch may need one for every packet

// Where the first fragment of a datagram went, for those that follow it.
struct fragment_way {
	uint32_t serial; // packet.datagram_serial
	uint8_t verdict; // of the first; what follows is set when it is FORWARDED
	uint8_t link;
	uint16_t frontend;
	uint16_t backend;
	uint32_t flow;      // that counts them; 0: none
	uint32_t flow_hash; // of that flow: its entry may be another's by then
	struct mac_addr next_hop;
	uint32_t id; // as sent
	struct ip_addr src;
	struct ip_addr dst;
};

struct worker {
	void (*forward)(struct worker *worker, struct packet *packet); // by mode: forward.h
	const struct config *config;     // borrowed; of the start: what no reload changes
	struct flow_table *flows;        // owned
	const struct snapshot *snapshot; // borrowed for the batch at hand
	uint32_t number;                 // among all workers
	struct fragment_way *ways;       // owned; by packet.datagram
	struct answer_templates templates;
	struct flow_log log;
	struct pressure pressure;
	struct fast_path fast; // flows whose packets the kernel forwards

	uint32_t now;          // seconds of the flow table's clock
	uint32_t answers_left; // in this second
	uint32_t lengths_left; // likewise, of those that tell what length fits: connections need
			       // them
	uint16_t next_ip_id;   // for tunnel packets that may be fragmented
	struct ip_ids ids;     // for packets with addresses of ours
	bool has_expiry_left;  // the last look at the timers ended early

	// Backends that went down and whose flows are still to be reset: sweep.c.
	uint64_t swept_version; // the snapshot that was_up is of
	bool *was_up;           // owned; by backend
	bool *is_to_sweep;      // owned; by backend
	uint32_t n_to_sweep;

	// Flows of frontends and backends whose time is over are still to be ended: purge.c.
	uint64_t purged_version; // the last snapshot that was looked at
	uint32_t purge_next;     // the flow to look at next; 0: none

	// Empty packets to be filled, and those that have been: whoever runs the worker brings the
	// first and takes the second away after each batch.
	struct packet *spares[WORKER_SPARES];
	struct packet *made[WORKER_SPARES];
	uint32_t n_spares;
	uint32_t n_made;

	struct query_box questions; // of control about the flows: query.h
	struct sample_tap tap;

	counter_t suppressed; // w: worker, r: any; answers not given for want of answers_left
};

struct worker_params {
	struct flow_table_params flows;
	const struct config *config; // borrowed, as long as the worker
	uint32_t number;             // of this one
	uint32_t n_workers;
	bool is_inline;               // its thread looks for packets itself
	const struct fast_maps *fast; // borrowed, as long as the worker; NULL: no fast path
};

int worker_init(struct worker *worker, const struct worker_params *params, struct err *err);
void worker_fini(struct worker *worker);

// Before a batch, and when there is none: the snapshot to decide by, the time, and work that no
// packet brings (timers, resets for backends that went down).
void worker_begin(struct worker *worker, const struct snapshot *snapshot, uint64_t now_ns);

// Decide about a batch. Every packet leaves with a verdict.
void worker_process(struct worker *worker, struct packet *const *packets, uint32_t n);

// How long there may be nothing to do before worker_begin() has; -1: until a packet comes.
int worker_idle_ms(const struct worker *worker);

// True when worker_begin() has more to do at once, without any packet.
bool worker_is_busy(const struct worker *worker);
