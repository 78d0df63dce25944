// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/rewrite.h"

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	ICMP_CSUM_OFFSET = 2,
	ADDR_WORDS = sizeof(struct ip_addr) / sizeof(uint32_t),
};

// An unfolded sum.
static uint64_t sum_of_both(const struct ip_addr *a, const struct ip_addr *b)
{
	return csum_add_words(csum_add_words(0, a, ADDR_WORDS), b, ADDR_WORDS);
}

struct csum_deltas rewrite_deltas(const struct endpoint *from_src, const struct endpoint *from_dst,
				  const struct endpoint *to_src, const struct endpoint *to_dst)
{
	// A word of ones is zero to a checksum: so many that nothing below zero is left.
	uint64_t zero = UINT64_C(0xffffffff) * 2 * ADDR_WORDS;
	uint64_t added = sum_of_both(&to_src->addr, &to_dst->addr);
	return (struct csum_deltas){
		.addrs = csum_fold(zero + added - sum_of_both(&from_src->addr, &from_dst->addr)),
		.ports = csum_add(csum_delta16(from_src->port_be, to_src->port_be),
				  csum_delta16(from_dst->port_be, to_dst->port_be)),
	};
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
	uint16_t delta = csum_add(rewrite->deltas.addrs, rewrite->deltas.ports);
	if (is_partial)
		// The pseudo-header knows addresses, not ports.
		store_raw16(field, csum_add(load_raw16(field), rewrite->deltas.addrs));
	else if (proto == IPPROTO_TCP)
		update_stored(field, delta);
	else
		update_udp(field, delta);
}

static void store_addrs(uint8_t *ip, bool is_v6, const struct ip_addr *src,
			const struct ip_addr *dst)
{
	if (is_v6) {
		memcpy(ip + IPV6_SRC_OFFSET, src->bytes, IPV6_ADDR_LEN);
		memcpy(ip + IPV6_DST_OFFSET, dst->bytes, IPV6_ADDR_LEN);
	} else {
		store_raw32(ip + IP_SRC_OFFSET, ip_addr_v4_be(src));
		store_raw32(ip + IP_DST_OFFSET, ip_addr_v4_be(dst));
	}
}

static void store_ports(uint8_t *l4, const struct endpoint *src, const struct endpoint *dst)
{
	store_raw16(l4, src->port_be);
	store_raw16(l4 + 2, dst->port_be);
}

// IPv4: the header's checksum follows, in which the word of the time to live also holds the
// protocol; `addr_delta` is what the addresses change in it. IPv6 has none.
static void pass_hop(uint8_t *ip, bool is_v6, uint16_t addr_delta)
{
	if (is_v6) {
		ip[IPV6_HOP_LIMIT_OFFSET]--;
		return;
	}
	uint16_t before = load_raw16(ip + IP_TTL_OFFSET);
	ip[IP_TTL_OFFSET]--;
	uint16_t ttl_delta = csum_delta16(before, load_raw16(ip + IP_TTL_OFFSET));
	update_stored(ip + IP_CSUM_OFFSET, csum_add(addr_delta, ttl_delta));
}

void rewrite_packet(uint8_t *frame, const struct frame_view *view, const struct rewrite *rewrite,
		    bool is_partial)
{
	uint8_t *ip = frame + view->l3;
	uint8_t *l4 = frame + view->l4;
	update_transport(l4, view->src.proto, rewrite, is_partial);
	store_addrs(ip, view->is_v6, &rewrite->src->addr, &rewrite->dst->addr);
	store_ports(l4, rewrite->src, rewrite->dst);
	pass_hop(ip, view->is_v6, rewrite->deltas.addrs);
}

static uint16_t addrs_delta(const uint8_t *frame, const struct frame_view *view,
			    const struct ip_addr *src, const struct ip_addr *dst)
{
	uint32_t len;
	uint32_t at = frame_view_addrs(view, &len);
	uint8_t addrs[2 * IPV6_ADDR_LEN];
	memcpy(addrs, src->bytes + IPV6_ADDR_LEN - len / 2, len / 2);
	memcpy(addrs + len / 2, dst->bytes + IPV6_ADDR_LEN - len / 2, len / 2);
	return csum_delta_bytes(frame + at, addrs, len);
}

void rewrite_fragment(uint8_t *frame, const struct frame_view *view, const struct ip_addr *src,
		      const struct ip_addr *dst)
{
	uint16_t addr_delta = addrs_delta(frame, view, src, dst);
	store_addrs(frame + view->l3, view->is_v6, src, dst);
	pass_hop(frame + view->l3, view->is_v6, addr_delta);
}

void rewrite_id(uint8_t *frame, const struct frame_view *view, uint32_t id)
{
	uint8_t *ip = frame + view->l3;
	if (view->is_v6) {
		store_be32(frame + view->fragment.data - sizeof(id), id);
		return;
	}
	uint16_t before = load_raw16(ip + IP_ID_OFFSET);
	store_be16(ip + IP_ID_OFFSET, (uint16_t)id);
	update_stored(ip + IP_CSUM_OFFSET, csum_delta16(before, load_raw16(ip + IP_ID_OFFSET)));
}

void rewrite_ttl(uint8_t *frame, const struct frame_view *view)
{
	pass_hop(frame + view->l3, view->is_v6, 0);
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

void rewrite_icmp_error(uint8_t *frame, const struct frame_view *view,
			const struct endpoint *quoted_src, const struct endpoint *quoted_dst,
			const struct ip_addr *outer_src, const struct ip_addr *outer_dst)
{
	uint8_t *quoted_ip = frame + view->quoted_l3;
	uint16_t before = csum_fold(quote_sum(frame, view));
	struct csum_deltas deltas = rewrite_deltas(&view->src, &view->dst, quoted_src, quoted_dst);

	update_quoted_transport(frame, view, csum_add(deltas.addrs, deltas.ports));
	store_addrs(quoted_ip, view->is_v6, &quoted_src->addr, &quoted_dst->addr);
	store_ports(frame + view->quoted_l4, quoted_src, quoted_dst);
	if (!view->is_v6)
		update_stored(quoted_ip + IP_CSUM_OFFSET, deltas.addrs);

	uint16_t delta = csum_delta16(before, csum_fold(quote_sum(frame, view)));
	uint16_t outer_delta = addrs_delta(frame, view, outer_src, outer_dst);
	// ICMPv6 covers a pseudo-header with the outer addresses (RFC 4443 section 2.3).
	update_stored(frame + view->l4 + ICMP_CSUM_OFFSET,
		      view->is_v6 ? csum_add(delta, outer_delta) : delta);
	store_addrs(frame + view->l3, view->is_v6, outer_src, outer_dst);
	pass_hop(frame + view->l3, view->is_v6, outer_delta);
}
