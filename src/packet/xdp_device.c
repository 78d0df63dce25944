// SPDX-License-Identifier: Apache-2.0
#include "packet/xdp_device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "packet/xdp_frame.h"

static int ask(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	int code = ioctl(fd, request, ifr) ? -errno : 0;
	close(fd);
	return code;
}

static int ask_ethtool(const char *name, void *command)
{
	struct ifreq ifr = {.ifr_data = command};
	return ask(name, SIOCETHTOOL, &ifr);
}

// Those without ethtool have one.
static uint32_t count_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	if (ask_ethtool(name, &channels))
		return 1;
	uint32_t n = channels.rx_count + channels.combined_count;
	if (n == 0)
		return 1;
	return n < XDP_QUEUES_MAX ? n : (uint32_t)XDP_QUEUES_MAX;
}

static bool is_tap(const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	return ask_ethtool(name, &info) == 0 && strcmp(info.driver, "tun") == 0;
}

int xdp_device_open(struct xdp_device *device, const char *name, struct err *err)
{
	struct ifreq ifr = {0};
	int code = ask(name, SIOCGIFMTU, &ifr);
	if (code)
		return err_sys(err, code, "%s: cannot read its MTU", name);
	*device = (struct xdp_device){
		.name = name,
		.n_queues = count_queues(name),
		.mtu = (uint32_t)ifr.ifr_mtu,
		.is_tap = is_tap(name),
	};
	return 0;
}

static int set_flags(const char *name, uint32_t flags)
{
	struct ethtool_value value = {.cmd = ETHTOOL_SFLAGS, .data = flags};
	return ask_ethtool(name, &value);
}

void xdp_device_keep_tags(struct xdp_device *device)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
	if (ask_ethtool(device->name, &value) || !(value.data & ETH_FLAG_RXVLAN))
		return;
	if (set_flags(device->name, value.data & ~(uint32_t)ETH_FLAG_RXVLAN)) {
		log_warn("xdp",
			 "%s: its hardware takes off VLAN tags and cannot be told to leave them: "
			 "frames for a frontend count as this link's, whatever their VLAN",
			 device->name);
		return;
	}
	device->is_changed = true;
	log_info("xdp", "%s: rxvlan is off while culvert runs: tags stay in frames", device->name);
}

// Others may have changed the rest meanwhile.
void xdp_device_restore(struct xdp_device *device)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
	if (!device->is_changed)
		return;
	device->is_changed = false;
	if (ask_ethtool(device->name, &value) == 0)
		(void)set_flags(device->name, value.data | ETH_FLAG_RXVLAN);
}
