// SPDX-License-Identifier: Apache-2.0
// The readiness check as a command: all backends once, one row each in the order of the file.
#include "check_backends.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "culvert/base/event_loop.h"
#include "culvert/control/dsr_check.h"
#include "culvert/control/netwatch.h"

enum { SEEN_MAX = 640 };

struct report {
	const struct config *config; // borrowed; everything else is owned
	struct event_base *base;
	struct netwatch *netwatch;
	struct dsr_check *check;
	struct dsr_result *rows; // frontends in the order of the file, in each its backends
	size_t n_rows;
	size_t n_done;
};

static const struct config_pool *pool_of(const struct config *config, size_t frontend)
{
	return &config->pools[config->frontends[frontend].pool];
}

static size_t first_row(const struct config *config, size_t frontend)
{
	size_t row = 0;
	for (size_t i = 0; i < frontend; i++)
		row += pool_of(config, i)->n_backends;
	return row;
}

// By running number over all pools.
static size_t first_backend(const struct config *config, size_t frontend)
{
	size_t first = 0;
	for (size_t i = 0; i < config->frontends[frontend].pool; i++)
		first += config->pools[i].n_backends;
	return first;
}

static void on_result(void *arg, const struct dsr_result *result)
{
	struct report *report = arg;
	size_t row = first_row(report->config, result->frontend) + result->backend -
		     first_backend(report->config, result->frontend);
	report->rows[row] = *result;
	if (++report->n_done == report->n_rows)
		event_base_loopbreak(report->base);
}

static void on_network_change(void *arg)
{
	(void)arg; // each try looks for itself
}

// ---- printing ----------------------------------------------------------------------------------

static const char *state_name(enum dsr_verdict verdict)
{
	switch (verdict) {
	case DSR_READY:
		return "ok";
	case DSR_NOT_CHECKED:
		return "skipped";
	case DSR_UNKNOWN:
		return "unknown";
	default:
		return "FAILED";
	}
}

struct widths {
	int frontend;
	int backend;
};

static struct widths find_widths(const struct report *report)
{
	struct widths widths = {0};
	for (size_t i = 0; i < report->n_rows; i++) {
		char text[ENDPOINT_TEXT_MAX];
		const struct dsr_result *row = &report->rows[i];
		endpoint_format(&row->evidence.backend, text);
		int backend = (int)strlen(text);
		int frontend = (int)strlen(report->config->frontends[row->frontend].name);
		if (backend > widths.backend)
			widths.backend = backend;
		if (frontend > widths.frontend)
			widths.frontend = frontend;
	}
	return widths;
}

static void print_row(const struct report *report, const struct dsr_result *row,
		      const struct widths *widths)
{
	char backend[ENDPOINT_TEXT_MAX];
	char seen[SEEN_MAX];
	struct dsr_advice advice;
	printf("%-7s %-*s  %-*s  %s\n", state_name(row->verdict), widths->frontend,
	       report->config->frontends[row->frontend].name, widths->backend,
	       endpoint_format(&row->evidence.backend, backend),
	       dsr_result_format(row, seen, sizeof(seen)));
	dsr_result_explain(row, &advice);
	if (advice.cause[0])
		printf("        %s\n", advice.cause);
	for (unsigned i = 0; i < advice.n_commands; i++)
		printf("            %s\n", advice.commands[i]);
}

// Returns whether every backend passes.
static bool print_all(const struct report *report)
{
	size_t n_ready = 0;
	size_t n_skipped = 0;
	struct widths widths = find_widths(report);
	for (size_t i = 0; i < report->n_rows; i++) {
		print_row(report, &report->rows[i], &widths);
		n_ready += report->rows[i].verdict == DSR_READY;
		n_skipped += report->rows[i].verdict == DSR_NOT_CHECKED;
	}
	printf("%zu of %zu ready", n_ready, report->n_rows - n_skipped);
	if (n_skipped)
		printf(", %zu not checked", n_skipped);
	printf("\n");
	return n_ready + n_skipped == report->n_rows;
}

// ---- running -----------------------------------------------------------------------------------

static int open_all(struct report *report, struct err *err)
{
	report->n_rows = first_row(report->config, report->config->n_frontends);
	report->rows = calloc(report->n_rows + 1, sizeof(*report->rows));
	report->base = event_loop_create();
	if (!report->rows || !report->base)
		return err_sys(err, -ENOMEM, "readiness check");
	int code = netwatch_create(&report->netwatch, report->base, on_network_change, report, err);
	if (code)
		return code;
	struct dsr_check_params params = {
		.base = report->base,
		.netwatch = report->netwatch,
		.config = report->config,
		.on_result = on_result,
		.arg = report,
	};
	return dsr_check_open(&report->check, &params, err);
}

static int start_all(struct report *report, struct err *err)
{
	for (size_t i = 0; i < report->config->n_frontends; i++) {
		size_t first = first_backend(report->config, i);
		for (size_t k = 0; k < pool_of(report->config, i)->n_backends; k++) {
			int code = dsr_check_start(report->check, i, first + k);
			if (code)
				return err_sys(err, code, "readiness check");
		}
	}
	return 0;
}

static int await_all(struct report *report, struct err *err)
{
	if (event_base_dispatch(report->base) < 0 || report->n_done < report->n_rows)
		return err_set(err, -EIO, "the event loop broke down");
	return 0;
}

static void close_all(struct report *report)
{
	dsr_check_close(report->check);
	netwatch_destroy(report->netwatch);
	if (report->base)
		event_base_free(report->base);
	free(report->rows);
}

int check_backends_run(const struct config *config)
{
	struct report report = {.config = config};
	struct err err = {0};
	int code = open_all(&report, &err);
	if (!code)
		code = start_all(&report, &err);
	if (!code)
		code = await_all(&report, &err);
	if (code)
		fprintf(stderr, "culvert: %s\n", err.message);
	bool has_passed = !code && print_all(&report);
	close_all(&report);
	if (code == -EINVAL) // of what was given
		return EXIT_CODE_USAGE;
	return has_passed ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
