// SPDX-License-Identifier: Apache-2.0
// What becomes of a configuration file that changes, with a mode that does what a test wants.
#include "reload.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reload_queue.h"
#include "service.h"

enum { PATH_MAX_BYTES = 128 };

#define FRONTEND                                                                 \
	"[frontends.web]\nlisten_addr = \"127.0.0.1:8080\"\nbackend = \"web\"\n" \
	"[backends.web]\nhealth_check = \"none\"\n"
#define ONE "servers.one.addr = \"127.0.0.1:9001\"\n"
#define TWO "servers.two.addr = \"127.0.0.1:9002\"\n"

static const char one_server[] = FRONTEND ONE;
static const char two_servers[] = FRONTEND ONE TWO;

struct bench {
	char directory[PATH_MAX_BYTES];
	char path[PATH_MAX_BYTES + 16];
	struct service service;
	int follow_code;
	unsigned n_followed;
	bool is_unsettled;
	bool unsettles; // each configuration that is taken over
	unsigned n_done;
	enum reload_outcome outcome; // of the last one done
};

// ---- a mode -------------------------------------------------------------------------------------

static int publish(void *arg, struct snapshot *snapshot, struct err *err)
{
	(void)arg;
	(void)err;
	snapshot_destroy(snapshot);
	return 0;
}

static uint64_t no_users(void *arg, uint32_t slot)
{
	(void)arg;
	(void)slot;
	return 0;
}

static void forget_traffic(void *arg, uint32_t slot, struct traffic *counted)
{
	(void)arg;
	(void)slot;
	*counted = (struct traffic){0};
}

static void forget(void *arg, uint32_t slot)
{
	(void)arg;
	(void)slot;
}

static int check_config(void *arg, const struct config *config, struct err *err)
{
	(void)arg;
	(void)config;
	(void)err;
	return 0;
}

static int follow_config(void *arg, struct err *err)
{
	struct bench *bench = arg;
	bench->n_followed++;
	bench->is_unsettled |= bench->unsettles;
	return bench->follow_code ? err_set(err, bench->follow_code, "memory is short") : 0;
}

static bool is_settled(void *arg)
{
	const struct bench *bench = arg;
	return !bench->is_unsettled;
}

static int gather(void *arg, struct stats *stats)
{
	(void)arg;
	(void)stats;
	return 0;
}

static const struct service_hooks hooks = {
	.publish = publish,
	.frontend_users = no_users,
	.backend_users = no_users,
	.forget_frontend = forget,
	.forget_backend = forget_traffic,
	.check_config = check_config,
	.is_settled = is_settled,
	.follow_config = follow_config,
	.gather = gather,
};

// ---- the bench ----------------------------------------------------------------------------------

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static struct config *load(const char *path)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	cr_assert_eq(config_load(path, &config, &errors), 0, "%s",
		     errors.count ? errors.list[0].message : "");
	return config;
}

static void begin(struct bench *bench, const char *text)
{
	struct err err = {0};
	*bench = (struct bench){.directory = "/tmp/reload-XXXXXX"};
	cr_assert(mkdtemp(bench->directory));
	snprintf(bench->path, sizeof(bench->path), "%s/culvert.toml", bench->directory);
	write_file(bench->path, text);
	struct service *service = &bench->service;
	*service = (struct service){.config = load(bench->path), .hooks = &hooks, .arg = bench};
	cr_assert_eq(service_open(service, 1, &err), 0, "%s", err.message);
	cr_assert_eq(service_open_health(service, &err), 0, "%s", err.message);
	cr_assert_eq(service_open_reload(service, &err), 0, "%s", err.message);
}

static void end(struct bench *bench)
{
	service_close_outward(&bench->service);
	service_close(&bench->service);
	unlink(bench->path);
	rmdir(bench->directory);
}

static enum reload_outcome ask(struct bench *bench, const char *text)
{
	struct reload_result result;
	const struct reload_request request = {.cause = RELOAD_BY_API, .max_disruption = -1};
	write_file(bench->path, text);
	reload_run(bench->service.reload, &request, &result);
	enum reload_outcome outcome = result.outcome;
	reload_result_fini(&result);
	return outcome;
}

static uint32_t n_backends(const struct bench *bench)
{
	return config_n_backends(registry_config(bench->service.registry));
}

Test(reload, takes_over_what_has_changed_and_nothing_else)
{
	struct bench bench;
	begin(&bench, one_server);
	cr_expect_eq(ask(&bench, one_server), RELOAD_UNCHANGED);
	cr_expect_eq(bench.n_followed, 0);
	cr_expect_eq(ask(&bench, two_servers), RELOAD_OK);
	cr_expect_eq(bench.n_followed, 1);
	cr_expect_eq(n_backends(&bench), 2);
	cr_expect_eq(ask(&bench, "nonsense"), RELOAD_REFUSED);
	cr_expect_eq(n_backends(&bench), 2);
	end(&bench);
}

Test(reload, a_file_that_is_not_there_is_said_to_be_that)
{
	struct bench bench;
	const struct reload_request request = {.cause = RELOAD_BY_API, .max_disruption = -1};
	struct reload_result result;
	begin(&bench, one_server);
	cr_expect_eq(ask(&bench, "nonsense"), RELOAD_REFUSED);
	cr_expect_str_eq(reload_last(bench.service.reload)->summary, "the file has errors");
	unlink(bench.path);
	reload_run(bench.service.reload, &request, &result);
	cr_expect_eq(result.outcome, RELOAD_REFUSED);
	cr_expect_str_eq(result.summary, "the file is not there");
	reload_result_fini(&result);
	cr_assert_eq(mkdir(bench.path, 0700), 0);
	reload_run(bench.service.reload, &request, &result);
	cr_expect_str_eq(result.summary, "the file cannot be read");
	reload_result_fini(&result);
	cr_assert_eq(rmdir(bench.path), 0);
	end(&bench);
}

static void plan(struct bench *bench, const char *name, const char *text,
		 struct reload_result *result)
{
	const struct reload_request request = {
		.cause = RELOAD_BY_API,
		.max_disruption = -1,
		.is_plan = true,
		.name = name,
		.text = text,
		.length = strlen(text),
	};
	reload_run(bench->service.reload, &request, result);
}

Test(reload, another_file_is_planned_and_changes_nothing)
{
	struct bench bench;
	struct reload_result result;
	begin(&bench, one_server);
	plan(&bench, "next.toml", two_servers, &result);
	cr_expect_eq(result.outcome, RELOAD_PLANNED);
	cr_assert_eq(result.plan.n_changes, 1);
	cr_expect_str_eq(result.plan.changes[0].name, "web/two");
	reload_result_fini(&result);
	plan(&bench, "/tmp/next.yaml", "frontends: [", &result);
	cr_expect_eq(result.outcome, RELOAD_REFUSED);
	cr_assert_gt(result.errors.count, 0);
	cr_expect_str_eq(result.errors.list[0].file, "/tmp/next.yaml");
	reload_result_fini(&result);
	plan(&bench, "next.txt", one_server, &result);
	cr_expect_eq(result.outcome, RELOAD_REFUSED, "neither TOML nor YAML");
	cr_expect_eq(result.errors.count, 1);
	reload_result_fini(&result);
	cr_expect_eq(bench.n_followed, 0);
	cr_expect_eq(n_backends(&bench), 1);
	cr_expect_not(reload_last(bench.service.reload)->is_any);
	end(&bench);
}

// Nothing of it differs from what is in force, and yet something is missing.
Test(reload, errors_of_the_mode_are_told_with_the_others)
{
	static const char two_errors[] =
		"[frontends.web]\nlisten_addr = \"127.0.0.1:8080\"\nprotocol = \"udp\"\n"
		"backend = \"web\"\n[backends.web]\nwait = 1\n" ONE;
	struct bench bench;
	struct reload_result result;
	begin(&bench, one_server);
	plan(&bench, "next.toml", two_errors, &result);
	cr_expect_eq(result.errors.count, 2);
	reload_result_fini(&result);
	cr_expect_eq(ask(&bench, two_errors), RELOAD_REFUSED);
	cr_expect_eq(reload_last(bench.service.reload)->n_errors, 2);
	end(&bench);
}

Test(reload, what_was_taken_over_in_part_is_taken_over_again)
{
	struct bench bench;
	begin(&bench, one_server);
	bench.follow_code = -ENOMEM;
	cr_expect_eq(ask(&bench, two_servers), RELOAD_FAILED);
	cr_expect_eq(ask(&bench, two_servers), RELOAD_FAILED);
	bench.follow_code = 0;
	cr_expect_eq(ask(&bench, "nonsense"), RELOAD_REFUSED);
	cr_expect_eq(ask(&bench, two_servers), RELOAD_OK);
	cr_expect_eq(bench.n_followed, 3);
	cr_expect_eq(ask(&bench, two_servers), RELOAD_UNCHANGED);
	cr_expect_eq(bench.n_followed, 3);
	end(&bench);
}

// ---- what has to wait ---------------------------------------------------------------------------

static void on_done(void *arg, const struct reload_result *result)
{
	struct bench *bench = arg;
	bench->n_done++;
	bench->outcome = result->outcome;
}

static void ask_in_turn(struct bench *bench, bool is_plan)
{
	const struct reload_request request = {.cause = RELOAD_BY_API,
					       .max_disruption = -1,
					       .is_plan = is_plan};
	reload_queue_run(reload_queue(bench->service.reload), &request, on_done, bench);
}

static void await_done(struct bench *bench, unsigned n)
{
	while (bench->n_done < n)
		event_base_loop(bench->service.base, EVLOOP_ONCE);
	cr_expect_eq(bench->n_done, n);
}

static void turn_for_ms(struct bench *bench, long ms)
{
	const struct timeval wait = {.tv_usec = ms * 1000};
	event_base_loopexit(bench->service.base, &wait);
	event_base_dispatch(bench->service.base);
}

Test(reload, waits_in_the_event_loop_until_the_mode_is_settled)
{
	struct bench bench;
	begin(&bench, one_server);
	bench.unsettles = true;
	write_file(bench.path, two_servers);
	ask_in_turn(&bench, false);
	cr_expect_eq(bench.n_done, 1, "there was nothing to wait for");
	cr_expect_eq(bench.outcome, RELOAD_OK);
	write_file(bench.path, one_server);
	ask_in_turn(&bench, false);
	ask_in_turn(&bench, true);
	cr_expect_eq(bench.n_done, 2, "a plan does not wait");
	cr_expect_eq(bench.outcome, RELOAD_PLANNED);
	ask_in_turn(&bench, false);
	turn_for_ms(&bench, 50);
	cr_expect_eq(bench.n_done, 2);
	bench.is_unsettled = bench.unsettles = false;
	await_done(&bench, 4);
	cr_expect_eq(bench.outcome, RELOAD_UNCHANGED, "in their order");
	cr_expect_eq(n_backends(&bench), 1);
	end(&bench);
}

Test(reload, waits_for_no_longer_than_that_is_worth)
{
	struct bench bench;
	begin(&bench, one_server);
	bench.is_unsettled = true;
	write_file(bench.path, two_servers);
	ask_in_turn(&bench, false);
	cr_expect_eq(bench.n_done, 0);
	await_done(&bench, 1); // the mode says what is missing, if it is
	cr_expect_eq(bench.outcome, RELOAD_OK);
	end(&bench);
}

Test(reload, what_waits_at_the_end_is_forgotten)
{
	struct bench bench;
	begin(&bench, one_server);
	bench.is_unsettled = true;
	ask_in_turn(&bench, false);
	ask_in_turn(&bench, false);
	end(&bench);
	cr_expect_eq(bench.n_done, 0);
}
