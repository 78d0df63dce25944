// SPDX-License-Identifier: Apache-2.0
// Traffic for the packet path without a network: a driver that writes frames of 60 bytes (64 with
// their check sequence) into the buffers it is given, and forgets what is sent. Flows have numbers;
// client, NAT port and backend of each are those of its number.
// Called by: the only thread. There is one load at a time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/pump.h"

// What the next packets are.
enum load_kind {
	LOAD_OPEN,        // a client's first packet, flow by flow
	LOAD_ACCEPT,      // its backend's first answer, flow by flow
	LOAD_CONFIRM,     // the client's second packet, flow by flow: the flow is live now
	LOAD_FORWARD,     // a client's packet of a random flow
	LOAD_REPLY,       // a backend's
	LOAD_RESET,       // a client's RST, flow by flow in an order of its own
	LOAD_NO_FRONTEND, // to a port of the virtual address where nothing listens
	LOAD_NO_FLOW,     // from a backend to a NAT port that nobody has
	N_LOAD_KINDS,
};

struct load_params {
	uint8_t proto;    // IPPROTO_TCP or IPPROTO_UDP
	bool is_dsr;      // by link address; else passthrough
	uint32_t n_flows; // that can be open at once
};

struct load {
	struct load_params params;
	struct scene scene;
	struct pump pump;
};

void load_open(struct load *load, const struct load_params *params);
void load_close(struct load *load);

// Let `n` packets through the packet path: of the flows from `first` on, or of random ones among
// all, which must be open. Aborts when one of them ends otherwise than its kind should.
void load_run(struct load *load, enum load_kind kind, uint32_t first, uint32_t n);

// Let flows that have been opened become live.
void load_settle_flows(struct load *load, uint32_t first, uint32_t n);

// Make flows `first` to first + n - 1, each live before many more are made.
void load_make_flows(struct load *load, uint32_t first, uint32_t n);

// End these flows, in an order of their own, and let time pass until their NAT ports have rested.
// Flows that are live do not run out meanwhile.
void load_end_flows(struct load *load, uint32_t first, uint32_t n);

// TCP: let time pass until flows that were reset are to be forgotten. And let `n` of them be.
void load_let_time_pass(struct load *load);
void load_expire(struct load *load, uint32_t n);

// What load_run() does but for the packet path: frames written into buffers, and forgotten. Of
// LOAD_OPEN: before load_run() opens the same flows.
void load_run_generator(struct load *load, enum load_kind kind, uint32_t first, uint32_t n);
