// SPDX-License-Identifier: Apache-2.0
// What proxy mode tells the flow log of sessions: each beginning and end once, with where it went
// and how it was.
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#include "../support/lib/sockets.h"
#include "culvert/base/clock.h"
#include "culvert/flow/flow_journal.h"
#include "culvert/flow/session_end.h"
#include "lib/reload_lab.h"

enum { PATIENCE_S = 60 };

TestSuite(proxy_flow_log, .timeout = 120);

static struct reload_lab lab;

static void init(void)
{
	static char path[] = "/nobody/writes/it";
	reload_lab_init(&lab);
	lab.bench.config.flow_log.path = path;
}

static struct flow_record await_record(void)
{
	struct flow_journal *journal = proxy_flow_journal(lab.bench.proxy, 0);
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_S * NS_PER_SEC;
	struct flow_record *record;
	while (!flow_journal_take(journal, &record, 1)) {
		cr_assert_lt(clock_now_ns(), deadline_ns);
		sched_yield();
	}
	struct flow_record copy = *record;
	flow_journal_give_back(journal, &record, 1);
	cr_expect_eq(copy.frontend, 0);
	cr_expect_eq(copy.proto, IPPROTO_TCP);
	return copy;
}

Test(proxy_flow_log, a_session_is_told_from_its_connect_to_its_end)
{
	int server;
	init();
	lab.bench.config.flow_log.starts = true;
	proxy_bench_start(&lab.bench);
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	struct flow_record begun = await_record();
	cr_expect(begun.is_start);
	cr_expect(begun.has_backend);
	cr_expect(sockets_say(server, "world!"));
	cr_expect(sockets_hear(client, "world!"));
	reload_lab_close(client, server);
	struct flow_record over = await_record();
	cr_expect_not(over.is_start);
	cr_expect_str_eq(session_end_name(over.end), "completed");
	cr_expect(over.has_backend);
	cr_expect_eq(over.backend, 0);
	cr_expect_eq(over.client_port_be, begun.client_port_be);
	cr_expect(ip_addr_equal(&over.client, &begun.client));
	cr_expect_eq(over.start_ms, begun.start_ms);
	cr_expect_geq(over.end_ms, over.start_ms);
	cr_expect_eq(over.bytes_tx, 5, "hello");
	cr_expect_eq(over.bytes_rx, 6, "world!");
	reload_lab_fini(&lab);
}

Test(proxy_flow_log, who_is_turned_away_has_no_backend)
{
	init();
	proxy_bench_start(&lab.bench);
	proxy_bench_set_up(&lab.bench, 0, false);
	cr_expect_neq(sockets_visit(AT_FRONTEND), 0);
	struct flow_record record = await_record();
	cr_expect_str_eq(session_end_name(record.end), "no_backend");
	cr_expect_not(record.has_backend);
	cr_expect_not(record.is_start);
	reload_lab_fini(&lab);
}

Test(proxy_flow_log, who_is_refused_beyond_a_limit_is_told_as_well)
{
	int server;
	init();
	lab.bench.config.proxy.on_full = ON_FULL_REFUSE;
	lab.bench.frontends[0].max_connections = 1;
	proxy_bench_start(&lab.bench);
	int client = reload_lab_open(AT_FRONTEND, lab.listener, &server);
	cr_expect_neq(sockets_visit(AT_FRONTEND), 0);
	struct flow_record record = await_record();
	cr_expect_str_eq(session_end_name(record.end), "connection_limit");
	reload_lab_close(client, server);
	record = await_record();
	cr_expect_str_eq(session_end_name(record.end), "completed");
	reload_lab_fini(&lab);
}
