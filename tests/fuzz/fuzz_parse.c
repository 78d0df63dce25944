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

static void check_view(const struct frame_view *view, uint32_t len)
{
	require(view->frame_len <= len && view->frame_len >= view->payload);
	require(view->l3 == ETH_HEADER_LEN && view->l4 >= view->l3 + 20 &&
		view->payload >= view->l4 + 8);
	require(view->src.zero == 0 && view->dst.zero == 0);
	require(ip_addr_is_v4(&view->src.addr) && ip_addr_is_v4(&view->dst.addr));
	require(view->src.proto == view->dst.proto);
	require(view->src.proto == IPPROTO_TCP || view->src.proto == IPPROTO_UDP);
	if (view->is_icmp_error)
		require(view->quoted_l3 == view->l4 + 8 &&
			view->quoted_l4 >= view->quoted_l3 + 20 &&
			view->quoted_l4 + 8U <= view->frame_len);
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
