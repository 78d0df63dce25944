// SPDX-License-Identifier: Apache-2.0
// evhttp says nothing when the connection of an answer under way is lost; it takes the connection
// away from the request, which belongs to us from then on. So that is looked for before each use.
#include "live_stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"

enum { N_PLACES = 2 * LIVE_STREAMS };

struct client {
	struct evhttp_request *http; // owned; NULL: the place is free
	const struct conn_gate *way; // in; only compared
};

struct live_stream {
	struct client clients[N_PLACES];
};

int live_stream_create(struct live_stream **stream, struct err *err)
{
	struct live_stream *created = calloc(1, sizeof(*created));
	if (!created)
		return err_set(err, -ENOMEM, "not enough memory for the stream of samples");
	*stream = created;
	return 0;
}

// With the connection, if it is still there, goes the request.
static void let_go(struct client *client)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(client->http);
	if (conn)
		evhttp_connection_free(conn);
	else
		evhttp_request_free(client->http);
	client->http = NULL;
}

void live_stream_destroy(struct live_stream *stream)
{
	if (!stream)
		return;
	for (unsigned i = 0; i < N_PLACES; i++) {
		if (stream->clients[i].http)
			let_go(&stream->clients[i]);
	}
	free(stream);
}

// `way` NULL: any.
static size_t count(struct live_stream *stream, const struct conn_gate *way)
{
	size_t n = 0;
	for (unsigned i = 0; i < N_PLACES; i++) {
		struct client *client = &stream->clients[i];
		if (client->http && !evhttp_request_get_connection(client->http))
			let_go(client);
		n += client->http && (!way || client->way == way);
	}
	return n;
}

size_t live_stream_n(struct live_stream *stream)
{
	return count(stream, NULL);
}

// At most one message more than LIVE_UNSENT_MAX waits for a client.
static bool is_keeping_up(struct evhttp_request *client)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(client);
	struct bufferevent *bufev = evhttp_connection_get_bufferevent(conn);
	return evbuffer_get_length(bufferevent_get_output(bufev)) <= LIVE_UNSENT_MAX;
}

static void send_text(struct evhttp_request *client, const char *name, const char *text)
{
	struct evbuffer *chunk = evbuffer_new();
	if (chunk && evbuffer_add_printf(chunk, "event: %s\ndata: %s\n\n", name, text) >= 0)
		evhttp_send_reply_chunk(client, chunk);
	if (chunk)
		evbuffer_free(chunk);
}

static char *to_text(json_t *data)
{
	char *text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(data);
	return text;
}

void live_stream_send(struct live_stream *stream, const char *name, json_t *data)
{
	char *text = to_text(data);
	size_t n = live_stream_n(stream);
	for (unsigned i = 0; text && n && i < N_PLACES; i++) {
		struct client *client = &stream->clients[i];
		if (!client->http)
			continue;
		if (is_keeping_up(client->http))
			send_text(client->http, name, text);
		else
			let_go(client);
	}
	free(text);
}

static struct evhttp_request *begin(struct api_request *request)
{
	struct evhttp_request *client = api_request_detach(request);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(client);
	evhttp_add_header(headers, "Content-Type", "text/event-stream");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "X-Accel-Buffering", "no"); // nginx in front would hold it back
	evhttp_add_header(headers, "Connection", "close");
	evhttp_send_reply_start(client, HTTP_OK, "OK");
	return client;
}

static void send_first(struct evhttp_request *client, const char *name, json_t *data)
{
	char *text = to_text(data);
	if (text)
		send_text(client, name, text);
	free(text);
}

static void refuse(struct api_request *request)
{
	api_answer_error(request, 503, "close one of them",
			 "%d streams are open already, which is all there can be", LIVE_STREAMS);
}

void live_stream_open(struct live_stream *stream, struct api_request *request, json_t *history,
		      json_t *sample)
{
	struct client *place = stream->clients;
	bool is_head = evhttp_request_get_command(request->http) == EVHTTP_REQ_HEAD;
	if (is_head || count(stream, request->gate) == LIVE_STREAMS) {
		json_decref(history);
		json_decref(sample);
		if (is_head)
			api_answer_bytes(request, 200, "text/event-stream", "", 0);
		else
			refuse(request);
		return;
	}
	while (place->http)
		place++;
	place->way = request->gate;
	place->http = begin(request);
	send_first(place->http, "history", history);
	send_first(place->http, "sample", sample);
}
