// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/event_loop.h"

#include <event2/event.h>

// Precise, or libevent goes by a clock that stands still for a tick of the kernel: it would wake up
// as early as that, find nothing due, and sleep for a millisecond, several times for each timer.
enum { FLAGS = EVENT_BASE_FLAG_NO_CACHE_TIME | EVENT_BASE_FLAG_PRECISE_TIMER };

struct event_base *event_loop_create(void)
{
	struct event_base *base = NULL;
	struct event_config *config = event_config_new();
	if (!config)
		return NULL;
	if (event_config_set_flag(config, FLAGS) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}
