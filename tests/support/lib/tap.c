// SPDX-License-Identifier: Apache-2.0
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netns.h"

enum { HEADERS_LEN = 42, L4 = 34, UDP_CHECK = 6 };

int tap_open(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tap < 0)
		return -1;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	// IPv6 would speak by itself.
	if (ioctl(tap, TUNSETIFF, &request) == 0 &&
	    netns_run("sysctl -qw net.ipv6.conf.%s.disable_ipv6=1 && ip link set %s up", name,
		      name))
		return tap;
	close(tap);
	return -1;
}

static void send_with(int tap, struct virtio_net_hdr *vnet, uint8_t *frame, uint32_t len)
{
	const struct iovec parts[] = {{vnet, sizeof(*vnet)}, {frame, len}};
	if (writev(tap, parts, 2) == (ssize_t)(sizeof(*vnet) + len))
		return;
	perror("tap: cannot send");
	abort();
}

void tap_send(int tap, uint8_t *frame, uint32_t len)
{
	struct virtio_net_hdr vnet = {0};
	send_with(tap, &vnet, frame, len);
}

void tap_send_super_frame(int tap, uint8_t *frame, uint32_t len, uint8_t kind, uint16_t segment)
{
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = kind,
		.hdr_len = HEADERS_LEN,
		.gso_size = segment,
		.csum_start = L4,
		.csum_offset = UDP_CHECK,
	};
	send_with(tap, &vnet, frame, len);
}
