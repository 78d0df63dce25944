// SPDX-License-Identifier: Apache-2.0
// Other processes, and the sockets that they hold.
#pragma once

#include "culvert/net/addr.h"
#include "doctor/doctor.h"

enum { PROCESS_NAME_MAX = 64 };

// Was the process, a culvert, started with the same configuration file?
bool process_serves(const struct doctor *doctor, int process);
// "nginx", or "?". `text` has room for PROCESS_NAME_MAX. Returns `text`.
const char *process_name(const struct doctor *doctor, int process, char *text);

// One TCP socket of this network namespace, as /proc/net/tcp has it.
struct tcp_socket {
	struct endpoint local;
	struct endpoint remote;
	bool is_listening;
	bool is_waiting; // TIME_WAIT
	unsigned long inode;
};

// Called once for each socket; false ends it. Returns whether the files could be read.
typedef bool (*tcp_socket_fn)(void *arg, const struct tcp_socket *socket);
bool tcp_sockets_walk(const struct doctor *doctor, tcp_socket_fn take, void *arg);
// The process that listens on the port, on this address or on all; 0: none that can be seen.
int tcp_listener_of(const struct doctor *doctor, const struct endpoint *endpoint);
