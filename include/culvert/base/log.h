// SPDX-License-Identifier: Apache-2.0
// One line per event on standard error. Never called on the packet path. Any thread.
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

// Set before the first thread is started; the default is LOG_INFO.
void log_set_level(enum log_level level);

// "error", "warn", "info" or "debug", in lower case. Returns false when the name is none of them.
bool log_level_parse(const char *name, enum log_level *level);

// `area` is the part of the program that speaks, in lower case: "health", "config", "firewall".
__attribute__((format(printf, 3, 4))) void log_write(enum log_level level, const char *area,
						     const char *format, ...);

#define log_error(area, ...) log_write(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_write(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_write(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_DEBUG, area, __VA_ARGS__)
