// SPDX-License-Identifier: Apache-2.0
// Stream sockets for tests. They are blocking, and give up after SOCKETS_PATIENCE_S with ETIMEDOUT,
// so that a test which waits in vain fails and does not hang. Writing never raises SIGPIPE. An
// endpoint is text: "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@abstract". What cannot fail in
// a test aborts it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SOCKETS_PATIENCE_S = 20 };

int sockets_listen(const char *endpoint, int backlog);
int sockets_accept(int listener);          // a descriptor or -errno
bool sockets_has_caller(int listener);     // now
int sockets_connect(const char *to);       // a descriptor or -errno
int sockets_join(int fd, const char *to);  // connect that socket: 0 or an errno
int sockets_connect_start(const char *to); // non-blocking: the handshake may be under way still
int sockets_connect_from(const char *from, const char *to); // "127.0.0.2:0" leaves the port open

// Two connected sockets: of the Unix domain, or TCP over loopback.
void sockets_pair(int fds[2], bool is_tcp);

// Room in both buffers of a socket. Above the system's limits only root may: false, and the test
// should skip.
bool sockets_set_room(int fd, int bytes);

// Connect and await the end, saying nothing: 0 when that is FIN, else the errno. A reset may be
// quicker than connect(2), which then is told of it.
int sockets_visit(const char *to);

// 0, or the errno that stopped it.
int sockets_send(int fd, const void *bytes, size_t n);
// How many bytes came before the end or an error; `n` unless that was met.
size_t sockets_recv(int fd, void *bytes, size_t n);
// The same for a text; false when it cannot be sent, or when something else comes.
bool sockets_say(int fd, const char *text);
bool sockets_hear(int fd, const char *text);
// Read until the end and forget what came, *n_bytes of it (NULL is legal). 0: the other side has
// said its end (FIN); else the errno, as ECONNRESET: also that of a connect, when `fd` is such.
int sockets_await_end(int fd, uint64_t *n_bytes);
void sockets_close_by_reset(int fd);

// Bytes that tell their place in a stream, so that a lost, doubled or misplaced one shows.
void sockets_fill(uint8_t *bytes, size_t n, uint64_t place);
bool sockets_is_filled(const uint8_t *bytes, size_t n, uint64_t place);

// Write `n` bytes to one socket, beginning with the stream's first, while reading them from
// another. False when they do not come as they went.
bool sockets_pass(int to, int from, uint64_t n);

// Listeners of this network namespace, of either family, at that port.
unsigned sockets_n_listening(uint16_t port);

// Open descriptors of this process.
unsigned sockets_n_open(void);
