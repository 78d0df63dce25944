// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/mss.h"

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"
#include "culvert/net/tcp_option.h"

enum { OPTION_MSS_LEN = 4 };

// The value may lie across two of the words that a checksum is made of.
void mss_clamp(uint8_t *frame, const struct frame_view *view, uint16_t max, bool is_partial)
{
	uint8_t *tcp = frame + view->l4;
	uint8_t *option = tcp_option_find(frame, view, TCP_OPTION_MSS, OPTION_MSS_LEN);
	if (!option || load_be16(option + 2) <= max)
		return;
	uint8_t *value = option + 2;
	bool is_odd = (value - tcp) % 2;
	uint8_t *words = value - is_odd;
	size_t len = is_odd ? 4 : 2;
	uint8_t before[4];
	memcpy(before, words, len);
	store_be16(value, max);
	if (is_partial)
		return;
	uint16_t delta = csum_delta_bytes(before, words, len);
	uint8_t *checksum = tcp + TCP_CSUM_OFFSET;
	store_raw16(checksum, csum_update(load_raw16(checksum), delta));
}
