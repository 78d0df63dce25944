// SPDX-License-Identifier: Apache-2.0
// Questions to proxy mode's data path about its sessions.
// Called by: control.
#pragma once

#include "culvert/balance/snapshot.h"
#include "culvert/flow/query.h"

struct proxy;

// The snapshot that was published last; borrowed until the next proxy_publish().
const struct snapshot *proxy_snapshot(const struct proxy *proxy);

// Have the threads answer, once they run; as many parts as proxy_n_threads(). Any of them may have
// the session of a client, so all are asked even with query->is_for_one. The query stays the
// caller's, and exists until it is done or the proxy has stopped.
void proxy_ask(struct proxy *proxy, struct query *query);
