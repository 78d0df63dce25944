// SPDX-License-Identifier: Apache-2.0
// The flow log's parts: the journal, how flows end, what a line says.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "culvert/flow/flow.h"
#include "culvert/flow/flow_end.h"
#include "culvert/flow/flow_journal.h"
#include "culvert/flow/session_end.h"
#include "flow_writer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CAPACITY = 4 };

static struct flow_journal *make_journal(void)
{
	struct flow_journal *journal = NULL;
	cr_assert_eq(flow_journal_create(&journal, CAPACITY, NULL), 0);
	return journal;
}

static void write_number(struct flow_journal *journal, uint64_t number)
{
	struct flow_record *record = flow_journal_begin(journal);
	if (!record)
		return;
	record->bytes_tx = number;
	flow_journal_commit(journal, record);
}

Test(flow_log, a_full_journal_drops_and_counts)
{
	struct flow_journal *journal = make_journal();
	struct flow_record *taken[CAPACITY + 1];
	for (uint64_t i = 0; i < CAPACITY + 3; i++) {
		cr_assert_eq(flow_journal_has_room(journal), i < CAPACITY);
		write_number(journal, i);
	}
	cr_assert_eq(flow_journal_dropped(journal), 3);
	cr_assert_eq(flow_journal_take(journal, taken, CAPACITY + 1), CAPACITY);
	for (uint64_t i = 0; i < CAPACITY; i++)
		cr_assert_eq(taken[i]->bytes_tx, i);
	write_number(journal, 0);
	cr_assert_eq(flow_journal_dropped(journal), 4, "they have not been given back");
	flow_journal_give_back(journal, taken, CAPACITY);
	write_number(journal, 42);
	cr_assert_eq(flow_journal_take(journal, taken, CAPACITY), 1);
	cr_assert_eq(taken[0]->bytes_tx, 42);
	cr_assert_eq(flow_journal_dropped(journal), 4);
	flow_journal_destroy(journal);
}

Test(flow_log, a_record_begins_empty)
{
	struct flow_journal *journal = make_journal();
	for (int i = 0; i < 2 * CAPACITY; i++) {
		struct flow_record *record = flow_journal_begin(journal);
		cr_assert_eq(record->nat_port, 0);
		cr_assert_not(record->is_start);
		record->nat_port = 1;
		record->is_start = true;
		flow_journal_commit(journal, record);
		cr_assert_eq(flow_journal_take(journal, &record, 1), 1);
		flow_journal_give_back(journal, &record, 1);
	}
	flow_journal_destroy(journal);
}

struct end_case {
	enum flow_state state;
	uint8_t marks;
	uint64_t bytes_rx;
	bool is_one_sided;
	enum flow_event event;
	const char *expected;
};

enum { BOTH_FINS = FLOW_FIN_BY_CLIENT | FLOW_FIN_BY_BACKEND };

Test(flow_log, ends_are_named)
{
	static const struct end_case cases[] = {
		{FLOW_TIME_WAIT, 0, 1, false, FLOW_EXPIRED, "closed"},
		{FLOW_TIME_WAIT, 0, 1, false, FLOW_RENEWED, "closed"},
		{FLOW_TIME_WAIT, 0, 1, false, FLOW_RECLAIMED, "closed"},
		{FLOW_TIME_WAIT, 0, 0, true, FLOW_STOPPED, "closed"},
		{FLOW_RESET, FLOW_RESET_BY_CLIENT, 1, false, FLOW_EXPIRED, "client_reset"},
		{FLOW_RESET, FLOW_RESET_BY_BACKEND, 1, false, FLOW_EXPIRED, "backend_reset"},
		{FLOW_RESET, 0, 40, false, FLOW_EXPIRED, "refused"},
		{FLOW_RESET, BOTH_FINS, 40, false, FLOW_EXPIRED, "closed"},
		{FLOW_RESET, BOTH_FINS | FLOW_RESET_BY_CLIENT, 40, false, FLOW_EXPIRED, "closed"},
		{FLOW_RESET, FLOW_FIN_BY_CLIENT | FLOW_RESET_BY_CLIENT, 40, false, FLOW_EXPIRED,
		 "client_reset"},
		{FLOW_RESET, FLOW_FIN_BY_CLIENT, 0, true, FLOW_EXPIRED, "closed"},
		{FLOW_RESET, 0, 0, false, FLOW_EXPIRED, "client_reset"},
		{FLOW_RESET, 0, 40, true, FLOW_EXPIRED, "client_reset"},
		{FLOW_RESET, FLOW_IS_ORPHAN, 1, false, FLOW_EXPIRED, "backend_down"},
		{FLOW_UDP, FLOW_IS_ORPHAN, 1, false, FLOW_RENEWED, "backend_down"},
		{FLOW_ESTABLISHED, 0, 1, false, FLOW_EXPIRED, "idle_timeout"},
		{FLOW_ESTABLISHED, 0, 1, false, FLOW_STOPPED, "shutdown"},
		{FLOW_LAST_ACK, 0, 1, false, FLOW_RENEWED, "renewed"},
		{FLOW_UDP, 0, 1, false, FLOW_REMOVED, "removed"},
		{FLOW_UDP, 0, 1, false, FLOW_EXPIRED, "idle_timeout"},
		{FLOW_UDP_REPLIED, 0, 1, false, FLOW_EXPIRED, "idle_timeout"},
		{FLOW_UDP_UNREPLIED, 0, 0, false, FLOW_EXPIRED, "unanswered"},
		{FLOW_SYN_SENT, 0, 0, false, FLOW_EXPIRED, "unanswered"},
		{FLOW_SYN_RECEIVED, 0, 1, false, FLOW_RECLAIMED, "reclaimed"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct end_case *c = &cases[i];
		struct flow flow = {.state = (uint8_t)c->state,
				    .class = (uint8_t)flow_state_class(c->state),
				    .marks = c->marks,
				    .bytes_rx = c->bytes_rx};
		enum flow_end end = flow_end_of(&flow, c->is_one_sided, c->event);
		cr_assert_str_eq(flow_end_name(end), c->expected, "case %zu", i);
	}
}

static struct flow_name frontends[] = {{(char[]){"web"}, (char[]){"pool"}}};
static struct flow_name backends[] = {
	{(char[]){"b1"}, (char[]){"pool"}},
	{(char[]){"b 2"}, (char[]){"pool"}},
};
static const struct flow_names names = {frontends, backends, COUNT(frontends), COUNT(backends)};

static const struct flow_record flow = {
	.client = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
	.nat = {{[10] = 0xff, 0xff, 10, 0, 0, 2}},
	.start_ms = 5000,
	.end_ms = 65000,
	.bytes_tx = 1234,
	.bytes_rx = UINT32_MAX + 1ULL,
	.nat_port = 40000,
	.backend = 1,
	.proto = IPPROTO_TCP,
	.end = FLOW_END_CLOSED,
	.state = FLOW_TIME_WAIT,
	.has_backend = true,
};

Test(flow_log, a_flow_as_logfmt)
{
	char text[FLOW_LINE_MAX];
	struct flow_line_style style = {MODE_PASSTHROUGH, false, 1795262400000 - 65000};
	struct flow_record record = flow;
	record.client_port_be = htons(5555);
	size_t len = flow_line_format(&record, &names, &style, text);
	cr_assert_str_eq(text, "time=2026-11-21T12:00:00.000Z event=end protocol=tcp "
			       "client=[2001:db8::1]:5555 frontend=web pool=pool backend=\"b 2\" "
			       "nat=10.0.0.2:40000 bytes_tx=1234 bytes_rx=4294967296 "
			       "duration=60.000 end=closed state=time_wait\n");
	cr_assert_eq(len, strlen(text));
}

Test(flow_log, a_session_without_a_backend_as_json)
{
	char text[FLOW_LINE_MAX];
	struct flow_line_style style = {MODE_PROXY, true, 1795262400000};
	struct flow_record record = {
		.client = {{[10] = 0xff, 0xff, 10, 0, 0, 10}},
		.client_port_be = htons(1),
		.end_ms = 1,
		.proto = IPPROTO_TCP,
		.end = SESSION_END_NO_BACKEND,
	};
	flow_line_format(&record, &names, &style, text);
	cr_assert_str_eq(text, "{\"time\":\"2026-11-21T12:00:00.001Z\",\"event\":\"end\","
			       "\"protocol\":\"tcp\",\"client\":\"10.0.0.10:1\","
			       "\"frontend\":\"web\",\"pool\":\"pool\",\"bytes_tx\":0,"
			       "\"bytes_rx\":0,\"duration\":0.001,\"end\":\"no_backend\"}\n");
}
