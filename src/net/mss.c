// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/mss.h"

#include "culvert/net/bytes.h"
#include "culvert/net/tcp_option.h"

enum { OPTION_MSS_LEN = 4 };

void mss_clamp(uint8_t *frame, const struct frame_view *view, uint16_t max, bool is_partial)
{
	uint8_t value[2];
	uint8_t *option = tcp_option_find(frame, view, TCP_OPTION_MSS, OPTION_MSS_LEN);
	if (!option || load_be16(option + 2) <= max)
		return;
	store_be16(value, max);
	tcp_option_write(frame, view, option + 2, value, sizeof(value), is_partial);
}
