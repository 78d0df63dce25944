// SPDX-License-Identifier: Apache-2.0
// The PROXY header at the two ends of a session: read from clients that are allowed to say whose a
// connection is (accept_proxy), written to backends that want to know (send_proxy).
#pragma once

#include <stdbool.h>

#include "culvert/flow/session_end.h"

struct proxy_thread;
struct session;

enum client_header_state { CLIENT_HEADER_READ, CLIENT_HEADER_AWAITED, CLIENT_HEADER_FAILED };

// Does this client's connection begin with a header?
bool client_header_is_due(const struct proxy_thread *thread, const struct session *session);

// Take the header off the stream, and nothing behind it, into session->client and ->local. When
// that has failed, *end says how the session ends.
enum client_header_state client_header_read(struct proxy_thread *thread, struct session *session,
					    enum session_end *end);

// Whose sender is not what accept_proxy takes it for; `problem` says how it was noticed.
void client_header_log_bad(struct proxy_thread *thread, const struct session *session,
			   const char *problem);

// Put the header that the session's pool wants in front of what the client says. 0 or -ENOMEM.
int client_header_send(const struct proxy_thread *thread, struct session *session);
