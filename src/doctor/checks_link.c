// SPDX-License-Identifier: Apache-2.0
// The interfaces that packets are captured on: are they there, do frames fit.
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "culvert/net/sockaddr.h"
#include "culvert/packet/io.h"
#include "doctor/checks.h"

enum {
	FRAME_MAX = 65536, // what the kernel joins by default, and culvert takes
	IPIP_LEN = 20,     // the outer header of a tunnel
	// Attributes of RTM_NEWLINK that headers of an older kernel lack.
	ATTR_GRO_MAX_SIZE = 58,
	ATTR_GRO_IPV4_MAX_SIZE = 64,
	REQUEST_MAX = 256,
	REPLY_MAX = 32768,
	REPLY_WAIT_S = 1,
};

// ---- presence ----------------------------------------------------------------------------------

static void check_named(struct doctor *doctor)
{
	const struct config_passthrough *passthrough = &doctor->config->passthrough;
	struct link_info info;
	for (size_t i = 0; i < passthrough->n_interfaces; i++) {
		const char *name = passthrough->interfaces[i];
		if (netwatch_link_by_name(doctor->netwatch, name, &info))
			continue;
		doctor_say(doctor, STATUS_ERROR, name,
			   "named under interfaces, and there is no such interface");
		doctor_fix(doctor, "ip -br link # and correct interfaces in %s",
			   doctor->config->path);
	}
}

static void check_link(struct doctor *doctor, const struct link_info *info)
{
	if (!info->is_ethernet) {
		doctor_say(doctor, STATUS_ERROR, info->name,
			   "it carries no Ethernet frames, which mode %s needs",
			   mode_name(doctor->config->mode));
		doctor_fix(doctor,
			   "choose another interface under [passthrough] interfaces, or run "
			   "with --proxy");
	} else if (!info->is_up) {
		doctor_say(doctor, STATUS_ERROR, info->name, "it is down, or has no carrier");
		doctor_fix(doctor, "ip link set dev %s up", info->name);
	} else if (doctor->config->passthrough.io == IO_XDP && info->mtu > IO_XDP_MTU_MAX) {
		doctor_say(doctor, STATUS_WARNING, info->name,
			   "MTU %u: packets of more than %d bytes do not fit io = \"xdp\", and go "
			   "by packet sockets",
			   info->mtu, IO_XDP_MTU_MAX);
		doctor_fix(doctor, "set [passthrough] io = \"afpacket\" in %s",
			   doctor->config->path);
	} else {
		doctor_say(doctor, STATUS_OK, info->name, "up, MTU %u", info->mtu);
	}
}

void check_links(struct doctor *doctor)
{
	if (!doctor->netwatch)
		return;
	check_named(doctor);
	for (size_t i = 0; i < doctor->n_links; i++)
		check_link(doctor, &doctor->links[i].info);
}

// ---- offloads ----------------------------------------------------------------------------------

// Segments joined by the card as one that never was: how they were cut is not known any more.
static bool has_lro(const char *link)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
	struct ifreq request = {0};
	request.ifr_data = (void *)&value;
	memcpy(request.ifr_name, link, strnlen(link, IFNAMSIZ - 1));
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_known = fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0;
	if (fd >= 0)
		close(fd);
	return is_known && (value.data & ETH_FLAG_LRO);
}

static int take_size(const struct nlattr *attr, void *arg)
{
	uint32_t *largest = arg;
	uint16_t type = mnl_attr_get_type(attr);
	if (type != ATTR_GRO_MAX_SIZE && type != ATTR_GRO_IPV4_MAX_SIZE)
		return MNL_CB_OK;
	if (mnl_attr_get_payload_len(attr) == sizeof(uint32_t) && mnl_attr_get_u32(attr) > *largest)
		*largest = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct ifinfomsg), take_size, arg);
}

static bool ask_link(struct mnl_socket *socket, unsigned ifindex, uint32_t *largest)
{
	_Alignas(struct nlmsghdr) char buffer[REPLY_MAX];
	static const struct timeval patience = {.tv_sec = REPLY_WAIT_S};
	_Static_assert(REPLY_MAX >= REQUEST_MAX, "one buffer serves both ways");
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST;
	request->nlmsg_seq = 1;
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	body->ifi_index = (int)ifindex;
	(void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return false;
	ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
	return n > 0 && mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(socket), take_link,
				   largest) >= 0;
}

// The largest frame that the kernel joins on the link; 0: not known.
static uint32_t largest_joined(unsigned ifindex)
{
	uint32_t largest = 0;
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!socket)
		return 0;
	if (!ask_link(socket, ifindex, &largest))
		largest = 0;
	mnl_socket_close(socket);
	return largest;
}

void check_offloads(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->n_links; i++) {
		const struct link_info *info = &doctor->links[i].info;
		uint32_t largest = largest_joined(info->ifindex);
		if (has_lro(info->name)) {
			doctor_say(doctor, STATUS_ERROR, info->name,
				   "the card joins segments beyond recognition (LRO); they cannot "
				   "be forwarded");
			doctor_fix(doctor, "ethtool -K %s lro off", info->name);
		} else if (largest > FRAME_MAX) {
			doctor_say(
				doctor, STATUS_WARNING, info->name,
				"the kernel may join segments to frames of %u bytes there; above "
				"%d they are lost",
				largest, FRAME_MAX);
			doctor_fix(doctor, "ip link set dev %s gro_max_size %d", info->name,
				   FRAME_MAX);
		} else {
			doctor_say(doctor, STATUS_OK, info->name, "frames come whole");
		}
	}
}

// ---- MTU ---------------------------------------------------------------------------------------

// Of the route, or what has been learnt of the way, as the kernel has it now. No packet leaves. 0:
// not known.
static uint32_t path_mtu(const struct endpoint *endpoint)
{
	struct sockaddr_storage addr;
	int mtu = 0;
	socklen_t mtu_size = sizeof(mtu);
	bool is_v4 = ip_addr_is_v4(&endpoint->addr);
	socklen_t size = sockaddr_from_endpoint(endpoint, &addr);
	int fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_known = fd >= 0 && connect(fd, (const struct sockaddr *)&addr, size) == 0 &&
			getsockopt(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_MTU : IPV6_MTU,
				   &mtu, &mtu_size) == 0;
	if (fd >= 0)
		close(fd);
	return is_known && mtu > 0 ? (uint32_t)mtu : 0;
}

// What clients' largest packets need on the way to a backend.
static uint32_t needed_mtu(const struct doctor *doctor)
{
	uint32_t needed = 0;
	for (size_t i = 0; i < doctor->n_links; i++) {
		if (doctor->links[i].is_front && doctor->links[i].info.mtu > needed)
			needed = doctor->links[i].info.mtu;
	}
	return needed;
}

// Whether SYN and SYN-ACK are made to announce what fits through this host's links.
static bool is_clamped(const struct config *config)
{
	if (config->mode == MODE_PASSTHROUGH)
		return config->passthrough.mss_clamp != MSS_CLAMP_OFF;
	return config->dsr.method == DSR_IPIP && config->dsr.mss_clamp != MSS_CLAMP_OFF;
}

static void check_path(struct doctor *doctor, const struct doctor_hop *hop, uint32_t front)
{
	char subject[SUBJECT_MAX];
	struct link_info info;
	const struct config *config = doctor->config;
	bool is_tunnel = config->mode == MODE_DSR && config->dsr.method == DSR_IPIP;
	uint32_t needed = front + (is_tunnel ? IPIP_LEN : 0);
	uint32_t path = path_mtu(&hop->backend->endpoint);
	if (!netwatch_link(doctor->netwatch, hop->hop.ifindex, &info))
		return;
	doctor_backend_name(hop, subject);
	if (path && path < info.mtu) {
		doctor_say(
			doctor, STATUS_WARNING, subject,
			"the way to it takes packets of %u bytes, less than the %u of %s; larger "
			"ones are lost until senders learn of it",
			path, info.mtu, info.name);
		doctor_fix(doctor,
			   "ip link set dev %s mtu %u # or mend the way: tracepath shows "
			   "where it narrows",
			   info.name, path);
	} else if (info.mtu < needed && !is_clamped(config)) {
		doctor_say(
			doctor, STATUS_WARNING, subject,
			"clients' packets of %u bytes%s do not fit through %s (MTU %u): each large "
			"transfer starts with losses",
			front, is_tunnel ? " in a tunnel" : "", info.name, info.mtu);
		doctor_fix(doctor, "ip link set dev %s mtu %u", info.name, needed);
	} else {
		doctor_say(doctor, STATUS_OK, subject, "%u bytes%s", path ? path : info.mtu,
			   info.mtu < needed ? ", which connections are told" : "");
	}
}

void check_mtu(struct doctor *doctor)
{
	uint32_t front = needed_mtu(doctor);
	if (!doctor->netwatch || !front)
		return;
	for (size_t i = 0; i < doctor->n_hops; i++) {
		if (doctor->hops[i].hop.has_route && !doctor->hops[i].hop.is_local)
			check_path(doctor, &doctor->hops[i], front);
	}
}
