// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/rewrite.h"

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	ICMP_CSUM_OFFSET = 2,
	IPV4_ADDRS_LEN = 8,
};

void rewrite_deltas(const struct endpoint *from_src, const struct endpoint *from_dst,
		    const struct endpoint *to_src, const struct endpoint *to_dst,
		    uint16_t *addr_delta, uint16_t *port_delta)
{
	size_t len = sizeof(from_src->addr.bytes);
	*addr_delta = csum_add(csum_delta_bytes(&from_src->addr, &to_src->addr, len),
			       csum_delta_bytes(&from_dst->addr, &to_dst->addr, len));
	*port_delta = csum_add(csum_delta16(from_src->port_be, to_src->port_be),
			       csum_delta16(from_dst->port_be, to_dst->port_be));
}

static void update_stored(uint8_t *field, uint16_t delta)
{
	store_raw16(field, csum_update(load_raw16(field), delta));
}

// UDP's zero means "no checksum" (RFC 768): it stays, and no update may end in it.
static void update_udp(uint8_t *field, uint16_t delta)
{
	uint16_t stored = load_raw16(field);
	if (stored == 0)
		return;
	stored = csum_update(stored, delta);
	store_raw16(field, stored ? stored : 0xffff);
}

static void update_transport(uint8_t *l4, uint8_t proto, const struct rewrite *rewrite,
			     bool is_partial)
{
	uint8_t *field = l4 + (proto == IPPROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET);
	uint16_t delta = csum_add(rewrite->addr_delta, rewrite->port_delta);
	if (is_partial)
		// The pseudo-header knows addresses, not ports.
		store_raw16(field, csum_add(load_raw16(field), rewrite->addr_delta));
	else if (proto == IPPROTO_TCP)
		update_stored(field, delta);
	else
		update_udp(field, delta);
}

static void store_endpoints(uint8_t *ip, uint8_t *l4, const struct endpoint *src,
			    const struct endpoint *dst)
{
	store_raw32(ip + IP_SRC_OFFSET, ip_addr_v4_be(&src->addr));
	store_raw32(ip + IP_DST_OFFSET, ip_addr_v4_be(&dst->addr));
	store_raw16(l4, src->port_be);
	store_raw16(l4 + 2, dst->port_be);
}

// The word that holds the time to live also holds the protocol. Returns the delta.
static uint16_t decrement_ttl(uint8_t *ip)
{
	uint16_t before = load_raw16(ip + IP_TTL_OFFSET);
	ip[IP_TTL_OFFSET]--;
	return csum_delta16(before, load_raw16(ip + IP_TTL_OFFSET));
}

void rewrite_packet(uint8_t *frame, const struct frame_view *view, const struct rewrite *rewrite,
		    bool is_partial)
{
	uint8_t *ip = frame + view->l3;
	uint8_t *l4 = frame + view->l4;
	update_transport(l4, view->src.proto, rewrite, is_partial);
	store_endpoints(ip, l4, rewrite->src, rewrite->dst);
	update_stored(ip + IP_CSUM_OFFSET, csum_add(rewrite->addr_delta, decrement_ttl(ip)));
}

void rewrite_ttl(uint8_t *frame, const struct frame_view *view)
{
	uint8_t *ip = frame + view->l3;
	update_stored(ip + IP_CSUM_OFFSET, decrement_ttl(ip));
}

// The quoted transport checksum is there only when the quote is long enough.
static void update_quoted_transport(uint8_t *frame, const struct frame_view *view, uint16_t delta)
{
	uint32_t offset = view->src.proto == IPPROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;
	if (view->quoted_l4 + offset + 2 > view->frame_len)
		return;
	if (view->src.proto == IPPROTO_TCP)
		update_stored(frame + view->quoted_l4 + offset, delta);
	else
		update_udp(frame + view->quoted_l4 + offset, delta);
}

// The ICMP checksum covers the whole quote, so its delta is taken over the bytes that changed:
// from the quoted IP header to the end of the quoted transport checksum, wherever the frame ends.
static uint64_t quote_sum(const uint8_t *frame, const struct frame_view *view)
{
	uint32_t end = view->quoted_l4 + 18U; // a TCP checksum ends here; UDP's lies before
	if (end > view->frame_len)
		end = view->frame_len;
	return csum_add_bytes(0, frame + view->quoted_l3, end - view->quoted_l3);
}

static void rewrite_outer(uint8_t *ip, const struct ip_addr *src, const struct ip_addr *dst)
{
	uint8_t addrs[IPV4_ADDRS_LEN];
	store_raw32(addrs, ip_addr_v4_be(src));
	store_raw32(addrs + 4, ip_addr_v4_be(dst));
	uint16_t delta = csum_delta_bytes(ip + IP_SRC_OFFSET, addrs, sizeof(addrs));
	memcpy(ip + IP_SRC_OFFSET, addrs, sizeof(addrs));
	update_stored(ip + IP_CSUM_OFFSET, csum_add(delta, decrement_ttl(ip)));
}

void rewrite_icmp_error(uint8_t *frame, const struct frame_view *view,
			const struct endpoint *quoted_src, const struct endpoint *quoted_dst,
			const struct ip_addr *outer_src, const struct ip_addr *outer_dst)
{
	uint8_t *quoted_ip = frame + view->quoted_l3;
	uint16_t before = csum_fold(quote_sum(frame, view));
	uint16_t addr_delta;
	uint16_t port_delta;
	rewrite_deltas(&view->src, &view->dst, quoted_src, quoted_dst, &addr_delta, &port_delta);

	update_quoted_transport(frame, view, csum_add(addr_delta, port_delta));
	store_endpoints(quoted_ip, frame + view->quoted_l4, quoted_src, quoted_dst);
	update_stored(quoted_ip + IP_CSUM_OFFSET, addr_delta);

	uint16_t after = csum_fold(quote_sum(frame, view));
	update_stored(frame + view->l4 + ICMP_CSUM_OFFSET, csum_delta16(before, after));
	rewrite_outer(frame + view->l3, outer_src, outer_dst);
}
