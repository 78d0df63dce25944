// SPDX-License-Identifier: Apache-2.0
// One question of one client, as handlers see it. Handlers answer by what culvert/control/api.h
// declares; one that returns without an answer has promised one for later.
// Called by: control.
#pragma once

#include <event2/keyvalq_struct.h>
#include <sys/queue.h>

#include "control/api_router.h"
#include "control/conn_gate.h"
#include "culvert/control/api.h"

struct evhttp_request;

LIST_HEAD(api_requests, api_request);

struct api_request {
	LIST_ENTRY(api_request) link;
	const struct api_source *source; // borrowed, as the next three
	struct evhttp_request *http;
	struct conn_gate *gate;
	bool *is_over; // NULL: nobody waits to be told
	bool is_held;
	struct api_match match;
	struct evkeyvalq params; // of the query string
	json_t *body;            // owned; an object, empty when nothing was sent
};

// A new request for `http`, in the list of open ones; NULL when memory is short. It answers
// everything itself from here on.
struct api_request *api_request_open(struct api_requests *list, struct evhttp_request *http,
				     struct conn_gate *gate, const struct api_source *source);

// Take the query string and the body apart. False when they are malformed; that is answered.
bool api_request_parse(struct api_request *request);

// Its connection may live until it is answered.
void api_request_hold(struct api_request *request);

// Of the query string, decoded; NULL: not given.
const char *api_request_param(const struct api_request *request, const char *key);

// For answers that are streams: the request is gone, and the caller owns what evhttp has given,
// whose connection may live for ever. It bounds how many there are, and ends them before
// api_stop().
struct evhttp_request *api_request_detach(struct api_request *request);

// What the mode has counted, for stats_fini() in any case. False when it cannot be told now; that
// is answered.
bool api_gather(struct api_request *request, struct stats *stats);
