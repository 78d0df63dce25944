// SPDX-License-Identifier: Apache-2.0
// Bounds what the clients of an HTTP server can take: the number of open connections, and the life
// of each, however slowly it speaks. At the limit the oldest makes room for the newest, so clients
// that hold on to connections do not keep others out. Should descriptors run out, clients wait in
// the kernel's queue.
// Called by: control.
#pragma once

#include <stddef.h>

struct conn_gate;
struct event_base;
struct evconnlistener;
struct evhttp;
struct evhttp_request;

// `listener` is the only one of `http`, which uses no other bufferevents; all borrowed. No more
// than `read_ahead_max` bytes of a connection are kept: as many as a whole request may have. NULL
// when memory is short.
struct conn_gate *conn_gate_create(struct event_base *base, struct evhttp *http,
				   struct evconnlistener *listener, size_t read_ahead_max);

// After evhttp_free(). NULL is legal.
void conn_gate_destroy(struct conn_gate *gate);

// To be told of every request before it is answered: its connection then gives up its place as soon
// as it closes, and not only at the end of its life.
void conn_gate_on_request(struct conn_gate *gate, struct evhttp_request *request);

// The request's connection lives until it is released, and has its usual time from then on. There
// are to be fewer of these than places.
void conn_gate_hold(struct conn_gate *gate, struct evhttp_request *request);
// The client may have gone away meanwhile.
void conn_gate_release(struct conn_gate *gate, struct evhttp_request *request);

// What slow readers have not taken yet, over all connections.
size_t conn_gate_unsent_bytes(const struct conn_gate *gate);
