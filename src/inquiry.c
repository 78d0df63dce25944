// SPDX-License-Identifier: Apache-2.0
#include "inquiry.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "culvert/control/api_json.h"
#include "culvert/flow/query.h"
#include "culvert/packet/query.h"
#include "culvert/proxy/proxy.h"
#include "culvert/proxy/query.h"
#include "explain.h"
#include "sampling.h"
#include "service.h"

enum { PATIENCE_S = 5 };

// What one client has asked.
struct question {
	struct question *next;
	struct inquiry *inquiry;
	struct query *query;         // owned
	struct api_request *request; // NULL: answered, and only waiting for the threads
	struct event *patience;      // owned
	bool is_explain;
	struct api_explain_query explain;
	uint32_t limit;
};

// The data path, whichever it is; `arg` is the engine or the proxy.
struct inquiry_path {
	const struct snapshot *(*snapshot)(const void *arg);
	uint32_t (*n_parts)(const void *arg);
	void (*ask)(void *arg, struct query *query);
};

struct inquiry {
	const struct service *service;
	const struct inquiry_path *path;
	void *arg;
	int wake_fd;
	struct event *wake;
	struct sampling *sampling; // owned; NULL: the data path has no packets
	struct question *first;    // the one that is under way; the others have not been asked yet
};

// ---- answers -----------------------------------------------------------------------------------

// Rows of the parts one after another; false when memory is short.
static bool list_rows(const struct question *question, json_t *list, uint64_t *n_matched)
{
	const struct query *query = question->query;
	const struct registry *registry = question->inquiry->service->registry;
	for (uint32_t i = 0; i < query->n_parts; i++) {
		const struct query_part *part = &query->parts[i];
		*n_matched += part->n_matched;
		for (uint32_t k = 0; k < part->n_rows; k++) {
			if (json_array_size(list) == question->limit)
				break;
			json_t *flow = api_flow_to_json(registry, &part->rows[k]);
			if (!flow)
				(*n_matched)--; // ended meanwhile
			else if (json_array_append_new(list, flow))
				return false;
		}
	}
	return true;
}

static void answer_flows(const struct question *question)
{
	uint64_t n_matched = 0;
	json_t *list = json_array();
	json_t *answer = NULL;
	if (list && list_rows(question, list, &n_matched))
		answer = json_pack("{s:O, s:I, s:b}", "flows", list, "n_matched",
				   (json_int_t)n_matched, "is_complete",
				   json_array_size(list) == n_matched);
	json_decref(list);
	api_answer_json(question->request, 200, answer);
}

static const struct flow_row *only_row(const struct query *query)
{
	for (uint32_t i = 0; query && i < query->n_parts; i++) {
		if (query->parts[i].n_rows)
			return &query->parts[i].rows[0];
	}
	return NULL;
}

static void answer_explain(const struct inquiry *inquiry, const struct api_explain_query *asked,
			   const struct query *query, struct api_request *request)
{
	struct explain_params params = {
		.registry = inquiry->service->registry,
		.health = inquiry->service->health,
		.snapshot = inquiry->path->snapshot(inquiry->arg),
		.client = asked->client,
		.vip = asked->vip,
		.flow = only_row(query),
	};
	api_answer_json(request, 200, explain(&params));
}

static void answer(struct question *question)
{
	if (!question->request)
		return;
	if (question->is_explain)
		answer_explain(question->inquiry, &question->explain, question->query,
			       question->request);
	else
		answer_flows(question);
	question->request = NULL;
}

// ---- the queue ---------------------------------------------------------------------------------

static void destroy(struct question *question)
{
	if (question->patience)
		event_free(question->patience);
	query_destroy(question->query);
	free(question);
}

// It has the threads for itself.
static void ask_next(struct inquiry *inquiry)
{
	if (inquiry->first)
		inquiry->path->ask(inquiry->arg, inquiry->first->query);
}

static void remove_waiting(struct inquiry *inquiry, struct question *question)
{
	struct question *before = inquiry->first;
	while (before->next != question)
		before = before->next;
	before->next = question->next;
	destroy(question);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct inquiry *inquiry = arg;
	struct question *question = inquiry->first;
	uint64_t rung;
	(void)!read(fd, &rung, sizeof(rung));
	if (!question || !query_is_done(question->query))
		return;
	answer(question);
	inquiry->first = question->next;
	destroy(question);
	ask_next(inquiry);
}

// The one under way stays until its threads have let go of it.
static void on_impatience(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct question *question = arg;
	api_answer_error(question->request, 503, "try again, or ask for less",
			 "the data path has not answered within %d s", PATIENCE_S);
	question->request = NULL;
	if (question == question->inquiry->first)
		query_cancel(question->query);
	else
		remove_waiting(question->inquiry, question);
}

static void append(struct inquiry *inquiry, struct question *question)
{
	struct question **at = &inquiry->first;
	while (*at)
		at = &(*at)->next;
	*at = question;
	if (inquiry->first == question)
		ask_next(inquiry);
}

// A question with an empty query; NULL when memory is short, which is answered.
static struct question *prepare(struct inquiry *inquiry, uint32_t limit,
				struct api_request *request)
{
	static const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct question *question = calloc(1, sizeof(*question));
	if (question) {
		question->inquiry = inquiry;
		question->request = request;
		question->limit = limit;
		question->query = query_create(inquiry->path->n_parts(inquiry->arg), limit);
		question->patience = evtimer_new(inquiry->service->base, on_impatience, question);
	}
	if (question && question->query && question->patience &&
	    event_add(question->patience, &patience) == 0) {
		question->query->wake_fd = inquiry->wake_fd;
		return question;
	}
	if (question)
		destroy(question);
	api_answer_error(request, 503, "ask for less", "not enough memory for the question");
	return NULL;
}

// ---- what is asked -----------------------------------------------------------------------------

void inquiry_flows(struct inquiry *inquiry, const struct api_flow_query *asked,
		   struct api_request *request)
{
	struct question *question = prepare(inquiry, asked->limit, request);
	if (!question)
		return;
	question->query->filter = (struct query_filter){
		.has_client = asked->has_client,
		.client = asked->client,
		.client_port_be = asked->client_port_be,
		.backend = asked->backend < 0 ? QUERY_ANY : asked->backend,
		.frontend = asked->frontend < 0 ? QUERY_ANY : asked->frontend,
	};
	append(inquiry, question);
}

void inquiry_explain(struct inquiry *inquiry, const struct api_explain_query *asked,
		     struct api_request *request)
{
	const struct snapshot *snapshot = inquiry->path->snapshot(inquiry->arg);
	int32_t frontend = explain_find_frontend(snapshot, &asked->vip);
	if (frontend < 0) {
		answer_explain(inquiry, asked, NULL, request);
		return;
	}
	struct question *question = prepare(inquiry, 1, request);
	if (!question)
		return;
	question->is_explain = true;
	question->explain = *asked;
	question->query->is_for_one = true;
	question->query->proto = asked->client.proto;
	question->query->filter = (struct query_filter){
		.has_client = true,
		.client = asked->client.addr,
		.client_port_be = asked->client.port_be,
		.backend = QUERY_ANY,
		.frontend = frontend,
	};
	append(inquiry, question);
}

void inquiry_sample(struct inquiry *inquiry, const struct api_sample_query *asked,
		    struct api_request *request)
{
	sampling_begin(inquiry->sampling, asked, request);
}

// ---- opening and closing -----------------------------------------------------------------------

void inquiry_close(struct inquiry *inquiry)
{
	if (!inquiry)
		return;
	while (inquiry->first) {
		struct question *question = inquiry->first;
		inquiry->first = question->next;
		destroy(question);
	}
	sampling_close(inquiry->sampling);
	if (inquiry->wake)
		event_free(inquiry->wake);
	close(inquiry->wake_fd);
	free(inquiry);
}

static int open_on(struct inquiry **inquiry, const struct service *service,
		   const struct inquiry_path *path, void *arg, struct err *err)
{
	struct inquiry *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for questions");
	*made = (struct inquiry){.service = service, .path = path, .arg = arg};
	made->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (made->wake_fd < 0) {
		int code = err_sys(err, -errno, "cannot open an eventfd");
		free(made);
		return code;
	}
	made->wake = event_new(service->base, made->wake_fd, EV_READ | EV_PERSIST, on_wake, made);
	if (!made->wake || event_add(made->wake, NULL)) {
		inquiry_close(made);
		return err_set(err, -ENOMEM, "not enough memory for questions");
	}
	*inquiry = made;
	return 0;
}

static const struct snapshot *snapshot_of_engine(const void *engine)
{
	return engine_snapshot(engine);
}

static uint32_t tables_of_engine(const void *engine)
{
	return engine_n_tables(engine);
}

static void ask_engine(void *engine, struct query *query)
{
	engine_ask(engine, query);
}

int inquiry_open_packet(struct inquiry **inquiry, const struct service *service,
			struct engine *engine, struct err *err)
{
	static const struct inquiry_path path = {snapshot_of_engine, tables_of_engine, ask_engine};
	struct inquiry *made = NULL;
	int code = open_on(&made, service, &path, engine, err);
	if (!code)
		code = sampling_open(&made->sampling, service->base, engine, err);
	if (!code)
		*inquiry = made;
	else
		inquiry_close(made);
	return code;
}

static const struct snapshot *snapshot_of_proxy(const void *proxy)
{
	return proxy_snapshot(proxy);
}

static uint32_t threads_of_proxy(const void *proxy)
{
	return proxy_n_threads(proxy);
}

static void ask_proxy(void *proxy, struct query *query)
{
	proxy_ask(proxy, query);
}

int inquiry_open_proxy(struct inquiry **inquiry, const struct service *service, struct proxy *proxy,
		       struct err *err)
{
	static const struct inquiry_path path = {snapshot_of_proxy, threads_of_proxy, ask_proxy};
	return open_on(inquiry, service, &path, proxy, err);
}

void inquiry_forget(struct inquiry *inquiry)
{
	if (!inquiry)
		return;
	sampling_forget(inquiry->sampling);
	if (!inquiry->first)
		return;
	while (inquiry->first->next)
		remove_waiting(inquiry, inquiry->first->next);
	inquiry->first->request = NULL;
	event_del(inquiry->first->patience);
	query_cancel(inquiry->first->query);
}
