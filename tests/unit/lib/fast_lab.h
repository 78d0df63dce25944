// SPDX-License-Identifier: Apache-2.0
// A worker that has a fast path, and clients with established flows. Packets come to the worker, or
// pass it by as the kernel would have them. What goes wrong fails the test.
#pragma once

#include "../../support/lib/frame.h"
#include "../../support/lib/pump.h"

enum fast_lab_way {
	FAST_LAB_NAT,
	FAST_LAB_DSR_NAT,
	FAST_LAB_DSR_L2,
	FAST_LAB_N_WAYS,
};

struct fast_lab {
	struct scene scene; // may be changed before fast_lab_open(), by way of passthrough
	struct pump pump;
	struct fast_maps maps;
	bool owns_maps;
	bool is_dsr;
};

struct fast_lab_params {
	const struct fast_maps *maps; // borrowed; NULL: ordinary memory
	uint32_t number;              // of the worker
	uint32_t n_workers;           // 0: one
	bool has_none;                // no fast path at all
	bool waits_for_pressure;      // or only for flows of a thread that is under pressure
};

// Both ends of a flow, and what they would say next.
struct fast_lab_client {
	struct frame_spec specs[N_FLOW_DIRS]; // FROM_BACKEND: once there is a flow
	uint32_t next[N_FLOW_DIRS];           // TCP
	uint32_t flow;
	bool is_udp;
};

// TCP and UDP frontends of both families, two backends each.
void fast_lab_init(struct fast_lab *lab, enum fast_lab_way way);
void fast_lab_open(struct fast_lab *lab, const struct fast_lab_params *params);
// Both, for one worker that has the table to itself.
void fast_lab_open_alone(struct fast_lab *lab, enum fast_lab_way way);
// Sums and lists must be right.
void fast_lab_close(struct fast_lab *lab);

struct fast_lab_client fast_lab_client(const struct fast_lab *lab, uint32_t number, uint8_t proto,
				       bool is_v6);

// The frame comes to the worker. Returns what is sent on account of it, to be freed, or NULL.
struct mem_frame *fast_lab_push(struct fast_lab *lab, uint32_t link, const struct frame_spec *spec);
// The next segment or datagram of one end, with `len` bytes. True when it is forwarded.
bool fast_lab_say(struct fast_lab *lab, struct fast_lab_client *client, enum flow_dir dir,
		  uint8_t flags, uint32_t len);
// It passes the worker by if there is an entry for it: as the kernel counts. False when not.
bool fast_lab_pass(struct fast_lab *lab, struct fast_lab_client *client, enum flow_dir dir,
		   uint32_t len);
// The flow is established afterwards.
void fast_lab_establish(struct fast_lab *lab, struct fast_lab_client *client);
// A client with such a flow, over TCP and IPv4.
struct fast_lab_client fast_lab_established(struct fast_lab *lab, uint32_t number);

// What the kernel would find for the next packet of one end, or NULL.
struct fast_entry *fast_lab_entry(const struct fast_lab *lab, const struct fast_lab_client *client,
				  enum flow_dir dir);
struct flow *fast_lab_flow(const struct fast_lab *lab, const struct fast_lab_client *client);

void fast_lab_publish(struct fast_lab *lab);
// The clock moves, and the worker has rounds enough to look at all flows.
void fast_lab_move_ms(struct fast_lab *lab, uint32_t ms);

// NULL, or the first rule that is broken, of what must hold between any two packets.
const char *fast_lab_check(const struct fast_lab *lab);
// All slots are free and all cells are empty.
bool fast_lab_is_empty(const struct fast_lab *lab);
