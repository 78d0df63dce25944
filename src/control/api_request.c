// SPDX-License-Identifier: Apache-2.0
#include "control/api_request.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/log.h"

enum { MESSAGE_MAX = 1024 };

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{422, "Unprocessable Content"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

static void forget(struct api_request *request)
{
	if (request->is_over)
		*request->is_over = true;
	if (request->is_held)
		conn_gate_release(request->gate, request->http);
	LIST_REMOVE(request, link);
	evhttp_clear_headers(&request->params);
	json_decref(request->body);
	free(request);
}

struct api_request *api_request_open(struct api_requests *list, struct evhttp_request *http,
				     struct conn_gate *gate, const struct api_source *source)
{
	struct api_request *request = calloc(1, sizeof(*request));
	if (!request)
		return NULL;
	request->http = http;
	request->gate = gate;
	request->source = source;
	TAILQ_INIT(&request->params);
	LIST_INSERT_HEAD(list, request, link);
	return request;
}

void api_request_hold(struct api_request *request)
{
	request->is_over = NULL;
	request->is_held = true;
	conn_gate_hold(request->gate, request->http);
}

// evhttp does not read while an answer is due, and so does not notice.
bool api_request_is_abandoned(const struct api_request *request)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(request->http);
	if (!conn)
		return true;
	struct pollfd ask = {.fd = bufferevent_getfd(evhttp_connection_get_bufferevent(conn)),
			     .events = POLLRDHUP};
	return poll(&ask, 1, 0) > 0; // POLLHUP and POLLERR are always asked for
}

struct evhttp_request *api_request_detach(struct api_request *request)
{
	struct evhttp_request *http = request->http;
	if (!request->is_held)
		conn_gate_hold(request->gate, http);
	request->is_held = false; // as far as forget() is concerned
	forget(request);
	return http;
}

// ---- the question ------------------------------------------------------------------------------

const char *api_request_param(const struct api_request *request, const char *key)
{
	return evhttp_find_header(&request->params, key);
}

static bool parse_body(struct api_request *request)
{
	struct evbuffer *buffer = evhttp_request_get_input_buffer(request->http);
	size_t size = evbuffer_get_length(buffer);
	json_error_t error = {.text = "not enough memory"};
	if (size == 0) {
		request->body = json_object();
		return request->body != NULL;
	}
	const char *text = (const char *)evbuffer_pullup(buffer, -1);
	if (text)
		request->body = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(request->body))
		return true;
	api_answer_error(request, 400, "send a JSON object, as docs/api.md shows",
			 "the body is not a JSON object: %s", request->body ? "" : error.text);
	return false;
}

bool api_request_parse(struct api_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request->http));
	if (query && evhttp_parse_query_str(query, &request->params)) {
		api_answer_error(request, 400, "write it as ?key=value&key=value",
				 "the query string is malformed");
		return false;
	}
	return parse_body(request);
}

// ---- the answer --------------------------------------------------------------------------------

// One request per connection: a place is free again as soon as its answer is out. evhttp would send
// the body of an answer to HEAD too (RFC 9110 section 9.3.2 forbids it), so that gets its length
// only.
static void send_answer(struct api_request *request, int status, const char *type,
			struct evbuffer *body)
{
	struct evhttp_request *http = request->http;
	struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
	char length[24];
	snprintf(length, sizeof(length), "%zu", body ? evbuffer_get_length(body) : 0);
	evhttp_add_header(headers, "Content-Type", type);
	if (status != HTTP_NOTMODIFIED) // there it would be the length of what is not sent
		evhttp_add_header(headers, "Content-Length", length);
	if (!evhttp_find_header(headers, "Cache-Control"))
		evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Connection", "close");
	if (body && evhttp_request_get_command(http) == EVHTTP_REQ_HEAD)
		evbuffer_drain(body, evbuffer_get_length(body));
	forget(request); // before the answer: that may end the connection, and with it `http`
	evhttp_send_reply(http, status, reason_of(status), body);
}

static void answer(struct api_request *request, int status, const char *type, const void *bytes,
		   size_t size, const char *end)
{
	struct evbuffer *body = evbuffer_new();
	if (!body || evbuffer_add(body, bytes, size) || evbuffer_add(body, end, strlen(end)))
		status = 500; // with what there is: this host has no memory for more
	send_answer(request, status, type, body);
	if (body)
		evbuffer_free(body);
}

void api_answer_bytes(struct api_request *request, int status, const char *type, const void *bytes,
		      size_t size)
{
	answer(request, status, type, bytes, size, "");
}

void api_answer_json(struct api_request *request, int status, json_t *body)
{
	// Twelve digits: durations and shares, without the noise of binary fractions.
	char *text = body ? json_dumps(body, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
	json_decref(body);
	if (text)
		answer(request, status, "application/json", text, strlen(text), "\n");
	else
		api_answer_error(request, 500, NULL, "not enough memory for the answer");
	free(text);
}

// What clients have sent may be in a message, and may be anything; JSON is UTF-8.
static void to_ascii(char *text)
{
	for (; *text; text++) {
		if (*text & 0x80)
			*text = '?';
	}
}

void api_answer_error(struct api_request *request, int status, const char *hint, const char *format,
		      ...)
{
	static const char lack[] = "{\"error\":{\"message\":\"not enough memory\"}}";
	char message[MESSAGE_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	to_ascii(message);
	json_t *root = json_pack("{s:{s:s, s:s*}}", "error", "message", message, "hint", hint);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	json_decref(root);
	answer(request, status, "application/json", text ? text : lack, strlen(text ? text : lack),
	       "\n");
	free(text);
}

bool api_gather(struct api_request *request, struct stats *stats)
{
	const struct api_source *source = request->source;
	int code = source->ops->gather(source->arg, stats);
	if (!code)
		return true;
	log_error("api", "cannot gather statistics: %s", strerror(-code));
	api_answer_error(request, 503, "try again in a second", "cannot gather statistics: %s",
			 strerror(-code));
	return false;
}
