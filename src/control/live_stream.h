// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/stream: server-sent events (WHATWG HTML, section 9.2) for the page. A client gets the
// history once, then a sample every second and each event as it happens. Nothing waits for a
// client: who does not take what is sent is let go, and may come again. Called by: control.
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "culvert/base/err.h"

struct api_request;
struct live_stream;

// By each of the two ways in, so that clients of TCP cannot keep the administrator out; and bytes
// of each stream.
enum { LIVE_STREAMS = 8, LIVE_UNSENT_MAX = 1 << 20 };

int live_stream_create(struct live_stream **stream, struct err *err);
// Ends all of them; before api_stop(). NULL is legal.
void live_stream_destroy(struct live_stream *stream);

// Answer `request` by a stream that begins with these; 503 when its way in has LIVE_STREAMS
// already. The JSON is taken over, and may be NULL.
void live_stream_open(struct live_stream *stream, struct api_request *request, json_t *history,
		      json_t *sample);

// How many there are, those whose clients have gone not counted. Nobody reads: nothing to make.
size_t live_stream_n(struct live_stream *stream);

// Send `data` to all as an event called `name`. Takes `data` over; NULL, for lack of memory, is not
// sent.
void live_stream_send(struct live_stream *stream, const char *name, json_t *data);
