// SPDX-License-Identifier: Apache-2.0
#include "proxy/follow.h"

#include <unistd.h>

#include "proxy/affinity.h"
#include "proxy/connect.h"
#include "proxy/listener.h"
#include "proxy/session.h"
#include "proxy/thread.h"

enum {
	BRISK_BELOW_MS = 10000,
	LAST_ROUNDS = 2048, // of accepting before a listener is closed: more than any queue holds
};

// ---- settings ----------------------------------------------------------------------------------

static bool is_brisk_config(const struct config_proxy *config)
{
	return config->idle_timeout_ms < BRISK_BELOW_MS ||
	       config->client_timeout_ms < BRISK_BELOW_MS;
}

static void follow_settings(struct proxy_thread *thread)
{
	const struct config_proxy *config = &thread->snapshot->config->proxy;
	thread->is_brisk_config = is_brisk_config(config);
	thread->relay.may_splice = config->splice;
	thread->relay.pipes.max =
		atomic_load_explicit(&thread->proxy->max_pipes, memory_order_relaxed);
	for (uint32_t i = 0; i < thread->n_listeners; i++) {
		if (thread->listeners[i].fd >= 0)
			listener_follow(&thread->listeners[i], config);
	}
	session_follow_timeouts(thread);
}

// ---- listeners ---------------------------------------------------------------------------------

// What cannot be watched for want of memory can be later; until then it is asked at every tick.
static void take_offer(struct proxy_thread *thread, uint32_t slot)
{
	struct listener *listener = &thread->listeners[slot];
	int fd = atomic_exchange_explicit(&thread->offered[slot], -1, memory_order_relaxed);
	if (fd < 0)
		return;
	*listener = (struct listener){.fd = fd, .frontend = (uint16_t)slot, .has_more = true};
	int code = proxy_thread_watch_listener(thread, fd, slot);
	if (code) {
		proxy_thread_log_lack("cannot watch a listener", -code);
		listener->is_unwatched = true;
	}
	affinity_follow(thread, fd);
}

// Who has been greeted by the kernel is taken, for nobody else would.
static void take_last_and_close(struct proxy_thread *thread, uint32_t slot)
{
	struct listener *listener = &thread->listeners[slot];
	for (int i = 0; i < LAST_ROUNDS; i++) {
		listener_accept(thread, listener);
		if (!listener->has_more)
			break;
	}
	listener_close(listener);
	// Pairs with the acquire of control, which may give the slot or the address to another.
	atomic_fetch_sub_explicit(&thread->proxy->n_listening[slot], 1, memory_order_release);
}

static void follow_listeners(struct proxy_thread *thread)
{
	const struct snapshot *snapshot = thread->snapshot;
	thread->n_listeners = snapshot->n_frontends;
	for (uint32_t i = 0; i < snapshot->n_frontends && !thread->is_drained; i++) {
		const struct listener *listener = &thread->listeners[i];
		if (listener->fd < 0)
			take_offer(thread, i);
		if (listener->fd >= 0 && snapshot->frontends[i].state != SLOT_ACTIVE)
			take_last_and_close(thread, i);
	}
}

void follow_drain(struct proxy_thread *thread)
{
	for (uint32_t i = 0; i < thread->n_listeners; i++) {
		if (thread->listeners[i].fd >= 0)
			take_last_and_close(thread, i);
	}
	thread->is_drained = true;
	// Pairs with the acquire in proxy_is_drained(): what was taken counts as sessions by now.
	atomic_fetch_add_explicit(&thread->proxy->n_drained, 1, memory_order_release);
}

// ---- sessions ----------------------------------------------------------------------------------

// Notes which backends have gone down. True when any has.
static bool note_health(struct proxy_thread *thread)
{
	const struct snapshot *snapshot = thread->snapshot;
	bool any = false;
	for (uint32_t i = 0; i < snapshot->n_backends; i++) {
		const struct snapshot_backend *backend = &snapshot->backends[i];
		bool was_up = thread->was_up[i];
		thread->was_up[i] = backend->is_up;
		thread->has_gone_down[i] = was_up && !backend->is_up && backend->resets_on_down;
		any = any || (was_up && !backend->is_up);
	}
	return any;
}

// Of a backend that nobody is to go to any more, whatever becomes of the connect.
static bool is_withdrawn(const struct snapshot_backend *backend)
{
	return backend->state == SLOT_OVER || backend->admin == ADMIN_MAINT;
}

// on_backend_down = "reset": who is connected to a backend that has just gone down is told. So is
// who is left when the time to drain is over.
static void judge(struct proxy_thread *thread, uint32_t index)
{
	const struct snapshot *snapshot = thread->snapshot;
	const struct session *session = &thread->sessions[index];
	if (session->phase == SESSION_FREE)
		return;
	if (snapshot->frontends[session->frontend].state == SLOT_OVER) {
		session_end(thread, index, SESSION_END_DRAIN_TIMEOUT);
		return;
	}
	if (session->phase == SESSION_HEADER)
		return;
	const struct snapshot_backend *backend = &snapshot->backends[session->backend];
	if (session->phase == SESSION_CONNECTING) {
		if (is_withdrawn(backend))
			session_connect_elsewhere(thread, index);
		return;
	}
	if (backend->state == SLOT_OVER)
		session_end(thread, index, SESSION_END_DRAIN_TIMEOUT);
	else if (thread->has_gone_down[session->backend])
		session_end(thread, index, SESSION_END_BACKEND_DOWN);
}

static void follow_sessions(struct proxy_thread *thread)
{
	bool has_losses = note_health(thread);
	if (!has_losses && !thread->snapshot->n_over)
		return;
	for (uint32_t i = 1; i < thread->n_touched; i++)
		judge(thread, i);
}

// ---- all of it ---------------------------------------------------------------------------------

void follow_snapshot(struct proxy_thread *thread)
{
	const struct snapshot *snapshot = thread->snapshot;
	if (snapshot->version == thread->seen_version)
		return;
	thread->seen_version = snapshot->version;
	if (snapshot->generation->number != thread->seen_generation)
		follow_settings(thread);
	thread->seen_generation = snapshot->generation->number;
	follow_sessions(thread);
	follow_listeners(thread);
}
