// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/flow_journal.h"

#include <errno.h>
#include <stdlib.h>

#include "culvert/ds/doorbell.h"
#include "culvert/ds/ring.h"

struct flow_journal {
	struct flow_record *records; // owned
	struct ring *written;        // producer → consumer; has room for all records, as the next
	struct ring *empty;          // consumer → producer
	struct doorbell bell;        // rung for `written`
	counter_t dropped;           // w: producer, r: any
};

static int fill(struct flow_journal *journal, uint32_t capacity, struct err *err)
{
	journal->records = calloc(capacity, sizeof(*journal->records));
	if (!journal->records)
		return err_set(err, -ENOMEM, "not enough memory for the flow log");
	int code = doorbell_open(&journal->bell, err);
	if (!code)
		code = ring_create(&journal->written, capacity, err);
	if (!code)
		code = ring_create(&journal->empty, capacity, err);
	for (uint32_t i = 0; i < capacity && !code; i++) {
		void *item = &journal->records[i];
		ring_push(journal->empty, &item, 1);
	}
	return code;
}

int flow_journal_create(struct flow_journal **journal, uint32_t capacity, struct err *err)
{
	struct flow_journal *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the flow log");
	made->bell.fd = -1;
	int code = fill(made, capacity, err);
	if (code) {
		flow_journal_destroy(made);
		return code;
	}
	*journal = made;
	return 0;
}

void flow_journal_destroy(struct flow_journal *journal)
{
	if (!journal)
		return;
	ring_destroy(journal->written);
	ring_destroy(journal->empty);
	if (journal->bell.fd >= 0)
		doorbell_close(&journal->bell);
	free(journal->records);
	free(journal);
}

struct flow_record *flow_journal_begin(struct flow_journal *journal)
{
	void *item = NULL;
	if (ring_pop(journal->empty, &item, 1) == 0) {
		counter_add(&journal->dropped, 1);
		return NULL;
	}
	struct flow_record *record = item;
	*record = (struct flow_record){0};
	return record;
}

void flow_journal_commit(struct flow_journal *journal, struct flow_record *record)
{
	void *item = record;
	ring_push(journal->written, &item, 1);
	doorbell_ring(&journal->bell);
}

bool flow_journal_has_room(const struct flow_journal *journal)
{
	return !ring_is_empty(journal->empty);
}

uint32_t flow_journal_take(struct flow_journal *journal, struct flow_record **records, uint32_t n)
{
	return ring_pop(journal->written, (void **)records, n);
}

void flow_journal_give_back(struct flow_journal *journal, struct flow_record **records, uint32_t n)
{
	ring_push(journal->empty, (void *const *)records, n);
}

struct doorbell *flow_journal_bell(struct flow_journal *journal)
{
	return &journal->bell;
}

bool flow_journal_is_empty(const struct flow_journal *journal)
{
	return ring_is_empty(journal->written);
}

uint64_t flow_journal_dropped(const struct flow_journal *journal)
{
	return counter_read(&journal->dropped);
}
