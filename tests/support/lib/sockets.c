// SPDX-License-Identifier: Apache-2.0
#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "culvert/net/sockaddr.h"

enum { CHUNK = 64 * 1024, ENDPOINT_MAX = 64, TEXT_MAX = 128 };

__attribute__((noreturn)) static void give_up(const char *what, const char *text)
{
	fprintf(stderr, "sockets: %s %s: %s\n", what, text, strerror(errno));
	abort();
}

// endpoint_parse() takes no port 0, which here leaves the choice to the kernel.
static socklen_t address_of(const char *text, struct sockaddr_storage *addr)
{
	struct endpoint endpoint = {0};
	char copy[ENDPOINT_MAX];
	if (strncmp(text, "unix:", 5) == 0)
		return sockaddr_from_path(text + 5, addr);
	size_t length = strlen(text);
	bool is_any_port = length > 2 && strcmp(text + length - 2, ":0") == 0;
	snprintf(copy, sizeof(copy), "%s%s", text, is_any_port ? "1" : "");
	if (!endpoint_parse(copy, &endpoint))
		give_up("no endpoint", text);
	if (is_any_port)
		endpoint.port_be = 0;
	return sockaddr_from_endpoint(&endpoint, addr);
}

static void set_patience(int fd)
{
	struct timeval patience = {.tv_sec = SOCKETS_PATIENCE_S};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int open_socket(const char *endpoint, struct sockaddr_storage *addr, socklen_t *size)
{
	*size = address_of(endpoint, addr);
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		give_up("cannot open a socket for", endpoint);
	set_patience(fd);
	return fd;
}

int sockets_listen(const char *endpoint, int backlog)
{
	static const int on = 1;
	struct sockaddr_storage addr;
	socklen_t size;
	int fd = open_socket(endpoint, &addr, &size);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&addr, size) || listen(fd, backlog))
		give_up("cannot listen on", endpoint);
	return fd;
}

// When a time limit has passed, the calls of the system say what is also said of sockets that do
// not block.
static int error_of(int error)
{
	return error == EAGAIN || error == EINPROGRESS ? ETIMEDOUT : error;
}

int sockets_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return -error_of(errno);
	set_patience(fd);
	return fd;
}

bool sockets_has_caller(int listener)
{
	struct pollfd look = {.fd = listener, .events = POLLIN};
	return poll(&look, 1, 0) == 1;
}

static int connect_socket(int fd, const struct sockaddr_storage *addr, socklen_t size)
{
	if (connect(fd, (const struct sockaddr *)addr, size) == 0)
		return fd;
	int error = error_of(errno);
	close(fd);
	return -error;
}

int sockets_connect(const char *to)
{
	struct sockaddr_storage addr;
	socklen_t size;
	int fd = open_socket(to, &addr, &size);
	return connect_socket(fd, &addr, size);
}

int sockets_join(int fd, const char *to)
{
	struct sockaddr_storage addr;
	socklen_t size = address_of(to, &addr);
	set_patience(fd);
	return connect(fd, (const struct sockaddr *)&addr, size) ? error_of(errno) : 0;
}

int sockets_connect_start(const char *to)
{
	struct sockaddr_storage addr;
	socklen_t size;
	int fd = open_socket(to, &addr, &size);
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		give_up("cannot set", "O_NONBLOCK");
	if (connect(fd, (const struct sockaddr *)&addr, size) && errno != EINPROGRESS)
		give_up("cannot connect to", to);
	return fd;
}

int sockets_connect_from(const char *from, const char *to)
{
	static const int on = 1;
	struct sockaddr_storage addr;
	struct sockaddr_storage own;
	socklen_t size;
	int fd = open_socket(to, &addr, &size);
	socklen_t own_size = address_of(from, &own);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&own, own_size))
		give_up("cannot connect from", from);
	return connect_socket(fd, &addr, size);
}

void sockets_pair(int fds[2], bool is_tcp)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	if (!is_tcp) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
			give_up("cannot make", "a pair");
		set_patience(fds[0]);
		set_patience(fds[1]);
		return;
	}
	int listener = sockets_listen("127.0.0.1:0", 1);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fds[0] < 0 || getsockname(listener, (struct sockaddr *)&addr, &size) ||
	    connect(fds[0], (struct sockaddr *)&addr, size))
		give_up("cannot make", "a pair");
	fds[1] = sockets_accept(listener);
	if (fds[1] < 0)
		give_up("cannot accept", "a pair");
	set_patience(fds[0]);
	close(listener);
}

bool sockets_set_room(int fd, int bytes)
{
	return setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0;
}

int sockets_send(int fd, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	while (n > 0) {
		ssize_t n_sent = send(fd, at, n, MSG_NOSIGNAL);
		if (n_sent < 0)
			return error_of(errno);
		at += n_sent;
		n -= (size_t)n_sent;
	}
	return 0;
}

size_t sockets_recv(int fd, void *bytes, size_t n)
{
	size_t n_read = 0;
	while (n_read < n) {
		ssize_t got = recv(fd, (uint8_t *)bytes + n_read, n - n_read, 0);
		if (got <= 0)
			break;
		n_read += (size_t)got;
	}
	return n_read;
}

bool sockets_say(int fd, const char *text)
{
	return sockets_send(fd, text, strlen(text)) == 0;
}

bool sockets_hear(int fd, const char *text)
{
	char heard[TEXT_MAX + 1] = "";
	size_t n = strlen(text);
	if (n > TEXT_MAX)
		give_up("too long:", text);
	if (sockets_recv(fd, heard, n) == n && strcmp(heard, text) == 0)
		return true;
	fprintf(stderr, "sockets: instead of \"%s\" came \"%s\"\n", text, heard);
	return false;
}

int sockets_await_end(int fd, uint64_t *n_bytes)
{
	if (fd < 0)
		return -fd;
	uint8_t *bytes = malloc(CHUNK);
	uint64_t sum = 0;
	ssize_t n;
	if (!bytes)
		give_up("memory", "short");
	while ((n = recv(fd, bytes, CHUNK, 0)) > 0)
		sum += (uint64_t)n;
	int error = n < 0 ? error_of(errno) : 0;
	free(bytes);
	if (n_bytes)
		*n_bytes = sum;
	return error;
}

int sockets_visit(const char *to)
{
	int fd = sockets_connect(to);
	int error = sockets_await_end(fd, NULL);
	if (fd >= 0)
		close(fd);
	return error;
}

void sockets_close_by_reset(int fd)
{
	static const struct linger reset_on_close = {.l_onoff = 1, .l_linger = 0};
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_on_close, sizeof(reset_on_close));
	close(fd);
}

static uint8_t byte_at(uint64_t place)
{
	return (uint8_t)((place * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

void sockets_fill(uint8_t *bytes, size_t n, uint64_t place)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(place + i);
}

bool sockets_is_filled(const uint8_t *bytes, size_t n, uint64_t place)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != byte_at(place + i))
			return false;
	}
	return true;
}

// Some bytes more of what is written; false on failure.
static bool pass_in(int to, uint64_t *n_sent, uint64_t n)
{
	uint8_t bytes[CHUNK];
	size_t want = n - *n_sent < CHUNK ? (size_t)(n - *n_sent) : CHUNK;
	sockets_fill(bytes, want, *n_sent);
	ssize_t sent = send(to, bytes, want, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		*n_sent += (uint64_t)sent;
	return sent >= 0 || errno == EAGAIN;
}

static bool pass_out(int from, uint64_t *n_received)
{
	uint8_t bytes[CHUNK];
	ssize_t got = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	if (!sockets_is_filled(bytes, (size_t)got, *n_received))
		return false;
	*n_received += (uint64_t)got;
	return true;
}

bool sockets_pass(int to, int from, uint64_t n)
{
	uint64_t n_sent = 0;
	uint64_t n_received = 0;
	while (n_received < n) {
		struct pollfd look[] = {{.fd = from, .events = POLLIN},
					{.fd = n_sent < n ? to : -1, .events = POLLOUT}};
		if (poll(look, 2, SOCKETS_PATIENCE_S * 1000) <= 0)
			return false;
		if (look[1].revents && !pass_in(to, &n_sent, n))
			return false;
		if (look[0].revents && !pass_out(from, &n_received))
			return false;
	}
	return n_received == n;
}

// The third column is the state, the second the local address and port; all in hexadecimals.
static unsigned count_listening(const char *path, uint16_t port)
{
	enum { STATE_LISTEN = 10 };
	char line[256];
	unsigned n = 0;
	FILE *table = fopen(path, "re");
	if (!table)
		give_up("cannot read", path);
	while (fgets(line, sizeof(line), table)) {
		unsigned number;
		unsigned state;
		// NOLINTNEXTLINE(cert-err34-c): the kernel writes it
		if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &number, &state) == 2 &&
		    number == port && state == STATE_LISTEN)
			n++;
	}
	fclose(table);
	return n;
}

unsigned sockets_n_listening(uint16_t port)
{
	return count_listening("/proc/thread-self/net/tcp", port) +
	       count_listening("/proc/thread-self/net/tcp6", port);
}

unsigned sockets_n_open(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		give_up("cannot list", "/proc/self/fd");
	while (readdir(dir)) // NOLINT(concurrency-mt-unsafe): one directory, one thread
		n++;
	closedir(dir);
	return n;
}
