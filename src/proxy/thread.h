// SPDX-License-Identifier: Apache-2.0
// One thread of proxy mode: an event loop, the listeners it accepts from, and its sessions. Nothing
// here is locked; what other threads may read says so.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "culvert/balance/generation.h"
#include "culvert/base/histogram.h"
#include "culvert/config/config.h"
#include "culvert/flow/flow_journal.h"
#include "culvert/flow/proxy_stats.h"
#include "culvert/flow/query.h"
#include "culvert/flow/session_end.h"
#include "culvert/flow/traffic.h"
#include "proxy/listener.h"
#include "proxy/offers.h"
#include "proxy/quota.h"
#include "proxy/relay.h"
#include "proxy/session.h"

enum { TICKS_PER_SECOND = 10, MS_PER_TICK = 1000 / TICKS_PER_SECOND };

enum { PROXY_CACHE_LINE = 64 };

// What an event is about: the upper half of epoll's number says which kind, the lower which of
// them.
enum subject { ABOUT_CLIENT = CLIENT, ABOUT_BACKEND = BACKEND, ABOUT_LISTENER, ABOUT_WAKE };

enum { NUMBER_BITS = 32, EVENTS_AT_ONCE = 256 };

struct frontend_counters { // w: the thread, r: any
	struct traffic_counters traffic;
	counter_t ends[N_SESSION_ENDS];
	struct histogram session_time;
};

struct backend_counters { // w: the thread, r: any
	struct traffic_counters traffic;
	counter_t connects[N_CONNECT_RESULTS];
	struct histogram connect_time;
};

// What the threads share.
struct proxy {
	struct proxy_thread *threads; // owned
	uint32_t n_threads;
	uint32_t max_frontends; // slots
	uint32_t max_backends;
	uint32_t n_running;                 // threads that were started
	uint32_t max_sessions;              // that there can ever be room for
	_Atomic uint32_t max_pipes;         // per thread; w: control (relaxed)
	int processors[CONFIG_MAX_WORKERS]; // by thread; -1: it has none of its own
	bool has_flow_log;
	uint16_t self_port_min; // backend ports from here on may be a connection's own source port
	struct quota all;
	struct quota *frontends;       // owned; by slot
	struct offer *offers;          // owned; w, r: control
	struct listening *listening;   // owned; by slot; w, r: control
	_Atomic uint32_t *n_listening; // owned; by slot: threads that listen, or are to
	_Atomic bool *is_held;         // owned; by slot: nobody is accepted for now; w: control
	uint64_t limited_generation;   // w, r: control: of the snapshot whose limits hold
	_Atomic uint32_t *n_failures;  // owned; by backend: failed connects in a row; any thread
	int alarm_fd;                  // owned; eventfd: a backend's n_failures has come to `fall`
	struct doorbell *activity;     // borrowed; NULL: nobody wants to hear it; w: control
	struct proxy_stats before;     // w, r: control; what slots had counted for others
	_Atomic(struct snapshot *) snapshot; // w: control (release); r: threads (acquire)
	_Atomic bool is_draining;            // w: control (release), r: threads (acquire)
	_Atomic bool is_stopping;            // likewise
	_Atomic bool should_steer;           // control has asked for it (relaxed)
	_Atomic bool is_steered;    // connections go to the processor they arrive on: affinity.h
	_Atomic uint32_t n_drained; // w: threads (release); r: control (acquire)
};

struct proxy_thread { // one after another in memory, and none in the lines of the next
	_Alignas(PROXY_CACHE_LINE) struct proxy *proxy; // borrowed
	uint32_t number;
	pthread_t pthread;
	int epoll_fd;
	int wake_fd;                // eventfd: control has something new
	struct listener *listeners; // owned; by slot of their frontends
	uint32_t n_listeners;       // slots that have ever been used
	_Atomic int *offered;       // owned; by slot: a listening socket to be taken, or -1
	struct relay relay;
	uint32_t next_source;   // in the configuration's proxy.source_addrs
	uint32_t next_listener; // the first to accept what had to wait

	struct session *sessions; // owned; mapped, touched only as far as they were ever used
	uint32_t n_touched;       // indices below have been used, but for 0
	uint32_t capacity;
	uint32_t free_head;
	uint32_t ended_head;   // ended in this round: epoll may have events of them still
	uint32_t resumed_head; // budget used up: to go on after the others
	struct wheel timers;
	counter_t n_sessions; // w: the thread, r: any
	uint32_t n_brisk;     // in a phase whose time is counted in ticks, not in minutes

	struct query_box questions; // of control about the sessions: query.h

	uint64_t seen_version;    // of the snapshot that the next three are of
	uint64_t seen_generation; // what follow.c has seen to
	bool *was_up;             // owned; by backend
	bool *has_gone_down;      // owned; by backend; those whose sessions were reset for it

	// Of this round.
	const struct snapshot *snapshot; // borrowed
	uint64_t now_ns;
	uint32_t tick;
	uint32_t told_tick;   // when the last was told that sessions do something
	bool is_brisk_config; // some idle timeout is short
	bool is_drained;
	bool is_woken;

	struct frontend_counters *frontends; // owned
	struct backend_counters *backends;   // owned
	counter_t accepted;
	counter_t accept_pauses;
	struct flow_journal *journal; // owned; NULL: sessions are not written down
};

int proxy_thread_init(struct proxy_thread *thread, struct proxy *proxy, uint32_t number,
		      struct err *err);
void proxy_thread_fini(struct proxy_thread *thread); // after its loop has ended

// Wake the loop, for it to look at what control has changed. Called by: control.
void proxy_thread_wake(struct proxy_thread *thread);

// Watch `fd`, edge-triggered, for everything that can happen to it. 0 or -errno.
int proxy_thread_watch(struct proxy_thread *thread, int fd, uint32_t session, unsigned end);

// The same for a listener, of connections that come in.
int proxy_thread_watch_listener(struct proxy_thread *thread, int fd, uint32_t slot);

// The number of the pool whose backends serve a frontend's sessions. Those that a removed frontend
// has left without a backend yet get one of the pool that now has the name of theirs.
uint16_t proxy_thread_pool(const struct proxy_thread *thread, uint16_t frontend);

static inline const struct config_proxy *proxy_thread_settings(const struct proxy_thread *thread)
{
	return &thread->snapshot->config->proxy;
}

// A line about something that this host lacks, now and then.
void proxy_thread_log_lack(const char *what, int error);
