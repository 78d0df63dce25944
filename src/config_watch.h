// SPDX-License-Identifier: Apache-2.0
// Notices that the configuration file is another one: written in place, renamed into place as
// editors do, or reached by a symbolic link that was swapped, as Kubernetes does with mounted
// ConfigMaps. Its directory is watched, for a watch of the file would stay with the old one. That
// it is gone, or there again, is logged.
// Called by: control.
#pragma once

#include <time.h>

#include "culvert/base/err.h"

struct config_watch;
struct event_base;

// `path` is borrowed for the call, `base` outlives the watch. on_change is called from the event
// loop, a moment after the last of a burst of changes; also when the file has changed since
// `read_at` (struct config). 0 or -errno.
int config_watch_start(struct config_watch **watch, struct event_base *base, const char *path,
		       struct timespec read_at, void (*on_change)(void *arg), void *arg,
		       struct err *err);
// Every few seconds, also at rest: for changes that nobody tells of, where a link on the way to the
// directory was swapped, say, or on a network file system. NULL is legal.
void config_watch_look(struct config_watch *watch);
void config_watch_stop(struct config_watch *watch); // NULL is legal
