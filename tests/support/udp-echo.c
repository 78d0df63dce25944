// SPDX-License-Identifier: Apache-2.0
// A UDP server that returns each datagram with a byte of its own put in front, so that a client can
// tell which server it spoke to, from the address that it was sent to. Usage: udp-echo PORT BYTE.
// Says "ready" once it is bound.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, DATAGRAM_MAX = 65536, BUFFER_BYTES = 8 << 20 };

// Which address a datagram was sent to, and then which one its answer is from: RFC 3542 section
// 6.1, which on Linux works for IPv4 on the same socket as well.
union address_note {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static int open_socket(uint16_t port)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int size = BUFFER_BYTES;
	int off = 0;
	int on = 1;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		perror("udp-echo");
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

// The answer leaves where its route leads, and not where the question came in.
static void forget_interface(struct msghdr *message)
{
	struct in6_pktinfo info;
	struct cmsghdr *note = CMSG_FIRSTHDR(message);
	if (!note || note->cmsg_type != IPV6_PKTINFO)
		return;
	memcpy(&info, CMSG_DATA(note), sizeof(info));
	info.ipi6_ifindex = 0;
	memcpy(CMSG_DATA(note), &info, sizeof(info));
}

static void serve(int fd, char mark)
{
	static char buffers[BATCH][DATAGRAM_MAX];
	struct sockaddr_in6 peers[BATCH];
	union address_note notes[BATCH];
	struct iovec iov[BATCH][2];
	struct mmsghdr messages[BATCH];
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			iov[i][0] = (struct iovec){.iov_base = &mark, .iov_len = 1};
			iov[i][1] = (struct iovec){.iov_base = buffers[i], .iov_len = DATAGRAM_MAX};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
							      .msg_namelen = sizeof(peers[i]),
							      .msg_iov = &iov[i][1],
							      .msg_iovlen = 1,
							      .msg_control = &notes[i],
							      .msg_controllen = sizeof(notes[i])};
		}
		int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (count < 0)
			return;
		for (int i = 0; i < count; i++) {
			iov[i][1].iov_len = messages[i].msg_len;
			messages[i].msg_hdr.msg_iov = iov[i];
			messages[i].msg_hdr.msg_iovlen = 2;
			forget_interface(&messages[i].msg_hdr);
		}
		for (int sent = 0; sent < count;) {
			int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
			sent += n > 0 ? n : 1; // a refused datagram is lost, as on any network
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("Usage: udp-echo PORT BYTE\n", stderr);
		return 2;
	}
	int fd = open_socket((uint16_t)strtoul(argv[1], NULL, 10));
	puts("ready");
	fflush(stdout);
	serve(fd, argv[2][0]);
	perror("udp-echo");
	return 1;
}
