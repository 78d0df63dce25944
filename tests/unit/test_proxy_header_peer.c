// SPDX-License-Identifier: Apache-2.0
// Against HAProxy, whose protocol it is: a connection is made to it in a network namespace of the
// test's own, and it makes one to us, with a header in front.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "culvert/net/proxy_header.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	SENDS_V1 = 7001,
	SENDS_V2,
	SENDS_TLVS,
	SENDS_MAPPED,
	ACCEPTS,
	BACKEND_PORT = 7100,
	TIMEOUT_SECONDS = 10,
	RETRY_MS = 10,
};

// Of the ports above.
static const char config[] = "global\n"
			     " maxconn 100\n"
			     "defaults\n"
			     " mode tcp\n"
			     " timeout connect 10s\n"
			     " timeout client 10s\n"
			     " timeout server 10s\n"
			     " unique-id-format %rt\n"
			     "listen sends_v1\n"
			     " bind 127.0.0.1:7001\n"
			     " bind [::1]:7001\n"
			     " server s 127.0.0.1:7100 send-proxy\n"
			     "listen sends_v2\n"
			     " bind 127.0.0.1:7002\n"
			     " bind [::1]:7002\n"
			     " server s 127.0.0.1:7100 send-proxy-v2\n"
			     "listen sends_tlvs\n"
			     " bind 127.0.0.1:7003\n"
			     " bind [::1]:7003\n"
			     " server s 127.0.0.1:7100 send-proxy-v2"
			     " proxy-v2-options crc32c,unique-id\n"
			     "listen sends_mapped\n"
			     " bind [::]:7004 v4v6\n"
			     " server s 127.0.0.1:7100 send-proxy\n"
			     "listen accepts\n"
			     " bind 127.0.0.1:7005 accept-proxy\n"
			     " server s 127.0.0.1:7100 send-proxy-v2\n";

struct lab {
	pid_t haproxy;
	int listener;
	char path[32]; // of the configuration
};

struct received {
	uint8_t bytes[PROXY_HEADER_READ_MAX];
	size_t len;
	size_t header_len;
	struct proxy_header header;
};

static struct endpoint endpoint_of(const struct sockaddr_storage *storage)
{
	struct endpoint endpoint = {.proto = IPPROTO_TCP};
	if (storage->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
		endpoint.addr = ip_addr_from_v4(v4->sin_addr.s_addr);
		endpoint.port_be = v4->sin_port;
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
		memcpy(endpoint.addr.bytes, &v6->sin6_addr, sizeof(endpoint.addr.bytes));
		endpoint.port_be = v6->sin6_port;
	}
	return endpoint;
}

static socklen_t loopback(bool is_v6, uint16_t port, struct sockaddr_storage *storage)
{
	*storage = (struct sockaddr_storage){0};
	if (is_v6) {
		*(struct sockaddr_in6 *)storage =
			(struct sockaddr_in6){.sin6_family = AF_INET6,
					      .sin6_addr = in6addr_loopback,
					      .sin6_port = htons(port)};
		return sizeof(struct sockaddr_in6);
	}
	*(struct sockaddr_in *)storage =
		(struct sockaddr_in){.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				     .sin_port = htons(port)};
	return sizeof(struct sockaddr_in);
}

static int open_socket(bool is_v6)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	return fd;
}

// HAProxy may still be starting.
static int connect_to(bool is_v6, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback(is_v6, port, &addr);
	int fd = open_socket(is_v6);
	for (int i = 0; connect(fd, (struct sockaddr *)&addr, len) != 0; i++) {
		cr_assert_eq(errno, ECONNREFUSED, "%s", strerror(errno));
		cr_assert_lt(i, TIMEOUT_SECONDS * 1000 / RETRY_MS, "HAProxy is not listening");
		close(fd);
		nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
		fd = open_socket(is_v6);
	}
	return fd;
}

static void run_haproxy(pid_t parent, char *path)
{
	char *const argv[] = {"haproxy", "-db", "-q", "-f", path, NULL};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		execvp(argv[0], argv);
	_exit(127);
}

static void lab_open(struct lab *lab)
{
	struct sockaddr_storage addr;
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
	if (!netns_run("command -v haproxy >/dev/null"))
		cr_skip("needs haproxy");
	*lab = (struct lab){.path = "/tmp/proxy_header.XXXXXX", .listener = open_socket(false)};
	socklen_t len = loopback(false, BACKEND_PORT, &addr);
	cr_assert_eq(bind(lab->listener, (struct sockaddr *)&addr, len), 0);
	cr_assert_eq(listen(lab->listener, 8), 0);

	int fd = mkstemp(lab->path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, config, strlen(config)), (ssize_t)strlen(config));
	close(fd);
	pid_t self = getpid();
	lab->haproxy = fork();
	cr_assert_geq(lab->haproxy, 0);
	if (lab->haproxy == 0)
		run_haproxy(self, lab->path);
	close(connect_to(false, ACCEPTS)); // HAProxy has read its file
	unlink(lab->path);
}

static void lab_close(struct lab *lab)
{
	kill(lab->haproxy, SIGKILL);
	waitpid(lab->haproxy, NULL, 0);
	close(lab->listener);
}

// Accept the connection that HAProxy makes, and read its header and `n_behind` bytes more. The
// header may come in parts.
static void receive(const struct lab *lab, size_t n_behind, struct received *received)
{
	const char *problem = "none";
	enum proxy_header_state state = PROXY_HEADER_PARTIAL;
	int fd = accept(lab->listener, NULL, NULL);
	cr_assert_geq(fd, 0, "HAProxy did not connect");
	*received = (struct received){0};
	while (state == PROXY_HEADER_PARTIAL || received->len < received->header_len + n_behind) {
		ssize_t n = recv(fd, received->bytes + received->len,
				 sizeof(received->bytes) - received->len, 0);
		cr_assert_gt(n, 0, "HAProxy sent %zu bytes and no more", received->len);
		received->len += (size_t)n;
		state = proxy_header_parse(received->bytes, received->len, &received->header,
					   &received->header_len, &problem);
		cr_assert_neq(state, PROXY_HEADER_BAD, "%s", problem);
	}
	close(fd);
	cr_assert(received->header.has_addrs);
	cr_assert_eq(received->len, received->header_len + n_behind);
}

static void expect_endpoints(const struct proxy_header *header, const struct endpoint *src,
			     const struct endpoint *dst)
{
	char actual[ENDPOINT_TEXT_MAX];
	char expected[ENDPOINT_TEXT_MAX];
	cr_expect(endpoint_equal(&header->src, src), "%s instead of %s",
		  endpoint_format(&header->src, actual), endpoint_format(src, expected));
	cr_expect(endpoint_equal(&header->dst, dst), "%s instead of %s",
		  endpoint_format(&header->dst, actual), endpoint_format(dst, expected));
}

static void expect_same_bytes(const struct received *received, bool is_v2)
{
	uint8_t out[PROXY_HEADER_V1_MAX];
	const struct proxy_header *header = &received->header;
	size_t len = is_v2 ? proxy_header_write_v2(&header->src, &header->dst, out)
			   : proxy_header_write_v1(&header->src, &header->dst, (char *)out);
	cr_expect_eq(received->header_len, len);
	cr_expect(memcmp(received->bytes, out, len) == 0);
}

// A socket of both families speaks of its IPv4 clients in TCP6, with dotted quads.
Test(proxy_header_peer, what_HAProxy_sends_is_read_and_is_what_we_would_write)
{
	static const struct {
		uint16_t port;
		bool is_v6;
		bool is_plain; // every byte is known
	} cases[] = {
		{SENDS_V1, false, true},    {SENDS_V1, true, true},       {SENDS_V2, false, true},
		{SENDS_V2, true, true},     {SENDS_TLVS, false, false},   {SENDS_TLVS, true, false},
		{SENDS_MAPPED, true, true}, {SENDS_MAPPED, false, false},
	};
	static struct received received;
	struct lab lab;
	lab_open(&lab);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sockaddr_storage src;
		struct sockaddr_storage dst;
		socklen_t len = sizeof(src);
		int fd = connect_to(cases[i].is_v6, cases[i].port);
		cr_assert_eq(getsockname(fd, (struct sockaddr *)&src, &len), 0);
		loopback(cases[i].is_v6, cases[i].port, &dst);
		cr_assert_eq(send(fd, "hello", 5, 0), 5);
		receive(&lab, 5, &received);
		close(fd);

		struct endpoint src_endpoint = endpoint_of(&src);
		struct endpoint dst_endpoint = endpoint_of(&dst);
		expect_endpoints(&received.header, &src_endpoint, &dst_endpoint);
		cr_expect_eq(memcmp(received.bytes + received.header_len, "hello", 5), 0);
		if (cases[i].is_plain)
			expect_same_bytes(&received, cases[i].port == SENDS_V2);
		if (cases[i].port == SENDS_MAPPED && !cases[i].is_v6)
			cr_expect_eq(memcmp(received.bytes, "PROXY TCP6 ::ffff:127.0.0.1 ", 28), 0);
	}
	lab_close(&lab);
}

// HAProxy hands on what it has read.
Test(proxy_header_peer, HAProxy_reads_what_we_write)
{
	static const struct {
		const char *src;
		const char *dst;
	} cases[] = {
		{"192.0.2.1:12345", "198.51.100.7:80"},
		{"[2001:db8::1]:1", "[2001:db8:0:1::]:65535"},
		{"[fd00:1:2:3:4:5:6:7]:40000", "[::1:0]:443"},
		{"192.0.2.1:12345", "[2001:db8::1]:80"},
		{"[2001:db8::1]:80", "192.0.2.1:12345"},
	};
	static struct received received;
	struct lab lab;
	lab_open(&lab);
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		uint8_t out[PROXY_HEADER_V1_MAX];
		struct endpoint src;
		struct endpoint dst;
		cr_assert(endpoint_parse(cases[i / 2].src, &src));
		cr_assert(endpoint_parse(cases[i / 2].dst, &dst));
		src.proto = dst.proto = IPPROTO_TCP;
		size_t len = i % 2 ? proxy_header_write_v2(&src, &dst, out)
				   : proxy_header_write_v1(&src, &dst, (char *)out);
		int fd = connect_to(false, ACCEPTS);
		cr_assert_eq(send(fd, out, len, 0), (ssize_t)len);
		cr_assert_eq(send(fd, "hello", 5, 0), 5);
		receive(&lab, 5, &received);
		close(fd);
		expect_endpoints(&received.header, &src, &dst);
	}
	lab_close(&lab);
}
