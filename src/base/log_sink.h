// SPDX-License-Identifier: Apache-2.0
// Where lines go. None of it waits: what is not taken at once is not written.
// Called by: log.c, under its lock.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "culvert/base/err.h"

// Does the journal read standard error (systemd.exec(5), JOURNAL_STREAM)?
bool log_sink_is_journal_stream(int fd);

// A socket for log_sink_send(), or -errno.
int log_sink_open_socket(const char *path, struct err *err);

// One datagram to the socket at `path`. 0 or -errno.
int log_sink_send(int fd, const char *path, const char *message, size_t len);

// One write, of at most LOG_LINE_MAX bytes. 0 or -errno.
int log_sink_write(int fd, const char *line, size_t len);
