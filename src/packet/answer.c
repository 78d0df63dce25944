// SPDX-License-Identifier: Apache-2.0
#include "packet/answer.h"

#include <errno.h>
#include <libnet.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	ANSWER_TTL = 64,
	IP_LEN_OFFSET = 2,
	TCP_SEQ_OFFSET = 4,
	TCP_ACK_OFFSET = 8,
	TCP_FLAGS_OFFSET = 13,
	UDP_LEN_OFFSET = 4,
	ICMP_CODE_OFFSET = 1,
	ICMP_CSUM_OFFSET = 2,
	ICMP_REST_OFFSET = 4, // fragmentation needed: the greatest size that fits
	QUOTED_L4_LEN = 8,
	QUOTE_MAX = 60 + QUOTED_L4_LEN,
};

static int build_ip_and_ethernet(libnet_t *net, uint16_t ip_len, uint8_t proto)
{
	static const uint8_t mac[6];
	// Identification 0 with DF: an atomic datagram (RFC 6864 section 4.1).
	if (libnet_build_ipv4(ip_len, 0, 0, IP_DF, ANSWER_TTL, proto, 0, 0, 0, NULL, 0, net, 0) < 0)
		return -1;
	return libnet_build_ethernet(mac, mac, ETHERTYPE_IP, NULL, 0, net, 0);
}

static int build_reset(libnet_t *net)
{
	if (libnet_build_tcp(0, 0, 0, 0, TH_RST, 0, 0, 0, ANSWER_TCP_LEN, NULL, 0, net, 0) < 0)
		return -1;
	return build_ip_and_ethernet(net, ANSWER_IP_LEN + ANSWER_TCP_LEN, IPPROTO_TCP);
}

static int build_unreachable(libnet_t *net)
{
	if (libnet_build_icmpv4_echo(ICMP_UNREACH, ICMP_UNREACH_PORT, 0, 0, 0, NULL, 0, net, 0) < 0)
		return -1;
	return build_ip_and_ethernet(net, ANSWER_IP_LEN + ANSWER_ICMP_LEN, IPPROTO_ICMP);
}

static int build_template(uint8_t *out, uint32_t len, int (*build)(libnet_t *net), struct err *err)
{
	char reason[LIBNET_ERRBUF_SIZE];
	libnet_t *net = libnet_init(LIBNET_NONE, NULL, reason);
	if (!net)
		return err_set(err, -ENOMEM, "libnet: %s", reason);
	uint8_t *bytes = NULL;
	uint32_t made = 0;
	int code = 0;
	if (build(net) < 0 || libnet_pblock_coalesce(net, &bytes, &made) < 0 || made != len)
		code = err_set(err, -EINVAL, "libnet: %s", libnet_geterror(net));
	else
		memcpy(out, bytes, len);
	if (bytes)
		libnet_adv_free_packet(net, bytes);
	libnet_destroy(net);
	return code;
}

int answer_templates_init(struct answer_templates *templates, struct err *err)
{
	int code = build_template(templates->reset, ANSWER_RESET_LEN, build_reset, err);
	if (code)
		return code;
	return build_template(templates->unreachable, ANSWER_UNREACHABLE_LEN, build_unreachable,
			      err);
}

static void patch_ethernet(uint8_t *frame, const struct mac_addr *src, const struct mac_addr *dst)
{
	memcpy(frame, dst->bytes, sizeof(dst->bytes));
	memcpy(frame + 6, src->bytes, sizeof(src->bytes));
}

static void patch_ip(uint8_t *ip, const struct ip_addr *src, const struct ip_addr *dst)
{
	store_raw32(ip + IP_SRC_OFFSET, ip_addr_v4_be(src));
	store_raw32(ip + IP_DST_OFFSET, ip_addr_v4_be(dst));
	store_raw16(ip + IP_CSUM_OFFSET, 0);
	store_raw16(ip + IP_CSUM_OFFSET, csum_finish(csum_add_bytes(0, ip, ANSWER_IP_LEN)));
}

static void patch_tcp(uint8_t *ip, uint8_t *tcp, const struct reset *reset)
{
	store_raw16(tcp, reset->src.port_be);
	store_raw16(tcp + 2, reset->dst.port_be);
	store_be32(tcp + TCP_SEQ_OFFSET, reset->seq);
	store_be32(tcp + TCP_ACK_OFFSET, reset->has_ack ? reset->ack : 0);
	tcp[TCP_FLAGS_OFFSET] = (uint8_t)(TCP_FLAG_RST | (reset->has_ack ? TCP_FLAG_ACK : 0));
	store_raw16(tcp + TCP_CSUM_OFFSET, 0);

	uint64_t sum = csum_add_bytes(0, ip + IP_SRC_OFFSET, 8);
	sum += htons(IPPROTO_TCP) + (uint64_t)htons(ANSWER_TCP_LEN);
	sum = csum_add_bytes(sum, tcp, ANSWER_TCP_LEN);
	store_raw16(tcp + TCP_CSUM_OFFSET, csum_finish(sum));
}

void answer_write_reset(const struct answer_templates *templates, const struct reset *reset,
			struct packet *packet)
{
	uint8_t *frame = packet->frame;
	memcpy(frame, templates->reset, ANSWER_RESET_LEN);
	patch_ethernet(frame, &reset->src_mac, &reset->dst_mac);
	patch_ip(frame + ETH_HEADER_LEN, &reset->src.addr, &reset->dst.addr);
	patch_tcp(frame + ETH_HEADER_LEN, frame + ETH_HEADER_LEN + ANSWER_IP_LEN, reset);
	packet->len = ANSWER_RESET_LEN;
	packet->vnet = (struct virtio_net_hdr){0};
	packet->tx_link = reset->link;
	packet->is_to_send = true;
}

static struct mac_addr sender_of(const struct packet *packet)
{
	struct mac_addr mac;
	memcpy(mac.bytes, packet->frame + 6, sizeof(mac.bytes));
	return mac;
}

// A segment with ACK says what number its sender will accept; any other is acknowledged whole.
static void refuse_tcp(const struct answer_templates *templates, struct packet *packet,
		       const struct mac_addr *link_mac)
{
	const struct frame_view *view = &packet->view;
	bool is_acking = view->tcp_flags & TCP_FLAG_ACK;
	struct reset reset = {
		.src_mac = *link_mac,
		.dst_mac = sender_of(packet),
		.src = view->dst,
		.dst = view->src,
		.seq = is_acking ? view->ack : 0,
		.ack = view->seq + frame_view_seq_len(view),
		.has_ack = !is_acking,
		.link = packet->rx_link,
	};
	answer_write_reset(templates, &reset, packet);
}

struct unreachable {
	uint32_t quote_at; // in the frame that is turned into this
	uint32_t quote_len;
	uint8_t code;
	uint32_t rest; // behind the checksum
};

// Destination unreachable, from whom the packet was for to whom it is from.
static void write_unreachable(const struct answer_templates *templates, struct packet *packet,
			      const struct mac_addr *link_mac,
			      const struct unreachable *unreachable)
{
	uint32_t quote_len = unreachable->quote_len;
	const struct frame_view view = packet->view;
	struct mac_addr sender = sender_of(packet);
	uint8_t quote[QUOTE_MAX];
	memcpy(quote, packet->frame + unreachable->quote_at, quote_len);

	uint8_t *frame = packet->frame;
	uint8_t *ip = frame + ETH_HEADER_LEN;
	uint8_t *icmp = ip + ANSWER_IP_LEN;
	memcpy(frame, templates->unreachable, ANSWER_UNREACHABLE_LEN);
	memcpy(icmp + ANSWER_ICMP_LEN, quote, quote_len);
	patch_ethernet(frame, link_mac, &sender);
	store_be16(ip + IP_LEN_OFFSET, (uint16_t)(ANSWER_IP_LEN + ANSWER_ICMP_LEN + quote_len));
	patch_ip(ip, &view.dst.addr, &view.src.addr);
	icmp[ICMP_CODE_OFFSET] = unreachable->code;
	store_be32(icmp + ICMP_REST_OFFSET, unreachable->rest);
	store_raw16(icmp + ICMP_CSUM_OFFSET, 0);
	uint64_t sum = csum_add_bytes(0, icmp, ANSWER_ICMP_LEN + quote_len);
	store_raw16(icmp + ICMP_CSUM_OFFSET, csum_finish(sum));

	packet->len = ANSWER_UNREACHABLE_LEN + quote_len;
	packet->vnet = (struct virtio_net_hdr){0};
	packet->tx_link = packet->rx_link;
	packet->is_to_send = true;
}

// About a packet that was received.
static void refuse_unreachable(const struct answer_templates *templates, struct packet *packet,
			       const struct mac_addr *link_mac, uint8_t code, uint32_t rest)
{
	const struct frame_view *view = &packet->view;
	struct unreachable unreachable = {
		.quote_at = view->l3,
		.quote_len = (uint32_t)view->l4 - view->l3 + QUOTED_L4_LEN,
		.code = code,
		.rest = rest,
	};
	write_unreachable(templates, packet, link_mac, &unreachable);
}

// Whether the transport checksum is right (to hardware, perhaps), or not there to be judged: the
// ports and numbers of a damaged packet are no reason to reset anybody's connection (RFC 9293
// section 3.10.7).
static bool is_intact(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	const uint8_t *l4 = packet->frame + view->l4;
	bool is_udp = view->src.proto == IPPROTO_UDP;
	// The rest of what the checksum covers is elsewhere: enough for an ICMP error, not a reset.
	if (packet->is_fragment)
		return is_udp;
	bool is_checked = packet->vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID;
	if (is_checked || packet_is_partial(packet) ||
	    (is_udp && load_raw16(l4 + UDP_CSUM_OFFSET) == 0))
		return true;
	uint32_t len = is_udp ? load_be16(l4 + UDP_LEN_OFFSET) : view->frame_len - view->l4;
	uint64_t sum = frame_pseudo_sum(packet->frame, view, view->src.proto, len);
	return csum_fold(csum_add_bytes(sum, l4, len)) == 0xffff;
}

bool answer_refuse(const struct answer_templates *templates, struct packet *packet,
		   const struct mac_addr *link_mac)
{
	if (packet->view.is_v6 || !answer_may_be_due(packet) || !is_intact(packet))
		return false;
	if (packet->view.src.proto == IPPROTO_UDP)
		refuse_unreachable(templates, packet, link_mac, ICMP_UNREACH_PORT, 0);
	else
		refuse_tcp(templates, packet, link_mac);
	return true;
}

bool answer_too_big(const struct answer_templates *templates, struct packet *packet,
		    const struct mac_addr *link_mac, uint32_t mtu)
{
	if (packet->view.is_v6 || packet->view.is_icmp_error || !is_intact(packet))
		return false;
	refuse_unreachable(templates, packet, link_mac, ICMP_UNREACH_NEEDFRAG, mtu);
	return true;
}

void answer_tunnel_too_big(const struct answer_templates *templates, struct packet *packet,
			   uint32_t mtu)
{
	static const struct mac_addr none;
	const struct frame_view *view = &packet->view;
	struct unreachable unreachable = {
		.quote_at = view->quoted_l3,
		.quote_len = (uint32_t)view->quoted_l4 - view->quoted_l3 + QUOTED_L4_LEN,
		.code = ICMP_UNREACH_NEEDFRAG,
		.rest = mtu,
	};
	write_unreachable(templates, packet, &none, &unreachable);
}
