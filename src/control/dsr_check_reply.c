// SPDX-License-Identifier: Apache-2.0
#include "control/dsr_check_reply.h"

#include <netinet/in.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"
#include "culvert/net/parse.h"

enum {
	ETHERTYPE_OFFSET = 12,
	ETHERTYPE_IPV4 = 0x0800,
	ICMP_UNREACHABLE = 3,
	ICMP6_UNREACHABLE = 1,
	QUOTED_TCP_LEN = 8,
	TCP_SEQ_OFFSET = 4,
};

static bool is_intact(const uint8_t *frame, const struct frame_view *view, uint8_t proto)
{
	uint32_t len = view->frame_len - view->l4;
	uint64_t sum = frame_pseudo_sum(frame, view, proto, len);
	return csum_fold(csum_add_bytes(sum, frame + view->l4, len)) == 0xffff;
}

static bool take_tcp(const uint8_t *frame, const struct frame_view *view, bool is_partial,
		     struct dsr_reply *reply)
{
	const uint8_t syn_ack = TCP_FLAG_SYN | TCP_FLAG_ACK;
	// Also of a reset: one without ACK answers no SYN (RFC 9293 section 3.10.7.1).
	if (!(view->tcp_flags & TCP_FLAG_ACK))
		return false;
	bool is_reset = view->tcp_flags & TCP_FLAG_RST;
	if (!is_reset && (view->tcp_flags & syn_ack) != syn_ack)
		return false;
	*reply = (struct dsr_reply){
		.kind = is_reset ? DSR_REPLY_RESET : DSR_REPLY_SYN_ACK,
		.from = view->src,
		.probe_port_be = view->dst.port_be,
		.ack = view->ack,
		.is_corrupt = !is_partial && !is_intact(frame, view, IPPROTO_TCP),
	};
	return true;
}

// The quoted packet is ours, or the one that ours was in: that bears the port as its
// identification, because few routers quote more of the inner one than eight bytes.
static bool read_quoted(const uint8_t *quoted, uint32_t len, struct dsr_reply *reply)
{
	uint32_t header_len = (quoted[0] & 0x0fU) * 4;
	if (quoted[0] >> 4 != 4 || header_len < IP_HEADER_MIN)
		return false;
	reply->quoted_src = ip_addr_from_v4(load_raw32(quoted + IP_SRC_OFFSET));
	reply->quoted_dst = ip_addr_from_v4(load_raw32(quoted + IP_DST_OFFSET));
	reply->is_tunnel_quoted = quoted[IP_PROTO_OFFSET] == IPPROTO_IPIP;
	if (reply->is_tunnel_quoted) {
		reply->probe_port_be = load_raw16(quoted + IP_ID_OFFSET);
		return true;
	}
	if (quoted[IP_PROTO_OFFSET] != IPPROTO_TCP || len < header_len + QUOTED_TCP_LEN)
		return false;
	reply->probe_port_be = load_raw16(quoted + header_len);
	reply->quoted_seq = load_be32(quoted + header_len + TCP_SEQ_OFFSET);
	return true;
}

// The length of the ICMP message at `icmp`, or 0 when it is not whole and intact.
static uint32_t icmp_len(const uint8_t *ip, const uint8_t *icmp, const uint8_t *end)
{
	uint32_t header_len = (uint32_t)(icmp - ip);
	uint32_t total_len = load_be16(ip + IP_LEN_OFFSET);
	if (total_len < header_len || total_len > (size_t)(end - ip))
		return 0;
	uint32_t len = total_len - header_len;
	return csum_fold(csum_add_bytes(0, icmp, len)) == 0xffff ? len : 0;
}

// parse_frame() does not take errors about tunnels.
static bool take_icmp(const uint8_t *frame, uint32_t len, struct dsr_reply *reply)
{
	const uint8_t *ip = frame + ETH_HEADER_LEN;
	if (len < ETH_HEADER_LEN + IP_HEADER_MIN ||
	    load_be16(frame + ETHERTYPE_OFFSET) != ETHERTYPE_IPV4 || ip[0] >> 4 != 4 ||
	    ip[IP_PROTO_OFFSET] != IPPROTO_ICMP)
		return false;
	uint32_t header_len = (ip[0] & 0x0fU) * 4;
	if (header_len < IP_HEADER_MIN)
		return false;
	const uint8_t *icmp = ip + header_len;
	uint32_t message_len = icmp_len(ip, icmp, frame + len);
	if (message_len < ICMP_HEADER_LEN + IP_HEADER_MIN || icmp[0] != ICMP_UNREACHABLE)
		return false;
	*reply = (struct dsr_reply){
		.kind = DSR_REPLY_ICMP,
		.from = {.addr = ip_addr_from_v4(load_raw32(ip + IP_SRC_OFFSET))},
		.icmp_code = icmp[1],
	};
	return read_quoted(icmp + ICMP_HEADER_LEN, message_len - ICMP_HEADER_LEN, reply);
}

// Nothing carries IPv6 in a tunnel here, so the parser finds what is quoted.
static bool take_icmp6(const uint8_t *frame, const struct frame_view *view, struct dsr_reply *reply)
{
	const uint8_t *icmp = frame + view->l4;
	if (icmp[0] != ICMP6_UNREACHABLE || !is_intact(frame, view, IPPROTO_ICMPV6))
		return false;
	*reply = (struct dsr_reply){
		.kind = DSR_REPLY_ICMP,
		.from = {.addr = frame_outer_src(frame, view)},
		.probe_port_be = view->src.port_be,
		.icmp_code = icmp[1],
		.quoted_src = view->src.addr,
		.quoted_dst = view->dst.addr,
		.quoted_seq = view->seq,
	};
	return true;
}

bool dsr_reply_parse(const uint8_t *frame, uint32_t len, bool is_partial,
		     const struct ip_addr *source, struct dsr_reply *reply)
{
	struct frame_view view;
	if (parse_frame(frame, len, &view) != PARSE_OK || view.src.proto != IPPROTO_TCP)
		return take_icmp(frame, len, reply);
	if (view.is_icmp_error)
		return view.is_v6 ? take_icmp6(frame, &view, reply) : take_icmp(frame, len, reply);
	return ip_addr_equal(&view.dst.addr, source) && take_tcp(frame, &view, is_partial, reply);
}

// An ICMP error is about what was sent: few know what to quote.
static bool is_quoted(const struct dsr_reply *reply, const struct dsr_evidence *e, uint32_t seq)
{
	if (reply->is_tunnel_quoted)
		return e->method == DSR_IPIP && ip_addr_equal(&reply->quoted_src, &e->hop.source) &&
		       ip_addr_equal(&reply->quoted_dst, &e->backend.addr);
	const struct ip_addr *dst = e->method == DSR_NAT ? &e->backend.addr : &e->vip.addr;
	return ip_addr_equal(&reply->quoted_src, &e->source) &&
	       ip_addr_equal(&reply->quoted_dst, dst) && reply->quoted_seq == seq;
}

bool dsr_reply_is_to(const struct dsr_reply *reply, const struct dsr_evidence *evidence,
		     uint32_t seq)
{
	if (reply->kind == DSR_REPLY_ICMP)
		return is_quoted(reply, evidence, seq);
	// An acknowledgement of another number answers something else.
	return reply->ack == seq + 1;
}

static enum dsr_verdict judge_syn_ack(const struct dsr_evidence *evidence)
{
	const struct dsr_reply *reply = &evidence->reply;
	bool is_unhealthy =
		evidence->connect == DSR_CONNECT_REFUSED || evidence->connect == DSR_CONNECT_SILENT;
	if (ip_addr_equal(&reply->from.addr, &evidence->backend.addr))
		return DSR_NO_NAT;
	if (!ip_addr_equal(&reply->from.addr, &evidence->vip.addr))
		return DSR_WRONG_ADDR;
	if (reply->from.port_be != evidence->vip.port_be)
		return DSR_WRONG_PORT;
	if (reply->is_corrupt)
		return DSR_CORRUPT;
	return is_unhealthy && evidence->is_health_checked ? DSR_UNHEALTHY : DSR_READY;
}

static enum dsr_verdict judge_silence(const struct dsr_evidence *evidence)
{
	const struct next_hop *hop = &evidence->hop;
	if (!hop->has_route || hop->is_local)
		return DSR_NO_ROUTE;
	if (evidence->method == DSR_L2 && !ip_addr_equal(&hop->gateway, &evidence->backend.addr))
		return DSR_NOT_ON_LINK;
	if (evidence->n_sent == 0)
		return evidence->is_link_up ? DSR_HOST_DOWN : DSR_LINK_DOWN;
	switch (evidence->connect) {
	case DSR_CONNECT_PASSED:
	case DSR_CONNECT_REFUSED: // by a host that is there
		return DSR_NO_REPLY;
	case DSR_CONNECT_SILENT:
		return DSR_HOST_DOWN;
	case DSR_CONNECT_UNKNOWN:
		break;
	}
	return DSR_UNKNOWN;
}

enum dsr_verdict dsr_judge(const struct dsr_evidence *evidence)
{
	switch (evidence->reply.kind) {
	case DSR_REPLY_SYN_ACK:
		return judge_syn_ack(evidence);
	case DSR_REPLY_RESET:
		return DSR_REFUSED;
	case DSR_REPLY_ICMP:
		return DSR_UNREACHABLE;
	case DSR_REPLY_NONE:
		break;
	}
	return judge_silence(evidence);
}
