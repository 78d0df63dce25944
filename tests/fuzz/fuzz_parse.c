// SPDX-License-Identifier: Apache-2.0
// Any bytes as a frame: what parse_frame() accepts must lie within it.
#include <stdlib.h>
#include <string.h>

#include "culvert/net/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

// What an ICMP error quotes is behind its header, or in the tunnel packet that it quotes.
static void check_quote(const struct frame_view *view, uint32_t header_min)
{
	uint32_t first = view->l4 + ICMP_HEADER_LEN;
	require(view->is_tunnel_error ? view->quoted_l3 >= first + IP_HEADER_MIN
				      : view->quoted_l3 == first);
	require(view->quoted_l4 >= view->quoted_l3 + header_min &&
		view->quoted_l4 + 8U <= view->frame_len);
}

static void check_view(const struct frame_view *view, uint32_t len)
{
	uint32_t header_min = view->is_v6 ? IPV6_HEADER_LEN : IP_HEADER_MIN;
	require(view->frame_len <= len && view->frame_len >= view->payload);
	require(view->l3 == ETH_HEADER_LEN && view->l4 >= view->l3 + header_min &&
		view->payload >= view->l4 + 8);
	require(view->src.zero == 0 && view->dst.zero == 0);
	require(ip_addr_is_v4(&view->src.addr) == !view->is_v6 &&
		ip_addr_is_v4(&view->dst.addr) == !view->is_v6);
	require(view->src.proto == view->dst.proto);
	require(view->src.proto == IPPROTO_TCP || view->src.proto == IPPROTO_UDP);
	if (view->is_icmp_error)
		check_quote(view, header_min);
	else
		require(view->src.port_be != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	// A copy of its own length: a read beyond the frame is seen.
	uint8_t *frame = malloc(size ? size : 1);
	struct frame_view view;
	if (!frame)
		return -1;
	memcpy(frame, data, size);
	if (parse_frame(frame, (uint32_t)size, &view) == PARSE_OK)
		check_view(&view, (uint32_t)size);
	free(frame);
	return 0;
}
