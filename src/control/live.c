// SPDX-License-Identifier: Apache-2.0
// Samples are taken whether somebody looks or not, so that the page has a past when it is opened:
// with 1,000 backends that is less than half a millisecond each second. JSON is only made for
// readers. What is still needs no looking at: its samples are made up afterwards.
#include "culvert/control/live.h"

#include <errno.h>
#include <stdlib.h>

#include "control/api_params.h"
#include "control/api_request.h"
#include "control/api_server.h"
#include "control/api_view.h"
#include "control/live_history.h"
#include "control/live_stream.h"
#include "culvert/base/clock.h"
#include "culvert/control/activity.h"

enum { EVENTS_LIMIT = 100, PERIOD_MS = 1000 };

struct live {
	struct api_source source;
	struct activity *activity; // borrowed
	struct events *events;     // borrowed; what follows is owned
	struct live_history *history;
	struct live_stream *stream;
	struct activity_watch watch;
};

// ---- sampling ----------------------------------------------------------------------------------

// Frontends, then backends, in the order of the counters.
struct parts {
	struct live_part *list; // owned, with the names of backends
	size_t n_frontends;
	size_t n_backends;
};

static void parts_fini(struct parts *parts)
{
	for (size_t i = 0; parts->list && i < parts->n_backends; i++)
		free(parts->list[parts->n_frontends + i].name);
	free(parts->list);
}

// Numbers that nobody has are left out.
static int parts_fill(struct parts *parts, const struct api_source *source,
		      const struct stats *stats)
{
	struct frontend_view frontend;
	struct backend_view backend;
	for (uint32_t i = 0; i < api_n_frontends(source); i++) {
		if (api_view_frontend(source, stats, i, &frontend))
			parts->list[parts->n_frontends++] =
				(struct live_part){frontend.config->name, *frontend.traffic};
	}
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		struct live_part *part = &parts->list[parts->n_frontends + parts->n_backends];
		if (!api_view_backend(source, stats, i, &backend))
			continue;
		*part = (struct live_part){api_backend_name(&backend), *backend.traffic};
		if (!part->name)
			return -ENOMEM;
		parts->n_backends++;
	}
	return 0;
}

static int parts_init(struct parts *parts, const struct api_source *source,
		      const struct stats *stats)
{
	size_t n = (size_t)api_n_frontends(source) + api_n_backends(source);
	*parts = (struct parts){.list = calloc(n, sizeof(*parts->list))};
	return parts->list ? parts_fill(parts, source, stats) : -ENOMEM;
}

static int read_counters(struct live *live, const struct parts *parts, const struct stats *stats)
{
	bool is_proxy = stats->mode == MODE_PROXY;
	struct live_reading reading = {
		.now_ns = clock_now_ns(),
		.time_ms = clock_wall_ms(),
		.total = is_proxy ? stats->sessions.total : stats->packets.total,
		.packets = stats->packets.received,
		.frontends = parts->list,
		.n_frontends = parts->n_frontends,
		.backends = parts->list + parts->n_frontends,
		.n_backends = parts->n_backends,
	};
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++)
		reading.drops += stats->packets.verdicts[v];
	return live_history_add(live->history, &reading);
}

static int take_sample(struct live *live)
{
	struct stats stats = {0};
	struct parts parts = {0};
	int code = live->source.ops->gather(live->source.arg, &stats);
	if (!code)
		code = parts_init(&parts, &live->source, &stats);
	if (!code)
		code = read_counters(live, &parts, &stats);
	parts_fini(&parts);
	stats_fini(&stats);
	return code;
}

// The samples of the seconds in which nothing moved.
static void make_up(struct live *live)
{
	live_history_rest(live->history, clock_now_ns(), clock_wall_ms());
}

// A sample that there was no memory for is a gap in the picture, and nothing else.
static bool on_second(void *arg, bool is_after_rest)
{
	struct live *live = arg;
	if (is_after_rest)
		make_up(live);
	if (take_sample(live) || !live_history_n(live->history))
		return true;
	if (!live_stream_n(live->stream))
		return !live_history_is_still(live->history);
	live_stream_send(live->stream, "sample", live_history_newest(live->history));
	return true;
}

static void on_event(void *arg, const struct event_record *event)
{
	struct live *live = arg;
	if (live_stream_n(live->stream))
		live_stream_send(live->stream, "event", event_to_json(event));
}

// ---- routes ------------------------------------------------------------------------------------

static void on_stream(struct api_request *request, void *arg)
{
	struct live *live = arg;
	if (activity_is_resting(live->activity))
		make_up(live);
	activity_stir(live->activity);
	live_stream_open(live->stream, request, live_history_all(live->history),
			 live_history_newest(live->history));
}

static void on_events(struct api_request *request, void *arg)
{
	const struct live *live = arg;
	static const char *const keys[] = {"limit", NULL};
	uint32_t limit;
	if (api_params_known(request, keys) &&
	    api_param_number(request, "limit", EVENTS_LIMIT, 0, EVENTS_KEPT, &limit))
		api_answer_json(request, 200, events_to_json(live->events, limit));
}

int live_start(struct live **live, struct activity *activity, const struct api_source *source,
	       struct api *api, struct events *events, struct err *err)
{
	static const struct api_route routes[] = {
		{EVHTTP_REQ_GET, "/api/v1/stream", on_stream},
		{EVHTTP_REQ_GET, "/api/v1/events", on_events},
	};
	struct live *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the live page");
	made->source = *source;
	made->activity = activity;
	made->events = events;
	made->watch = (struct activity_watch){
		.look = on_second,
		.arg = made,
		.period_ms = PERIOD_MS,
	};
	int code = live_history_create(&made->history, err);
	if (!code)
		code = live_stream_create(&made->stream, err);
	if (!code)
		code = activity_add(activity, &made->watch, err);
	events_watch(events, on_event, made);
	if (code) {
		live_stop(made);
		return code;
	}
	(void)take_sample(made); // what the first one is compared with
	api_add_routes(api, routes, sizeof(routes) / sizeof(routes[0]), made);
	*live = made;
	return 0;
}

void live_stop(struct live *live)
{
	if (!live)
		return;
	events_watch(live->events, NULL, NULL);
	activity_remove(&live->watch);
	live_stream_destroy(live->stream);
	live_history_destroy(live->history);
	free(live);
}
