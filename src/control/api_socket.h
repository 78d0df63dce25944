// SPDX-License-Identifier: Apache-2.0
// The Unix socket of the API: a file that only its owner may open. Processes of other network
// namespaces may look at the same path: a socket that somebody listens on is never taken away.
// Called by: control.
#pragma once

#include "culvert/base/err.h"

// A listening descriptor for the caller; the directory above is made when it is missing, and what a
// dead process has left is replaced. -errno; -EADDRINUSE: somebody answers there.
int api_socket_open(const char *path, struct err *err);

// Remove the file after the descriptor was closed, unless it is somebody else's by now: then that
// one answers.
void api_socket_remove(const char *path);
