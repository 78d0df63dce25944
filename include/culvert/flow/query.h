// SPDX-License-Identifier: Apache-2.0
// What control asks the threads of the data path about flows or sessions, which nobody but their
// own thread may look at. Control makes a query, with a part for every thread that has to answer,
// and puts the parts into the threads' boxes; each thread looks at a bounded piece of what it has
// per round, and gives its part back when it has seen all. Nobody waits for anybody, and a thread
// that is asked nothing looks at one pointer per round.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/addr.h"

enum {
	QUERY_ENTRIES = 256, // that a thread looks at per round
	QUERY_ANY = -1,
};

// What a client's new connection finds where it had a flow before.
enum flow_prospect {
	FLOW_GOES_ON,      // the flow takes it along
	FLOW_BEGINS_AGAIN, // the flow's connection is over: the same backend serves a new one
	FLOW_IS_REPLACED,  // the flow makes way, and a backend is chosen anew
};

// A flow or session as its thread saw it.
struct flow_row {
	struct endpoint client; // with the protocol of both
	struct endpoint nat;    // where the backend sees it come from; port 0: where it does
	const char *state;      // static
	int32_t backend;        // slot; QUERY_ANY: none yet
	uint16_t frontend;      // slot
	uint8_t prospect;       // enum flow_prospect; packet modes, of a query for one flow
	bool is_fast;           // the kernel forwards its packets; packet modes
	uint32_t idle_ms;
	uint32_t expires_ms; // until it ends if nothing happens
	uint64_t bytes_tx;
	uint64_t bytes_rx;
};

struct query_filter {
	bool has_client;
	struct ip_addr client;
	uint16_t client_port_be; // 0: any
	int32_t backend;         // slot, or QUERY_ANY
	int32_t frontend;        // the same
};

// A thread's own share: it writes while the part is in its box, control reads afterwards.
struct query_part {
	struct query *query;
	struct flow_row *rows; // owned by the query
	uint64_t n_matched;
	uint32_t n_rows;
	uint32_t next; // the entry to look at next
};

struct query {
	// w: control before the parts are posted, r: threads
	struct query_filter filter;
	uint32_t limit;  // rows of each part
	bool is_for_one; // the flow of filter's client and frontend, found by `hash`
	uint8_t proto;   // of that flow
	uint32_t hash;   // packet modes
	int wake_fd;     // borrowed; an eventfd, written when the last part is given back
	uint32_t n_parts;

	_Atomic bool is_cancelled; // w: control, r: threads; relaxed: it only saves work
	_Atomic uint32_t n_posted; // w: control before posting, then threads
	struct query_part parts[];
};

// One per thread; zero is empty.
struct query_box {
	_Atomic(struct query_part *)
		part; // w: control when it is empty, the thread when it is full
};

// ---- control -----------------------------------------------------------------------------------

// NULL when memory is short. `limit` is at least 1.
struct query *query_create(uint32_t n_parts, uint32_t limit);
void query_destroy(struct query *query); // query_is_done(), or no thread runs; NULL is legal

// Say how many parts are going to be posted, before the first is. Boxes must be empty: there is one
// query at a time.
void query_begin(struct query *query, uint32_t n_posted);
void query_post(struct query_box *box, struct query_part *part);

// Have its threads give up; it is done soon.
void query_cancel(struct query *query);
// No thread has a part any more: what they have written can be read.
bool query_is_done(const struct query *query);

// ---- threads -----------------------------------------------------------------------------------

// What the thread is to answer, or NULL.
static inline struct query_part *query_box_look(const struct query_box *box)
{
	// Pairs with the release in query_post().
	return atomic_load_explicit(&box->part, memory_order_acquire);
}

static inline bool query_is_cancelled(const struct query_part *part)
{
	return atomic_load_explicit(&part->query->is_cancelled, memory_order_relaxed);
}

bool query_matches(const struct query_filter *filter, const struct endpoint *client,
		   uint16_t frontend, int32_t backend);

// Count a match, and return the row to fill in; NULL: there are enough.
struct flow_row *query_add(struct query_part *part);

// All has been seen. The part is not the thread's any more.
void query_give_back(struct query_box *box, struct query_part *part);
