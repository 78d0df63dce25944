// SPDX-License-Identifier: Apache-2.0
// What has become of connections, from the thread that has them to the thread that writes it down:
// a bounded number of records between the two. Neither side ever waits; when all records are under
// way the next one is dropped, and counted.
#pragma once

#include <stdbool.h>

#include "culvert/base/counter.h"
#include "culvert/base/err.h"
#include "culvert/net/addr.h"

enum { FLOW_JOURNAL_RECORDS = 16384 }; // of a thread of the data path

struct flow_record {
	struct ip_addr client;
	struct ip_addr nat; // our own towards the backend
	uint64_t start_ms;  // CLOCK_MONOTONIC, as the next
	uint64_t end_ms;    // of the last packet
	uint64_t bytes_tx;
	uint64_t bytes_rx;
	uint16_t client_port_be;
	uint16_t nat_port; // host byte order; 0: there is none
	uint16_t frontend;
	uint16_t backend; // running number over all pools
	uint8_t proto;
	uint8_t end;   // enum session_end in proxy mode, else enum flow_end
	uint8_t state; // packet modes: enum flow_state
	bool is_start; // it has just begun: no bytes, no end
	bool has_backend;
};

struct doorbell;
struct flow_journal;

// `capacity` is a power of two. 0 or -errno.
int flow_journal_create(struct flow_journal **journal, uint32_t capacity, struct err *err);
void flow_journal_destroy(struct flow_journal *journal); // NULL is legal; neither side runs

// A record to be filled and committed, or NULL: then one is counted as dropped.
// Called by: the producer, as the next two.
struct flow_record *flow_journal_begin(struct flow_journal *journal);
void flow_journal_commit(struct flow_journal *journal, struct flow_record *record);
bool flow_journal_has_room(const struct flow_journal *journal);

// Up to `n` of the oldest; each is to be given back. Called by: the consumer, as the next.
uint32_t flow_journal_take(struct flow_journal *journal, struct flow_record **records, uint32_t n);
void flow_journal_give_back(struct flow_journal *journal, struct flow_record **records, uint32_t n);

// For a consumer that sleeps until something is committed: doorbell.h says how. Borrowed.
struct doorbell *flow_journal_bell(struct flow_journal *journal);
bool flow_journal_is_empty(const struct flow_journal *journal);

uint64_t flow_journal_dropped(const struct flow_journal *journal); // any thread

// Of all journals, and of what their reader has done.
struct flow_log_stats {
	bool is_on;
	uint64_t lines;     // written
	uint64_t dropped;   // records that found no room
	uint64_t unwritten; // lines that the file did not take
};
