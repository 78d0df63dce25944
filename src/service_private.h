// SPDX-License-Identifier: Apache-2.0
// What the files of the service (service.h) need of each other.
// Called by: the main thread, which is control.
#pragma once

#include <event2/util.h>

#include "service.h"

// What events call a backend. Returns `text`.
const char *service_subject(const struct snapshot_backend *b, char text[EVENT_SUBJECT_MAX]);

// For events whose `arg` is the service: see whether those that were removed have drained, and once
// a second what time has brought.
void service_on_draining(evutil_socket_t fd, short what, void *arg);
void service_on_tending(evutil_socket_t fd, short what, void *arg);

// Of a pool, for registry_watch_panics().
void service_take_panic(void *service, const char *pool, bool is_in_panic, const char *text);

// What the API may ask, with the service as `arg`. Static.
const struct api_ops *service_ops(enum mode mode);
