// SPDX-License-Identifier: Apache-2.0
#include "packet/afpacket_divert.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// Of a later linux/if_packet.h: it is the group that is asked, not its sockets. Kernels that do not
// know it take no notice.
enum { FANOUT_FLAG_IGNORE_OUTGOING = 0x4000 };

static bool is_link_down(int fd)
{
	struct sockaddr_ll addr = {0};
	socklen_t len = sizeof(addr);
	struct ifreq request = {0};
	return getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
	       if_indextoname((unsigned)addr.sll_ifindex, request.ifr_name) &&
	       ioctl(fd, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP);
}

// A group's number, and in the upper half how it decides.
static int join(int fd, int group, int flags, struct err *err)
{
	int how = group | (PACKET_FANOUT_EBPF | FANOUT_FLAG_IGNORE_OUTGOING | flags) << 16;
	if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &how, sizeof(how)) == 0)
		return 0;
	int code = errno == EINVAL && is_link_down(fd) ? -ENETDOWN : -errno;
	return err_sys(err, code, "packet socket: cannot form a fanout group");
}

static int group_of(int fd)
{
	int how = 0;
	socklen_t len = sizeof(how);
	(void)getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &how, &len);
	return how & UINT16_MAX;
}

int afpacket_divert(int rx_fd, int sink_fd, int program_fd, struct err *err)
{
	int code = join(rx_fd, 0, PACKET_FANOUT_FLAG_UNIQUEID, err);
	if (code)
		return code;
	if (setsockopt(rx_fd, SOL_PACKET, PACKET_FANOUT_DATA, &program_fd, sizeof(program_fd)))
		return err_sys(err, -errno, "packet socket: cannot attach the diverting program");
	return join(sink_fd, group_of(rx_fd), 0, err);
}
