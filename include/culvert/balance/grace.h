// SPDX-License-Identifier: Apache-2.0
// When may an old snapshot be freed? Threads of the data path are readers of read-copy-update in
// its quiescent-state flavour (liburcu): once per batch each says that it holds no snapshot.
#pragma once

#include <urcu-qsbr.h>

#if defined(__SANITIZE_THREAD__)
#define GRACE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GRACE_TSAN 1
#endif
#endif

// ThreadSanitizer cannot see the barriers inside liburcu, which is not built with it. These two
// tell it the ordering that liburcu guarantees: what a reader did before it was quiescent happens
// before what follows grace_wait().
#ifdef GRACE_TSAN
#include <sanitizer/tsan_interface.h>
extern char grace_order; // its address names the ordering, nothing else
#define GRACE_RELEASE() __tsan_release(&grace_order)
#define GRACE_ACQUIRE() __tsan_acquire(&grace_order)
#else
#define GRACE_RELEASE() ((void)0)
#define GRACE_ACQUIRE() ((void)0)
#endif

// First and last thing in a reader thread.
static inline void grace_join(void)
{
	rcu_register_thread();
}

static inline void grace_leave(void)
{
	GRACE_RELEASE();
	rcu_unregister_thread();
}

// Between batches: the reader holds no snapshot.
static inline void grace_quiescent(void)
{
	GRACE_RELEASE();
	rcu_quiescent_state();
}

// Around a sleep: nobody waits for a reader that is away.
static inline void grace_away(void)
{
	GRACE_RELEASE();
	rcu_thread_offline();
}

static inline void grace_back(void)
{
	rcu_thread_online();
}

// Every reader has been quiescent since the call began. Called by: control, which is no reader.
static inline void grace_wait(void)
{
	synchronize_rcu();
	GRACE_ACQUIRE();
}
