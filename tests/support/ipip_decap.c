// SPDX-License-Identifier: Apache-2.0
// The far end of a tunnel of IPv4 in IPv4 (RFC 2003), for kernels without one: what arrives inside
// protocol 4 comes out of a TUN device, from where the kernel takes it in as usual.
// Usage: ipip_decap DEVICE. Says "ready" once the device is up.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET_MAX = 65536, BUFFER_BYTES = 32 << 20 };

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static int open_device(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		give_up("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		give_up(name);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = IFF_UP;
	if (control < 0 || ioctl(control, SIOCSIFFLAGS, &request))
		give_up("cannot set the device up");
	close(control);
	return fd;
}

static int open_tunnel(void)
{
	int size = BUFFER_BYTES;
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_IPIP);
	if (fd < 0)
		give_up("raw socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

// The kernel has checked the outer header, and the inner one is for it to check.
static void pass_on(int device, const uint8_t *packet, size_t len)
{
	size_t header_len = (size_t)(packet[0] & 0x0f) * 4;
	if (len <= header_len)
		return;
	if (write(device, packet + header_len, len - header_len) < 0)
		perror("write"); // what is no packet is refused
}

int main(int argc, char **argv)
{
	static uint8_t packet[PACKET_MAX];
	if (argc != 2) {
		fputs("usage: ipip_decap DEVICE\n", stderr);
		return 2;
	}
	int tunnel = open_tunnel();
	int device = open_device(argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t len = recv(tunnel, packet, sizeof(packet), 0);
		if (len < 0)
			give_up("recv");
		pass_on(device, packet, (size_t)len);
	}
}
