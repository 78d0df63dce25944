// SPDX-License-Identifier: Apache-2.0
#include "proxy/quota.h"

#include "proxy/thread.h"

_Static_assert(CONFIG_MAX_WORKERS <= 64, "a thread is a bit in quota.waiting");

static uint32_t quota_max(const struct quota *quota)
{
	return atomic_load_explicit(&quota->max, memory_order_relaxed);
}

bool quota_take(struct quota *quota)
{
	uint32_t used = atomic_load(&quota->used);
	do {
		if (used >= quota_max(quota))
			return false;
	} while (!atomic_compare_exchange_weak(&quota->used, &used, used + 1));
	return true;
}

bool quota_take_or_wait(struct proxy_thread *thread, struct quota *quota)
{
	if (quota_take(quota))
		return true;
	atomic_fetch_or(&quota->waiting, UINT64_C(1) << thread->number);
	return quota_take(quota); // whoever gave one back meanwhile has not seen us
}

// The next one behind this thread, itself last: so places go round.
static void wake_next(struct proxy_thread *thread, struct quota *quota)
{
	uint64_t waiting;
	while ((waiting = atomic_load(&quota->waiting)) != 0) {
		uint64_t behind = waiting & ~((UINT64_C(2) << thread->number) - 1);
		uint32_t number = (uint32_t)__builtin_ctzll(behind ? behind : waiting);
		uint64_t bit = UINT64_C(1) << number;
		if (!(atomic_fetch_and(&quota->waiting, ~bit) & bit))
			continue; // somebody else was faster
		proxy_thread_wake(&thread->proxy->threads[number]);
		return;
	}
}

void quota_give(struct proxy_thread *thread, struct quota *quota)
{
	atomic_fetch_sub(&quota->used, 1);
	wake_next(thread, quota);
}

void quota_pass_on(struct proxy_thread *thread, struct quota *quota)
{
	if (atomic_load(&quota->used) < quota_max(quota))
		wake_next(thread, quota);
}
