// SPDX-License-Identifier: Apache-2.0
#include "proxy/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "proxy/listener.h"
#include "proxy/query.h"
#include "proxy/session.h"
#include "proxy/thread.h"

enum {
	TIMERS_AT_ONCE = 4096,
	LAZY_WAIT_MS = 1000, // while only minutes are counted
};

static bool is_paused(const struct proxy_thread *thread)
{
	for (size_t i = 0; i < thread->proxy->config->n_frontends; i++) {
		if (thread->listeners[i].is_paused)
			return true;
	}
	return false;
}

static bool has_more_to_accept(const struct proxy_thread *thread)
{
	for (size_t i = 0; i < thread->proxy->config->n_frontends; i++) {
		if (thread->listeners[i].has_more)
			return true;
	}
	return false;
}

// How long to sleep when nothing happens. A thread without sessions does not wake up at all.
static int wait_ms(const struct proxy_thread *thread)
{
	if (thread->resumed_head || has_more_to_accept(thread) ||
	    query_box_look(&thread->questions))
		return 0;
	if (thread->n_brisk || is_paused(thread) ||
	    (counter_read(&thread->n_sessions) && thread->is_brisk_config))
		return MS_PER_TICK;
	return counter_read(&thread->n_sessions) ? LAZY_WAIT_MS : -1;
}

static int wait_for_events(struct proxy_thread *thread, struct epoll_event *events)
{
	int timeout_ms = wait_ms(thread);
	if (timeout_ms)
		grace_away();
	int n = epoll_wait(thread->epoll_fd, events, EVENTS_AT_ONCE, timeout_ms);
	if (timeout_ms)
		grace_back();
	thread->now_ns = clock_now_ns();
	thread->tick = (uint32_t)(thread->now_ns / (MS_PER_TICK * NS_PER_MS));
	return n > 0 ? n : 0;
}

// on_backend_down = "reset": who is connected to a backend that has just gone down is told.
static void reset_sessions(struct proxy_thread *thread, const bool *has_gone_down)
{
	for (uint32_t i = 1; i < thread->n_touched; i++) {
		const struct session *session = &thread->sessions[i];
		if (session->phase == SESSION_RELAYING && has_gone_down[session->backend])
			session_end(thread, i, SESSION_END_BACKEND_DOWN);
	}
}

// What a new snapshot means for sessions that there are already.
static void sweep(struct proxy_thread *thread)
{
	const struct snapshot *snapshot = thread->snapshot;
	bool any = false;
	if (snapshot->version == thread->swept_version)
		return;
	thread->swept_version = snapshot->version;
	for (uint32_t i = 0; i < snapshot->n_backends; i++) {
		const struct snapshot_backend *backend = &snapshot->backends[i];
		bool was_up = thread->was_up[i];
		thread->was_up[i] = backend->is_up;
		thread->has_gone_down[i] = was_up && !backend->is_up && backend->resets_on_down;
		any = any || thread->has_gone_down[i];
	}
	if (any)
		reset_sessions(thread, thread->has_gone_down);
}

static void drain(struct proxy_thread *thread)
{
	for (size_t i = 0; i < thread->proxy->config->n_frontends; i++) {
		struct listener *listener = &thread->listeners[i];
		do
			listener_accept(thread, listener);
		while (listener->has_more);
		listener_close(listener);
	}
	thread->is_drained = true;
	// Pairs with the acquire in proxy_is_drained(): what was taken counts as sessions by now.
	atomic_fetch_add_explicit(&thread->proxy->n_drained, 1, memory_order_release);
}

static void handle_event(struct proxy_thread *thread, const struct epoll_event *event)
{
	uint32_t number = (uint32_t)event->data.u64;
	enum subject subject = (enum subject)(event->data.u64 >> NUMBER_BITS);
	uint64_t rung;
	switch (subject) {
	case ABOUT_LISTENER:
		if (thread->listeners[number].fd >= 0)
			listener_accept(thread, &thread->listeners[number]);
		return;
	case ABOUT_WAKE:
		(void)!read(thread->wake_fd, &rung, sizeof(rung));
		thread->is_woken = true;
		return;
	default:
		session_on_event(thread, number, subject, event->events);
		return;
	}
}

// Listeners that could not take what was there when they were told of it, each first in turn.
static void accept_again(struct proxy_thread *thread, bool has_room)
{
	size_t n_frontends = thread->proxy->config->n_frontends;
	for (size_t i = 0; i < n_frontends; i++) {
		size_t at = (thread->next_listener + i) % n_frontends;
		struct listener *listener = &thread->listeners[at];
		if (listener->has_more || (listener->is_paused && has_room))
			listener_accept(thread, listener);
	}
	thread->next_listener++;
}

static void resume(struct proxy_thread *thread)
{
	uint32_t index = thread->resumed_head;
	thread->resumed_head = 0;
	while (index) {
		uint32_t next = thread->sessions[index].next;
		session_resume(thread, index);
		index = next;
	}
}

// Nothing that epoll has said about them is left.
static void free_ended(struct proxy_thread *thread)
{
	while (thread->ended_head) {
		uint32_t index = thread->ended_head;
		thread->ended_head = thread->sessions[index].next;
		thread->sessions[index].next = thread->free_head;
		thread->free_head = index;
	}
}

static void run_round(struct proxy_thread *thread)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	uint32_t tick = thread->tick;
	thread->is_woken = false;
	int n = wait_for_events(thread, events);
	// Pairs with the release in proxy_publish().
	thread->snapshot = atomic_load_explicit(&thread->proxy->snapshot, memory_order_acquire);
	sweep(thread);
	for (int i = 0; i < n; i++)
		handle_event(thread, &events[i]);
	resume(thread);
	if (thread->tick != tick)
		wheel_advance(&thread->timers, thread->tick, session_on_timer, thread,
			      TIMERS_AT_ONCE);
	accept_again(thread, thread->is_woken || thread->tick != tick);
	free_ended(thread);
	query_answer_sessions(thread);
}

void *loop_run(void *arg)
{
	struct proxy_thread *thread = arg;
	struct proxy *proxy = thread->proxy;
	grace_join();
	// Both pair with the releases of control.
	while (!atomic_load_explicit(&proxy->is_stopping, memory_order_acquire)) {
		run_round(thread);
		if (!thread->is_drained &&
		    atomic_load_explicit(&proxy->is_draining, memory_order_acquire))
			drain(thread);
		grace_quiescent();
	}
	for (uint32_t i = 1; i < thread->n_touched; i++) {
		if (thread->sessions[i].phase != SESSION_FREE)
			session_end(thread, i, SESSION_END_SHUTDOWN);
	}
	grace_leave();
	return NULL;
}
