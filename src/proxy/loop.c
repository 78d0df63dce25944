// SPDX-License-Identifier: Apache-2.0
#include "proxy/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "culvert/balance/grace.h"
#include "culvert/base/clock.h"
#include "culvert/ds/doorbell.h"
#include "proxy/affinity.h"
#include "proxy/follow.h"
#include "proxy/listener.h"
#include "proxy/query.h"
#include "proxy/session.h"
#include "proxy/thread.h"

enum {
	TIMERS_AT_ONCE = 4096,
	// While only minutes are counted: timers of a second together, and as far as is looked for
	// the next.
	LAZY_TICKS = TICKS_PER_SECOND,
	LAZY_TICKS_MAX = 64,
};

// Nothing will tell that there is a connection, or room for it.
static bool must_be_asked(const struct listener *listener)
{
	return listener->is_paused || listener->is_unwatched;
}

static bool must_ask(const struct proxy_thread *thread)
{
	for (size_t i = 0; i < thread->n_listeners; i++) {
		if (must_be_asked(&thread->listeners[i]))
			return true;
	}
	return false;
}

static bool has_more_to_accept(const struct proxy_thread *thread)
{
	for (size_t i = 0; i < thread->n_listeners; i++) {
		if (thread->listeners[i].has_more)
			return true;
	}
	return false;
}

static int lazy_wait_ms(const struct proxy_thread *thread)
{
	uint32_t ticks = wheel_next(&thread->timers, LAZY_TICKS_MAX);
	return (int)(ticks < LAZY_TICKS ? LAZY_TICKS : ticks) * MS_PER_TICK;
}

// How long to sleep when nothing happens: not before the first snapshot has been looked at. A
// thread without sessions does not wake up at all.
static int wait_ms(const struct proxy_thread *thread)
{
	if (!thread->snapshot || thread->resumed_head || has_more_to_accept(thread) ||
	    query_box_look(&thread->questions))
		return 0;
	if (thread->n_brisk || must_ask(thread) ||
	    (counter_read(&thread->n_sessions) && thread->is_brisk_config))
		return MS_PER_TICK;
	return counter_read(&thread->n_sessions) ? lazy_wait_ms(thread) : -1;
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
	uint32_t n = thread->n_listeners;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (thread->next_listener + i) % n;
		struct listener *listener = &thread->listeners[at];
		if (listener->has_more || (must_be_asked(listener) && has_room))
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

// Those of a tick are told together: threads share the bell. Control looks at the counters at least
// a tick after it has armed it.
static void tell_activity(struct proxy_thread *thread)
{
	if (!thread->proxy->activity || thread->told_tick == thread->tick)
		return;
	thread->told_tick = thread->tick;
	doorbell_ring(thread->proxy->activity);
}

void loop_round(struct proxy_thread *thread)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	uint32_t tick = thread->tick;
	thread->is_woken = false;
	int n = wait_for_events(thread, events);
	// Pairs with the release in proxy_publish().
	thread->snapshot = atomic_load_explicit(&thread->proxy->snapshot, memory_order_acquire);
	for (int i = 0; i < n; i++)
		handle_event(thread, &events[i]);
	// After the events: a session that now goes elsewhere would take what they say of its old
	// connection for news of the new one.
	follow_snapshot(thread);
	if (thread->is_woken)
		affinity_take_order(thread);
	resume(thread);
	uint32_t n_due = 0;
	if (thread->tick != tick)
		n_due = wheel_advance(&thread->timers, thread->tick, session_on_timer, thread,
				      TIMERS_AT_ONCE);
	accept_again(thread, thread->is_woken || thread->tick != tick);
	free_ended(thread);
	if (n || n_due)
		tell_activity(thread);
	query_answer_sessions(thread);
}

void *loop_run(void *arg)
{
	struct proxy_thread *thread = arg;
	struct proxy *proxy = thread->proxy;
	grace_join();
	// Both pair with the releases of control.
	while (!atomic_load_explicit(&proxy->is_stopping, memory_order_acquire)) {
		loop_round(thread);
		if (!thread->is_drained &&
		    atomic_load_explicit(&proxy->is_draining, memory_order_acquire))
			follow_drain(thread);
		grace_quiescent();
	}
	for (uint32_t i = 1; i < thread->n_touched; i++) {
		if (thread->sessions[i].phase != SESSION_FREE)
			session_end(thread, i, SESSION_END_SHUTDOWN);
	}
	grace_leave();
	return NULL;
}
