// SPDX-License-Identifier: Apache-2.0
// What the kinds of probes have in common, and what each brings: one file for each kind.
// Called by: control.
#pragma once

#include "control/probe.h"

struct probe_kind {
	int socket_type;
	// The socket is connected: finish, or ask and probe_await().
	void (*on_connected)(struct probe *probe);
	// What was awaited is there, or the time is over. NULL: neither can be.
	void (*on_ready)(struct probe *probe);
	void (*on_timeout)(struct probe *probe);
};

extern const struct probe_kind probe_tcp;
extern const struct probe_kind probe_http;
extern const struct probe_kind probe_udp;

// Wait until the socket is as `what` says (EV_READ, EV_WRITE), to the end of the probe's time.
void probe_await(struct probe *probe, short what);

// End the probe. Each calls `done`, which may do anything with the probe: return at once.
__attribute__((format(printf, 2, 3))) void probe_pass(struct probe *probe, const char *format, ...);
__attribute__((format(printf, 2, 3))) void probe_fail(struct probe *probe, const char *format, ...);
// Silence of the other side, in the caller's words.
__attribute__((format(printf, 2, 3))) void probe_time_out(struct probe *probe, const char *format,
							  ...);
// `doing` failed, or could not be done for want of something here.
void probe_fail_by(struct probe *probe, const char *doing, int error);

double probe_elapsed_ms(const struct probe *probe);
// The pool's health_check_timeout.
double probe_timeout_s(const struct probe *probe);
