// SPDX-License-Identifier: Apache-2.0
// Private network namespaces for tests: nothing of the machine's own network is touched, and all
// that a test builds vanishes with its process.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

// Move the calling process into a new network namespace with its loopback up. False when that is
// not allowed (not root): the test should skip.
bool netns_enter(void);

// A second namespace, held open by a child process that dies with the caller.
// Its links are set up with netns_run("ip link set vb netns %d", peer) and
// netns_run("nsenter -t %d -n ip ...", peer). Returns the child's pid, or -1.
pid_t netns_peer_start(void);
void netns_peer_stop(pid_t peer);

// As socket(2), but in the namespace of `peer`.
int netns_peer_socket(pid_t peer, int domain, int type, int protocol);

// A packet socket that hears everything on the link of that name, here or, with a `peer`, there.
int netns_link_socket(pid_t peer, const char *link);
// Wait until a pair of links that have just come up carry frames both ways, and throw away what the
// two packet sockets at their ends have heard. False when that takes absurdly long.
bool netns_await_link(int here, int there);

// Run a shell command; true when it succeeds.
__attribute__((format(printf, 1, 2))) bool netns_run(const char *format, ...);

// The standard output and error of a shell command as a new string for free().
__attribute__((format(printf, 1, 2))) char *netns_output(const char *format, ...);
