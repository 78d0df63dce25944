// SPDX-License-Identifier: Apache-2.0
// What the kernel has counted of flows that it forwards reaches whoever wants to know: the flow
// itself, its timer, counters, the ledger, the flow log, queries and resets.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/flow/flow_journal.h"
#include "culvert/flow/query.h"
#include "lib/fast_lab.h"

enum {
	A = TCP_FLAG_ACK,
	ROUND_MS = 250,
	REST_MS = 1000,
	HEADERS = 40, // of IPv4 and TCP
	N_THERE = 7,
	N_BACK = 11,
	LEN = 100,
};

static const struct fast_lab_params alone = {0};

static uint64_t ip_bytes(uint64_t n_packets)
{
	return n_packets * (HEADERS + LEN);
}

static struct fast_lab_client establish(struct fast_lab *lab, uint32_t number, uint8_t proto)
{
	struct fast_lab_client client = fast_lab_client(lab, number, proto, false);
	fast_lab_establish(lab, &client);
	return client;
}

static void pass(struct fast_lab *lab, struct fast_lab_client *client, enum flow_dir dir, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert(fast_lab_pass(lab, client, dir, LEN));
}

// What has been counted at one moment.
struct sums {
	uint64_t bytes_tx, bytes_rx;
	struct traffic frontend, backend;
	uint64_t received, forwarded;
};

static struct sums sums_of(const struct fast_lab *lab, const struct fast_lab_client *client)
{
	const struct worker *worker = &lab->pump.worker;
	const struct flow *flow = fast_lab_flow(lab, client);
	struct sums sums = {
		.bytes_tx = flow->bytes_tx,
		.bytes_rx = flow->bytes_rx,
		.received = counter_read(&worker->fast.ledger.received),
		.forwarded = counter_read(&worker->fast.ledger.verdicts[VERDICT_FORWARDED]),
	};
	traffic_gather(&sums.frontend, &worker->flows->frontends[flow->frontend]);
	traffic_gather(&sums.backend, &worker->flows->backends[flow->backend]);
	return sums;
}

static void expect_grown(const struct traffic *now, const struct traffic *before, uint64_t tx,
			 uint64_t rx)
{
	cr_expect_eq(now->packets_tx - before->packets_tx, tx);
	cr_expect_eq(now->packets_rx - before->packets_rx, rx);
	cr_expect_eq(now->bytes_tx - before->bytes_tx, ip_bytes(tx));
	cr_expect_eq(now->bytes_rx - before->bytes_rx, ip_bytes(rx));
}

static void expect_sums(const struct sums *now, const struct sums *before, uint64_t tx, uint64_t rx)
{
	cr_expect_eq(now->bytes_tx - before->bytes_tx, ip_bytes(tx));
	cr_expect_eq(now->bytes_rx - before->bytes_rx, ip_bytes(rx));
	expect_grown(&now->frontend, &before->frontend, tx, rx);
	expect_grown(&now->backend, &before->backend, tx, rx);
	cr_expect_eq(now->received - before->received, tx + rx);
	cr_expect_eq(now->forwarded - before->forwarded, tx + rx);
}

// ---- the sums -----------------------------------------------------------------------------------

Test(fast_path_counts, a_round_brings_what_has_gone_by)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	struct sums before = sums_of(&lab, &client);
	pass(&lab, &client, FROM_CLIENT, N_THERE);
	pass(&lab, &client, FROM_BACKEND, N_BACK);
	fast_lab_move_ms(&lab, ROUND_MS);
	struct sums after = sums_of(&lab, &client);
	expect_sums(&after, &before, N_THERE, N_BACK);
	cr_expect_eq(fast_lab_flow(&lab, &client)->client_next, client.next[FROM_CLIENT]);
	cr_expect_eq(fast_lab_flow(&lab, &client)->backend_next, client.next[FROM_BACKEND]);
	fast_lab_move_ms(&lab, ROUND_MS);
	struct sums later = sums_of(&lab, &client);
	expect_sums(&later, &after, 0, 0);
	fast_lab_close(&lab);
}

Test(fast_path_counts, where_answers_are_not_seen_acknowledgements_tell_how_far_they_are)
{
	for (enum fast_lab_way way = FAST_LAB_DSR_NAT; way < FAST_LAB_N_WAYS; way++) {
		struct fast_lab lab;
		fast_lab_open_alone(&lab, way);
		struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
		struct sums before = sums_of(&lab, &client);
		client.next[FROM_BACKEND] += 5000;
		pass(&lab, &client, FROM_CLIENT, N_THERE);
		fast_lab_move_ms(&lab, ROUND_MS);
		struct sums after = sums_of(&lab, &client);
		expect_sums(&after, &before, N_THERE, 0);
		const struct flow *flow = fast_lab_flow(&lab, &client);
		cr_expect_eq(flow->client_next, client.next[FROM_CLIENT]);
		cr_expect_eq(flow->backend_next, client.next[FROM_BACKEND]);
		fast_lab_close(&lab);
	}
}

Test(fast_path_counts, a_packet_of_the_worker_brings_what_went_before_it)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	struct sums before = sums_of(&lab, &client);
	pass(&lab, &client, FROM_CLIENT, N_THERE);
	cr_expect(fast_lab_say(&lab, &client, FROM_BACKEND, A, LEN));
	struct sums after = sums_of(&lab, &client);
	cr_expect_eq(after.bytes_tx - before.bytes_tx, ip_bytes(N_THERE));
	cr_expect_eq(after.bytes_rx - before.bytes_rx, ip_bytes(1));
	cr_expect_eq(after.received - before.received, N_THERE, "the worker's own is not there");
	fast_lab_close(&lab);
}

// By then the connection is far beyond what the worker knows.
Test(fast_path_counts, the_end_of_a_connection_that_has_come_far_is_believed)
{
	enum { N_FAR = 30000 };
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	pass(&lab, &client, FROM_BACKEND, N_FAR);
	pass(&lab, &client, FROM_CLIENT, N_FAR);
	cr_expect(fast_lab_say(&lab, &client, FROM_CLIENT, TCP_FLAG_RST, 0));
	cr_expect_eq(fast_lab_flow(&lab, &client)->state, FLOW_RESET);
	fast_lab_close(&lab);
}

// A processor that has found an entry may be at it for a while after the flow has left.
Test(fast_path_counts, what_is_counted_late_is_not_lost)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	struct fast_entry *late = fast_lab_entry(&lab, &client, FROM_BACKEND);
	pass(&lab, &client, FROM_BACKEND, 1);
	cr_expect(fast_lab_say(&lab, &client, FROM_CLIENT, TCP_FLAG_RST, 0));
	struct sums before = sums_of(&lab, &client);
	late->packets += 2;
	late->bytes += ip_bytes(2);
	fast_lab_move_ms(&lab, REST_MS - ROUND_MS);
	cr_expect_eq(lab.pump.worker.fast.n_resting, 1);
	late->packets++;
	late->bytes += ip_bytes(1);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(lab.pump.worker.fast.n_resting, 0);
	struct sums after = sums_of(&lab, &client);
	cr_expect_eq(after.bytes_rx, before.bytes_rx, "the flow may be another's by then");
	expect_grown(&after.frontend, &before.frontend, 0, 3);
	expect_grown(&after.backend, &before.backend, 0, 3);
	cr_expect_eq(after.received - before.received, 3);
	cr_expect_eq(after.forwarded - before.forwarded, 3);
	fast_lab_close(&lab);
}

Test(fast_path_counts, the_next_flow_of_a_slot_begins_at_nothing)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client first = establish(&lab, 1, IPPROTO_TCP);
	uint32_t slot = lab.pump.worker.fast.slot_of[first.flow];
	pass(&lab, &first, FROM_CLIENT, N_THERE);
	fast_lab_say(&lab, &first, FROM_CLIENT, TCP_FLAG_RST, 0);
	fast_lab_move_ms(&lab, 2 * REST_MS);
	struct fast_lab_client second = establish(&lab, 2, IPPROTO_TCP);
	cr_assert_eq(lab.pump.worker.fast.slot_of[second.flow], slot);
	struct sums before = sums_of(&lab, &second);
	pass(&lab, &second, FROM_CLIENT, 1);
	fast_lab_move_ms(&lab, ROUND_MS);
	struct sums after = sums_of(&lab, &second);
	expect_sums(&after, &before, 1, 0);
	fast_lab_close(&lab);
}

// More flows than are looked at between two batches.
Test(fast_path_counts, a_round_looks_at_all_flows)
{
	enum { N_FLOWS = 600 };
	static struct fast_lab_client clients[N_FLOWS];
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	for (uint32_t i = 0; i < N_FLOWS; i++) {
		clients[i] = establish(&lab, i, IPPROTO_TCP);
		pass(&lab, &clients[i], FROM_CLIENT, 1);
	}
	cr_expect_lt(counter_read(&lab.pump.worker.fast.ledger.received), N_FLOWS);
	lab.pump.now_ns += ROUND_MS * NS_PER_MS;
	pump_round(&lab.pump);
	cr_expect(worker_is_busy(&lab.pump.worker));
	while (worker_is_busy(&lab.pump.worker))
		pump_round(&lab.pump);
	cr_expect_eq(counter_read(&lab.pump.worker.fast.ledger.received), N_FLOWS);
	fast_lab_close(&lab);
}

Test(fast_path_counts, at_the_end_all_is_brought_in)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	struct sums before = sums_of(&lab, &client);
	pass(&lab, &client, FROM_CLIENT, N_THERE);
	fast_path_catch_up_all(&lab.pump.worker);
	struct sums after = sums_of(&lab, &client);
	expect_sums(&after, &before, N_THERE, 0);
	fast_lab_close(&lab);
}

// ---- time ---------------------------------------------------------------------------------------

// Nothing but the timer asks: the last round was before the packet.
static void speak_just_before_the_end(uint8_t proto, bool speaks, bool is_known)
{
	enum { TIMEOUT_S = 100, BEFORE_MS = 100 };
	struct fast_lab lab;
	fast_lab_init(&lab, FAST_LAB_NAT);
	fast_lab_open(&lab, &alone);
	struct flow_table *table = lab.pump.worker.flows;
	for (int i = 0; i < N_FLOW_STATES; i++)
		table->params.timeouts[i] = TIMEOUT_S;
	struct fast_lab_client client = establish(&lab, 1, proto);
	fast_lab_move_ms(&lab, TIMEOUT_S * 1000 - BEFORE_MS);
	cr_assert_eq(table->n_flows, 1);
	if (!is_known) {
		client.next[FROM_CLIENT] += 1U << 30;
		client.next[FROM_BACKEND] += 1U << 30;
	}
	if (speaks)
		pass(&lab, &client, FROM_CLIENT, 1);
	fast_lab_move_ms(&lab, BEFORE_MS);
	bool has_stayed = speaks && is_known;
	cr_expect_eq(table->n_flows, has_stayed);
	if (has_stayed)
		cr_expect_eq(fast_lab_flow(&lab, &client)->expires, table->now + TIMEOUT_S);
	fast_lab_move_ms(&lab, TIMEOUT_S * 1000 + 1000);
	cr_expect_eq(table->n_flows, 0);
	cr_expect_eq(counter_read(&lab.pump.worker.fast.ledger.received), speaks);
	fast_lab_move_ms(&lab, 2 * REST_MS);
	cr_expect(fast_lab_is_empty(&lab));
	fast_lab_close(&lab);
}

Test(fast_path_counts, a_flow_that_the_kernel_still_sees_does_not_expire)
{
	speak_just_before_the_end(IPPROTO_TCP, true, true);
	speak_just_before_the_end(IPPROTO_UDP, true, true);
	speak_just_before_the_end(IPPROTO_TCP, false, true);
	speak_just_before_the_end(IPPROTO_UDP, false, true);
}

Test(fast_path_counts, what_nobody_of_the_connection_has_sent_keeps_no_flow_alive)
{
	speak_just_before_the_end(IPPROTO_TCP, true, false);
}

// ---- who is told --------------------------------------------------------------------------------

Test(fast_path_counts, a_reset_has_the_numbers_that_the_kernel_has_seen)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	pass(&lab, &client, FROM_CLIENT, N_THERE);
	pass(&lab, &client, FROM_BACKEND, N_BACK);
	registry_set_up(lab.scene.registry, fast_lab_flow(&lab, &client)->backend, false);
	fast_lab_publish(&lab);
	pump_round(&lab.pump);
	struct mem_frame *reset = mem_io_take(lab.pump.io);
	struct frame_view view;
	cr_assert_not_null(reset);
	cr_assert_eq(parse_frame(reset->bytes, reset->len, &view), PARSE_OK);
	cr_expect(view.tcp_flags & TCP_FLAG_RST);
	cr_expect_eq(view.seq, client.next[FROM_BACKEND]);
	cr_expect_eq(view.ack, client.next[FROM_CLIENT]);
	cr_expect_not(fast_lab_flow(&lab, &client)->is_aside);
	cr_expect_not(fast_lab_entry(&lab, &client, FROM_CLIENT));
	free(reset);
	fast_lab_close(&lab);
}

static void end_by_reset(struct fast_lab *lab, struct fast_lab_client *client)
{
	fast_lab_say(lab, client, FROM_CLIENT, TCP_FLAG_RST, 0);
	flow_table_end(lab->pump.worker.flows, client->flow, FLOW_REMOVED);
}

static void end_at_once(struct fast_lab *lab, struct fast_lab_client *client)
{
	flow_table_end(lab->pump.worker.flows, client->flow, FLOW_REMOVED);
}

static void end_with_culvert(struct fast_lab *lab, struct fast_lab_client *client)
{
	(void)client;
	fast_path_catch_up_all(&lab->pump.worker);
	flow_log_end_all(&lab->pump.worker.log);
}

Test(fast_path_counts, the_flow_logs_record_has_what_the_kernel_has_counted)
{
	static void (*const ends[])(struct fast_lab *,
				    struct fast_lab_client *) = {end_by_reset, end_at_once,
								 end_with_culvert};
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct fast_lab lab;
		fast_lab_init(&lab, FAST_LAB_NAT);
		lab.scene.config->flow_log.path = strdup("/nobody/writes/it");
		fast_lab_open(&lab, &alone);
		struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
		const struct flow *flow = fast_lab_flow(&lab, &client);
		uint64_t tx = flow->bytes_tx + ip_bytes(N_THERE) + (i == 0 ? HEADERS : 0);
		uint64_t rx = flow->bytes_rx + ip_bytes(N_BACK);
		pass(&lab, &client, FROM_CLIENT, N_THERE);
		pass(&lab, &client, FROM_BACKEND, N_BACK);
		ends[i](&lab, &client);
		struct flow_record *record;
		struct flow_journal *journal = lab.pump.worker.log.journal;
		cr_assert_eq(flow_journal_take(journal, &record, 1), 1);
		cr_expect_eq(record->bytes_tx, tx, "%zu", i);
		cr_expect_eq(record->bytes_rx, rx, "%zu", i);
		flow_journal_give_back(journal, &record, 1);
		fast_lab_close(&lab);
	}
}

Test(fast_path_counts, a_query_is_told_what_the_kernel_has_counted)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = establish(&lab, 1, IPPROTO_TCP);
	const struct flow *flow = fast_lab_flow(&lab, &client);
	uint64_t tx = flow->bytes_tx + ip_bytes(N_THERE);
	uint64_t rx = flow->bytes_rx + ip_bytes(N_BACK);
	pass(&lab, &client, FROM_CLIENT, N_THERE);
	pass(&lab, &client, FROM_BACKEND, N_BACK);
	struct query *query = query_create(1, 10);
	cr_assert_not_null(query);
	query->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	query->filter = (struct query_filter){.backend = QUERY_ANY, .frontend = QUERY_ANY};
	query_begin(query, 1);
	query_post(&lab.pump.worker.questions, &query->parts[0]);
	pump_round(&lab.pump);
	cr_assert(query_is_done(query));
	cr_assert_eq(query->parts[0].n_rows, 1);
	cr_expect_eq(query->parts[0].rows[0].bytes_tx, tx);
	cr_expect_eq(query->parts[0].rows[0].bytes_rx, rx);
	close(query->wake_fd);
	query_destroy(query);
	fast_lab_close(&lab);
}
