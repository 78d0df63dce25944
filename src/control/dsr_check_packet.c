// SPDX-License-Identifier: Apache-2.0
#include "control/dsr_check_packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnet.h>
#include <string.h>

#include "culvert/net/neighbour.h"

enum {
	SEGMENT_TTL = 64,
	SEGMENT_WINDOW = 64240,
	IP_LEN = 20,
	TCP_LEN = 20,
	MSS_OPTION_LEN = 4,
	MSS_V4 = 1460,
	MSS_V6 = 1440,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
	IS_SOLICITED = 0x40000000, // RFC 4861 section 4.4
	DOES_OVERRIDE = 0x20000000,
	TARGET_LINK_ADDR = 2, // an option, RFC 4861 section 4.6.1
	LINK_ADDR_OPTION_LEN = 8,
};

static bool is_v4(const struct check_segment *segment)
{
	return ip_addr_is_v4(&segment->src.addr);
}

static int add_tcp(libnet_t *net, const struct check_segment *segment)
{
	uint16_t len = TCP_LEN;
	uint16_t mss = is_v4(segment) ? MSS_V4 : MSS_V6;
	// Every real client sends one, and some firewalls ask for it (RFC 9293 section 3.7.1).
	const uint8_t mss_option[MSS_OPTION_LEN] = {2, MSS_OPTION_LEN, (uint8_t)(mss >> 8),
						    (uint8_t)mss};
	if (!segment->is_reset) {
		len += MSS_OPTION_LEN;
		if (libnet_build_tcp_options(mss_option, MSS_OPTION_LEN, net, 0) < 0)
			return -1;
	}
	return libnet_build_tcp(ntohs(segment->src.port_be), ntohs(segment->dst.port_be),
				segment->seq, 0, segment->is_reset ? TH_RST : TH_SYN,
				segment->is_reset ? 0 : SEGMENT_WINDOW, 0, 0, len, NULL, 0, net, 0);
}

static struct libnet_in6_addr libnet_addr(const struct ip_addr *addr)
{
	struct libnet_in6_addr copy;
	memcpy(&copy, addr->bytes, sizeof(addr->bytes));
	return copy;
}

static int add_ipv6(libnet_t *net, uint8_t proto, uint8_t hop_limit, const struct ip_addr *src,
		    const struct ip_addr *dst)
{
	return libnet_build_ipv6(0, 0, (uint16_t)libnet_getpacket_size(net), proto, hop_limit,
				 libnet_addr(src), libnet_addr(dst), NULL, 0, net, 0);
}

static int add_ip(libnet_t *net, const struct check_segment *segment, uint8_t proto,
		  const struct ip_addr *src, const struct ip_addr *dst)
{
	return libnet_build_ipv4((uint16_t)(IP_LEN + libnet_getpacket_size(net)), 0, segment->id,
				 IP_DF, SEGMENT_TTL, proto, 0, ip_addr_v4_be(src),
				 ip_addr_v4_be(dst), NULL, 0, net, 0);
}

static int add_segment_v6(libnet_t *net, const void *from)
{
	const struct check_segment *segment = from;
	if (add_tcp(net, segment) < 0 ||
	    add_ipv6(net, IPPROTO_TCP, SEGMENT_TTL, &segment->src.addr, &segment->dst.addr) < 0)
		return -1;
	return libnet_build_ethernet(segment->dst_mac.bytes, segment->src_mac.bytes, ETHERTYPE_IPV6,
				     NULL, 0, net, 0);
}

static int add_segment(libnet_t *net, const void *from)
{
	const struct check_segment *segment = from;
	if (add_tcp(net, segment) < 0 ||
	    add_ip(net, segment, IPPROTO_TCP, &segment->src.addr, &segment->dst.addr) < 0)
		return -1;
	if (segment->is_tunneled &&
	    add_ip(net, segment, IPPROTO_IPIP, &segment->tunnel_src, &segment->tunnel_dst) < 0)
		return -1;
	return libnet_build_ethernet(segment->dst_mac.bytes, segment->src_mac.bytes, ETHERTYPE_IP,
				     NULL, 0, net, 0);
}

static int add_arp(libnet_t *net, const void *from)
{
	static const struct mac_addr unknown;
	const struct check_neighbour *arp = from;
	const struct mac_addr *target_mac = arp->is_request ? &unknown : &arp->dst_mac;
	if (libnet_build_arp(ARPHRD_ETHER, ETHERTYPE_IP, sizeof(arp->src_mac.bytes),
			     sizeof(uint32_t), arp->is_request ? ARPOP_REQUEST : ARPOP_REPLY,
			     arp->src_mac.bytes, arp->sender.bytes + 12, target_mac->bytes,
			     arp->target.bytes + 12, NULL, 0, net, 0) < 0)
		return -1;
	return libnet_build_ethernet(arp->dst_mac.bytes, arp->src_mac.bytes, ETHERTYPE_ARP, NULL, 0,
				     net, 0);
}

// A question is by nobody here, and so names no link address (RFC 4861 section 4.3).
static int add_ndp(libnet_t *net, const void *from)
{
	const struct check_neighbour *packet = from;
	bool is_group = packet->target.bytes[0] == 0xff;
	struct ip_addr dst =
		packet->is_request ? neighbour_solicited_node(&packet->target) : packet->target;
	uint8_t option[LINK_ADDR_OPTION_LEN] = {TARGET_LINK_ADDR, 1};
	memcpy(option + 2, packet->src_mac.bytes, sizeof(packet->src_mac.bytes));
	int built;
	if (packet->is_request)
		built = libnet_build_icmpv6_ndp_nsol(SOLICITATION, 0, 0,
						     libnet_addr(&packet->target), NULL, 0, net, 0);
	else
		built = libnet_build_icmpv6_ndp_nadv(ADVERTISEMENT, 0, 0,
						     DOES_OVERRIDE | (is_group ? 0 : IS_SOLICITED),
						     libnet_addr(&packet->sender), option,
						     sizeof(option), net, 0);
	if (built < 0 || add_ipv6(net, IPPROTO_ICMPV6, NDP_HOP_LIMIT, &packet->sender, &dst) < 0)
		return -1;
	return libnet_build_ethernet(packet->dst_mac.bytes, packet->src_mac.bytes, ETHERTYPE_IPV6,
				     NULL, 0, net, 0);
}

static int build(int (*add)(libnet_t *net, const void *from), const void *from,
		 struct check_frame *frame, struct err *err)
{
	char reason[LIBNET_ERRBUF_SIZE];
	libnet_t *net = libnet_init(LIBNET_NONE, NULL, reason);
	if (!net)
		return err_set(err, -ENOMEM, "libnet: %s", reason);
	uint8_t *bytes = NULL;
	uint32_t len = 0;
	int code = 0;
	if (add(net, from) < 0 || libnet_pblock_coalesce(net, &bytes, &len) < 0 ||
	    len > sizeof(frame->bytes)) {
		code = err_set(err, -EINVAL, "libnet: %s", libnet_geterror(net));
	} else {
		memcpy(frame->bytes, bytes, len);
		frame->len = len;
	}
	if (bytes)
		libnet_adv_free_packet(net, bytes);
	libnet_destroy(net);
	return code;
}

int check_segment_build(const struct check_segment *segment, struct check_frame *frame,
			struct err *err)
{
	return build(is_v4(segment) ? add_segment : add_segment_v6, segment, frame, err);
}

int check_neighbour_build(const struct check_neighbour *packet, struct check_frame *frame,
			  struct err *err)
{
	return build(ip_addr_is_v4(&packet->sender) ? add_arp : add_ndp, packet, frame, err);
}
