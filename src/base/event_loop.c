// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/event_loop.h"

#include <event2/event.h>

struct event_base *event_loop_create(void)
{
	struct event_base *base = NULL;
	struct event_config *config = event_config_new();
	if (!config)
		return NULL;
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}
