// SPDX-License-Identifier: Apache-2.0
#include "packet/answer.h"

#include <errno.h>
#include <libnet.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	ANSWER_TTL = 64,
	ANSWER_ERROR_TOS = 0xc0, // internetwork control (RFC 1812 section 4.3.2.5)
	IP_HEADER_LEN = 20,
	IPV6_MTU_MIN = 1280, // RFC 8200 section 5: every link carries that much
	TCP_SEQ_OFFSET = 4,
	TCP_ACK_OFFSET = 8,
	TCP_FLAGS_OFFSET = 13,
	ICMP_CODE_OFFSET = 1,
	ICMP_CSUM_OFFSET = 2,
	ICMP_REST_OFFSET = 4, // packet too big: the greatest size that fits
	// The greatest error: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
	QUOTE_MAX_V4 = 576 - IP_HEADER_LEN - ANSWER_ICMP_LEN,
	QUOTE_MAX_V6 = IPV6_MTU_MIN - IPV6_HEADER_LEN - ANSWER_ICMP_LEN,
};

// ---- templates ----------------------------------------------------------------------------------

struct outline {
	bool is_v6;
	bool is_error;
};

static uint8_t proto_of(const struct outline *outline)
{
	if (!outline->is_error)
		return IPPROTO_TCP;
	return outline->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

// A checksum that is not 0 is none that libnet has to find.
static int build_transport(libnet_t *net, const struct outline *outline)
{
	if (!outline->is_error)
		return libnet_build_tcp(0, 0, 0, 0, TH_RST, 0, 1, 0, ANSWER_TCP_LEN, NULL, 0, net,
					0);
	// All errors have the layout of an echo; ICMPv6 shares it (RFC 4443 section 2.1).
	return libnet_build_icmpv4_echo(0, 0, 1, 0, 0, NULL, 0, net, 0);
}

static int build_ip(libnet_t *net, const struct outline *outline)
{
	static const struct libnet_in6_addr any;
	uint16_t len = outline->is_error ? ANSWER_ICMP_LEN : ANSWER_TCP_LEN;
	uint8_t tos = outline->is_error ? ANSWER_ERROR_TOS : 0;
	uint8_t proto = proto_of(outline);
	if (outline->is_v6)
		return libnet_build_ipv6(0, 0, len, proto, ANSWER_TTL, any, any, NULL, 0, net, 0);
	// Identification 0 with DF: an atomic datagram (RFC 6864 section 4.1).
	return libnet_build_ipv4((uint16_t)(IP_HEADER_LEN + len), tos, 0, IP_DF, ANSWER_TTL, proto,
				 0, 0, 0, NULL, 0, net, 0);
}

static int build_frame(libnet_t *net, const struct outline *outline)
{
	static const uint8_t mac[6];
	uint16_t type = outline->is_v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP;
	if (build_transport(net, outline) < 0 || build_ip(net, outline) < 0)
		return -1;
	return libnet_build_ethernet(mac, mac, type, NULL, 0, net, 0);
}

static int build_template(struct answer_template *out, struct outline outline, struct err *err)
{
	char reason[LIBNET_ERRBUF_SIZE];
	uint32_t l4_len = outline.is_error ? ANSWER_ICMP_LEN : ANSWER_TCP_LEN;
	out->l4 = ETH_HEADER_LEN + (outline.is_v6 ? (uint32_t)IPV6_HEADER_LEN : IP_HEADER_LEN);
	out->len = out->l4 + l4_len;
	libnet_t *net = libnet_init(LIBNET_NONE, NULL, reason);
	if (!net)
		return err_set(err, -ENOMEM, "libnet: %s", reason);
	uint8_t *bytes = NULL;
	uint32_t made = 0;
	int code = 0;
	if (build_frame(net, &outline) < 0 || libnet_pblock_coalesce(net, &bytes, &made) < 0 ||
	    made != out->len)
		code = err_set(err, -EINVAL, "libnet: %s", libnet_geterror(net));
	else
		memcpy(out->bytes, bytes, made);
	if (bytes)
		libnet_adv_free_packet(net, bytes);
	libnet_destroy(net);
	return code;
}

int answer_templates_init(struct answer_templates *templates, struct err *err)
{
	int code = 0;
	for (int is_v6 = 0; is_v6 < 2 && !code; is_v6++) {
		code = build_template(&templates->resets[is_v6], (struct outline){is_v6, false},
				      err);
		if (!code)
			code = build_template(&templates->errors[is_v6],
					      (struct outline){is_v6, true}, err);
	}
	return code;
}

// ---- what both kinds share ----------------------------------------------------------------------

// Whom an answer is from, and who gets it.
struct ends {
	struct mac_addr src_mac;
	struct mac_addr dst_mac;
	struct ip_addr src;
	struct ip_addr dst;
};

static bool are_v6(const struct ends *ends)
{
	return !ip_addr_is_v4(&ends->dst);
}

static void patch_ipv4(uint8_t *ip, const struct ends *ends, uint32_t l4_len)
{
	store_be16(ip + IP_LEN_OFFSET, (uint16_t)(IP_HEADER_LEN + l4_len));
	store_raw32(ip + IP_SRC_OFFSET, ip_addr_v4_be(&ends->src));
	store_raw32(ip + IP_DST_OFFSET, ip_addr_v4_be(&ends->dst));
	store_raw16(ip + IP_CSUM_OFFSET, 0);
	store_raw16(ip + IP_CSUM_OFFSET, csum_finish(csum_add_bytes(0, ip, IP_HEADER_LEN)));
}

static void patch_ipv6(uint8_t *ip, const struct ends *ends, uint32_t l4_len)
{
	store_be16(ip + IPV6_LEN_OFFSET, (uint16_t)l4_len);
	memcpy(ip + IPV6_SRC_OFFSET, ends->src.bytes, IPV6_ADDR_LEN);
	memcpy(ip + IPV6_DST_OFFSET, ends->dst.bytes, IPV6_ADDR_LEN);
}

// The template for a packet with `l4_len` bytes behind its IP header. Returns the transport header,
// which is the caller's to complete.
static uint8_t *write_template(const struct answer_template *template, const struct ends *ends,
			       uint32_t l4_len, uint8_t *frame)
{
	memcpy(frame, template->bytes, template->len);
	memcpy(frame, ends->dst_mac.bytes, sizeof(ends->dst_mac.bytes));
	memcpy(frame + 6, ends->src_mac.bytes, sizeof(ends->src_mac.bytes));
	if (are_v6(ends))
		patch_ipv6(frame + ETH_HEADER_LEN, ends, l4_len);
	else
		patch_ipv4(frame + ETH_HEADER_LEN, ends, l4_len);
	return frame + template->l4;
}

// Of `len` bytes at `l4`, whose checksum field is zero. What an IPv4 address has in front of it in
// its 16 bytes adds up to nothing.
static uint16_t checksum_of(const struct ends *ends, uint8_t proto, const uint8_t *l4, uint32_t len)
{
	uint64_t sum = 0;
	if (proto != IPPROTO_ICMP) {
		sum = csum_add_bytes(sum, ends->src.bytes, sizeof(ends->src.bytes));
		sum = csum_add_bytes(sum, ends->dst.bytes, sizeof(ends->dst.bytes));
		sum += (uint64_t)htons(proto) + htons((uint16_t)len);
	}
	return csum_finish(csum_add_bytes(sum, l4, len));
}

static void make_ready(struct packet *packet, uint32_t len, uint8_t link)
{
	packet->len = len;
	packet->vnet = (struct virtio_net_hdr){0};
	packet->tx_link = link;
	packet->is_to_send = true;
}

static struct mac_addr sender_of(const struct packet *packet)
{
	struct mac_addr mac;
	memcpy(mac.bytes, packet->frame + 6, sizeof(mac.bytes));
	return mac;
}

// Whether the transport checksum is right (to hardware, perhaps), or not there to be judged: the
// ports and numbers of a damaged packet are no reason to reset anybody's connection (RFC 9293
// section 3.10.7). IPv6 has no datagrams without one (RFC 8200 section 8.1).
static bool is_intact(const struct packet *packet)
{
	const struct frame_view *view = &packet->view;
	const uint8_t *l4 = packet->frame + view->l4;
	bool is_udp = view->src.proto == IPPROTO_UDP;
	bool is_checked = packet->vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID;
	// The rest of what the checksum covers is elsewhere: enough for an ICMP error, not a reset.
	if (packet->is_fragment)
		return is_udp;
	if (is_checked || packet_is_partial(packet))
		return true;
	if (is_udp && load_raw16(l4 + UDP_CSUM_OFFSET) == 0)
		return !view->is_v6;
	uint32_t len = is_udp ? load_be16(l4 + UDP_LEN_OFFSET) : view->frame_len - view->l4;
	uint64_t sum = frame_pseudo_sum(packet->frame, view, view->src.proto, len);
	return csum_fold(csum_add_bytes(sum, l4, len)) == 0xffff;
}

// ---- resets -------------------------------------------------------------------------------------

void answer_write_reset(const struct answer_templates *templates, const struct reset *reset,
			struct packet *packet)
{
	struct ends ends = {reset->src_mac, reset->dst_mac, reset->src.addr, reset->dst.addr};
	const struct answer_template *template = &templates->resets[are_v6(&ends)];
	uint8_t *tcp = write_template(template, &ends, ANSWER_TCP_LEN, packet->frame);
	store_raw16(tcp, reset->src.port_be);
	store_raw16(tcp + 2, reset->dst.port_be);
	store_be32(tcp + TCP_SEQ_OFFSET, reset->seq);
	store_be32(tcp + TCP_ACK_OFFSET, reset->has_ack ? reset->ack : 0);
	tcp[TCP_FLAGS_OFFSET] = (uint8_t)(TCP_FLAG_RST | (reset->has_ack ? TCP_FLAG_ACK : 0));
	store_raw16(tcp + TCP_CSUM_OFFSET, 0);
	store_raw16(tcp + TCP_CSUM_OFFSET, checksum_of(&ends, IPPROTO_TCP, tcp, ANSWER_TCP_LEN));
	make_ready(packet, template->len, reset->link);
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

// ---- errors -------------------------------------------------------------------------------------

struct kind {
	uint8_t type;
	uint8_t code;
};

static const struct kind port_unreachable[2] = {{3, 3}, {1, 4}}; // of IPv4, and of IPv6

static const struct kind router_errors[][2] = {
	[ROUTER_EXPIRED] = {{11, 0}, {3, 0}},
	[ROUTER_TOO_BIG] = {{3, 4}, {2, 0}},
};

struct message {
	struct ends ends;
	struct kind kind;
	uint32_t rest;     // behind the checksum
	uint32_t quote_at; // in the frame that is turned into this
	uint32_t quote_len;
};

static void write_message(const struct answer_templates *templates, const struct message *message,
			  struct packet *packet)
{
	const struct ends *ends = &message->ends;
	const struct answer_template *template = &templates->errors[are_v6(ends)];
	uint32_t quote_max = are_v6(ends) ? QUOTE_MAX_V6 : QUOTE_MAX_V4;
	uint32_t quote_len = message->quote_len < quote_max ? message->quote_len : quote_max;
	uint32_t icmp_len = ANSWER_ICMP_LEN + quote_len;
	uint8_t proto = are_v6(ends) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	memmove(packet->frame + template->len, packet->frame + message->quote_at, quote_len);
	uint8_t *icmp = write_template(template, ends, icmp_len, packet->frame);
	icmp[0] = message->kind.type;
	icmp[ICMP_CODE_OFFSET] = message->kind.code;
	store_be32(icmp + ICMP_REST_OFFSET, message->rest);
	store_raw16(icmp + ICMP_CSUM_OFFSET, 0);
	store_raw16(icmp + ICMP_CSUM_OFFSET, checksum_of(ends, proto, icmp, icmp_len));
	make_ready(packet, template->len + quote_len, packet->rx_link);
}

// About a packet that was received, in the name of `src`.
static struct message message_about(const struct packet *packet, const struct mac_addr *link_mac,
				    const struct ip_addr *src)
{
	const struct frame_view *view = &packet->view;
	return (struct message){
		.ends = {*link_mac, sender_of(packet), *src, view->src.addr},
		.quote_at = view->l3,
		.quote_len = view->frame_len - view->l3,
	};
}

static void refuse_udp(const struct answer_templates *templates, struct packet *packet,
		       const struct mac_addr *link_mac)
{
	struct message message = message_about(packet, link_mac, &packet->view.dst.addr);
	message.kind = port_unreachable[packet->view.is_v6];
	write_message(templates, &message, packet);
}

bool answer_refuse(const struct answer_templates *templates, struct packet *packet,
		   const struct mac_addr *link_mac)
{
	if (!answer_may_be_due(packet) || !is_intact(packet))
		return false;
	if (packet->view.src.proto == IPPROTO_UDP)
		refuse_udp(templates, packet, link_mac);
	else
		refuse_tcp(templates, packet, link_mac);
	return true;
}

bool answer_as_router(const struct answer_templates *templates, struct packet *packet,
		      const struct router_error *error)
{
	bool is_v6 = packet->view.is_v6;
	if (packet->view.is_icmp_error || packet_is_later_fragment(packet) ||
	    (!packet->is_fragment && !is_intact(packet)))
		return false;
	struct message message = message_about(packet, &error->link_mac, &error->router);
	message.kind = router_errors[error->kind][is_v6];
	message.rest = is_v6 && error->mtu && error->mtu < IPV6_MTU_MIN ? IPV6_MTU_MIN : error->mtu;
	write_message(templates, &message, packet);
	return true;
}

void answer_tunnel_too_big(const struct answer_templates *templates, struct packet *packet,
			   uint32_t mtu)
{
	const struct frame_view *view = &packet->view;
	struct message message = {
		.ends = {.src = view->dst.addr, .dst = view->src.addr},
		.kind = router_errors[ROUTER_TOO_BIG][0],
		.rest = mtu,
		.quote_at = view->quoted_l3,
		.quote_len = view->frame_len - view->quoted_l3,
	};
	write_message(templates, &message, packet);
}
