// SPDX-License-Identifier: Apache-2.0
#include "probe_lab.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "culvert/base/event_loop.h"

enum { GIVE_UP_S = 30, LONG_MS = 20000 };

static void on_done(void *arg, const struct probe_result *result)
{
	struct probe_lab *lab = arg;
	lab->result = *result;
	lab->n_results++;
}

void probe_lab_init(struct probe_lab *lab, enum health_kind kind)
{
	static char name[] = "b1";
	static char path[] = "/health";
	*lab = (struct probe_lab){.base = event_loop_create()};
	cr_assert_not_null(lab->base);
	lab->pool = (struct config_pool){.health_check = kind,
					 .health_check_timeout_ms = LONG_MS,
					 .check.path = path};
	lab->backend = (struct config_backend){.name = name};
	lab->backend.endpoint.proto = IPPROTO_TCP;
	cr_assert(ip_addr_parse("127.0.0.1", &lab->backend.endpoint.addr));
	probe_init(&lab->probe, lab->base, on_done, lab);
}

void probe_lab_fini(struct probe_lab *lab)
{
	probe_cancel(&lab->probe);
	event_base_free(lab->base);
	if (lab->server) {
		kill(lab->server, SIGKILL);
		waitpid(lab->server, NULL, 0);
	}
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

static void begin(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct probe_lab *lab = arg;
	usleep(lab->busy_before_ms * 1000);
	probe_start(&lab->probe, &lab->pool, &lab->backend);
	usleep(lab->busy_after_ms * 1000);
}

static const struct probe_result *ask(struct probe_lab *lab)
{
	bool is_late = false;
	struct event *limit = evtimer_new(lab->base, give_up, &is_late);
	struct timeval patience = {.tv_sec = GIVE_UP_S};
	struct timeval at_once = {0};
	evtimer_add(limit, &patience);
	lab->n_results = 0;
	event_base_once(lab->base, -1, EV_TIMEOUT, begin, lab, &at_once);
	while (!lab->n_results && !is_late)
		event_base_loop(lab->base, EVLOOP_ONCE);
	event_free(limit);
	cr_assert_not(is_late, "no result");
	cr_expect_eq(lab->n_results, 1);
	cr_expect_eq(lab->probe.fd, -1, "a socket is left open");
	return &lab->result;
}

void probe_lab_expect_pass(struct probe_lab *lab, const char *text)
{
	const struct probe_result *result = ask(lab);
	cr_expect_eq(result->outcome, PROBE_PASSED, "%s", result->text);
	cr_expect_not_null(strstr(result->text, text), "%s", result->text);
}

void probe_lab_expect_failure(struct probe_lab *lab, const char *text)
{
	const struct probe_result *result = ask(lab);
	cr_expect_eq(result->outcome, PROBE_FAILED, "%s", result->text);
	cr_expect_not_null(strstr(result->text, text), "\"%s\", expected \"%s\"", result->text,
			   text);
}
