// SPDX-License-Identifier: Apache-2.0
#include "proxy/query.h"

#include "culvert/proxy/proxy.h"
#include "culvert/proxy/query.h"
#include "proxy/session.h"
#include "proxy/thread.h"

// ---- the thread --------------------------------------------------------------------------------

static const char *const phase_names[] = {
	[SESSION_FREE] = "free",
	[SESSION_HEADER] = "header",
	[SESSION_CONNECTING] = "connecting",
	[SESSION_RELAYING] = "relaying",
};

static int32_t backend_of(const struct session *session)
{
	return session->phase == SESSION_HEADER ? QUERY_ANY : (int32_t)session->backend;
}

static void fill_row(struct flow_row *row, const struct proxy_thread *thread,
		     const struct session *session)
{
	int32_t left = (int32_t)(session_deadline(thread, session) - thread->tick);
	*row = (struct flow_row){
		.client = session->client,
		.state = phase_names[session->phase],
		.backend = backend_of(session),
		.frontend = session->frontend,
		.idle_ms = (thread->tick - session->active) * MS_PER_TICK,
		.expires_ms = left > 0 ? (uint32_t)left * MS_PER_TICK : 0,
		.bytes_tx = session->streams[CLIENT].n_bytes,
		.bytes_rx = session->streams[BACKEND].n_bytes,
	};
}

static void look_at(const struct proxy_thread *thread, struct query_part *part, uint32_t index)
{
	const struct session *session = &thread->sessions[index];
	if (session->phase == SESSION_FREE ||
	    !query_matches(&part->query->filter, &session->client, session->frontend,
			   backend_of(session)))
		return;
	struct flow_row *row = query_add(part);
	if (row)
		fill_row(row, thread, session);
}

// False when there is more to look at. 0 names no session, and n_touched is one beyond the last.
static bool look_at_piece(const struct proxy_thread *thread, struct query_part *part)
{
	for (int i = 0; i < QUERY_ENTRIES && part->next + 1 < thread->n_touched; i++)
		look_at(thread, part, ++part->next);
	return part->next + 1 >= thread->n_touched;
}

void query_answer_sessions(struct proxy_thread *thread)
{
	struct query_part *part = query_box_look(&thread->questions);
	if (part && (query_is_cancelled(part) || look_at_piece(thread, part)))
		query_give_back(&thread->questions, part);
}

// ---- control -----------------------------------------------------------------------------------

const struct snapshot *proxy_snapshot(const struct proxy *proxy)
{
	// Control itself has stored it.
	return atomic_load_explicit(&proxy->snapshot, memory_order_relaxed);
}

void proxy_ask(struct proxy *proxy, struct query *query)
{
	query_begin(query, proxy->n_threads);
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		query_post(&proxy->threads[i].questions, &query->parts[i]);
		proxy_thread_wake(&proxy->threads[i]);
	}
}
