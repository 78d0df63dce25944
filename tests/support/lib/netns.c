// SPDX-License-Identifier: Apache-2.0
#include "netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND_MAX = 1024, MOMENT_MS = 20, TRIES_MAX = 500 };

bool netns_run(const char *format, ...)
{
	char command[COMMAND_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	// Test commands are literals of the test files.
	return system(command) == 0; // NOLINT(cert-env33-c)
}

char *netns_output(const char *format, ...)
{
	char command[COMMAND_MAX];
	va_list args;
	va_start(args, format);
	int used = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(command + used, sizeof(command) - (size_t)used, " 2>&1");

	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	FILE *in = popen(command, "r"); // NOLINT(cert-env33-c)
	if (!out || !in)
		abort();
	for (int c = fgetc(in); c != EOF; c = fgetc(in))
		fputc(c, out);
	pclose(in);
	fclose(out);
	return text;
}

bool netns_enter(void)
{
	return unshare(CLONE_NEWNET) == 0 && netns_run("ip link set lo up");
}

// Live until the other end of `lifeline` is gone. (A parent-death signal would not do: it is not
// delivered when the parent has meanwhile become another user.)
static void run_peer(int ready, int lifeline)
{
	char byte = 0;
	if (unshare(CLONE_NEWNET) == 0 && netns_run("ip link set lo up") &&
	    write(ready, &byte, 1) == 1) {
		close(ready);
		while (read(lifeline, &byte, 1) > 0)
			;
	}
	_exit(0);
}

pid_t netns_peer_start(void)
{
	int ready[2];
	int lifeline[2]; // our end stays open until this process ends
	char byte;
	if (pipe2(ready, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(lifeline, O_CLOEXEC) != 0)
		abort();
	pid_t peer = fork();
	if (peer == 0) {
		close(lifeline[1]);
		run_peer(ready[1], lifeline[0]);
	}
	close(lifeline[0]);
	close(ready[1]);
	bool is_ready = peer > 0 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!is_ready && peer > 0)
		netns_peer_stop(peer);
	return is_ready ? peer : -1;
}

void netns_peer_stop(pid_t peer)
{
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
}

int netns_peer_socket(pid_t peer, int domain, int type, int protocol)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)peer);
	int theirs = open(path, O_RDONLY | O_CLOEXEC);
	int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = -1;
	if (theirs >= 0 && ours >= 0 && setns(theirs, CLONE_NEWNET) == 0) {
		fd = socket(domain, type, protocol);
		// A test must not go on in the wrong namespace.
		if (setns(ours, CLONE_NEWNET) != 0)
			abort();
	}
	close(theirs);
	close(ours);
	return fd;
}

int netns_link_socket(pid_t peer, const char *link)
{
	int type = SOCK_RAW | SOCK_CLOEXEC;
	int fd = peer ? netns_peer_socket(peer, AF_PACKET, type, 0) : socket(AF_PACKET, type, 0);
	struct ifreq request = {0};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &request) != 0)
		abort();
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = request.ifr_ifindex};
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		abort();
	return fd;
}

// Takes what has been heard, up to a frame from the other end or until a moment has passed.
static bool hears(int fd)
{
	struct pollfd heard = {.fd = fd, .events = POLLIN};
	while (poll(&heard, 1, MOMENT_MS) == 1) {
		uint8_t frame[64];
		struct sockaddr_ll from = {0};
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &len);
		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			return true;
	}
	return false;
}

static bool passes(int from, int to)
{
	// To nobody, of a type kept for experiments.
	static const uint8_t frame[60] = {2, 7, 7, 7, 7, 7, 2, 7, 7, 7, 7, 8, 0x88, 0xb5};
	for (int i = 0; i < TRIES_MAX; i++) {
		(void)send(from, frame, sizeof(frame), 0);
		if (hears(to))
			return true;
	}
	return false;
}

bool netns_await_link(int here, int there)
{
	if (!passes(here, there) || !passes(there, here))
		return false;
	while (hears(here) || hears(there))
		;
	return true;
}
