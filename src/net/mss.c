// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/mss.h"

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	TCP_HEADER_MIN = 20,
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_MSS_LEN = 4,
};

// The option's value, or NULL. Options that overrun the header end the search.
static uint8_t *find_mss(uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != OPTION_END) {
		if (*option == OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return NULL;
		if (*option == OPTION_MSS)
			return option[1] == OPTION_MSS_LEN ? option + 2 : NULL;
		option += option[1];
	}
	return NULL;
}

// The value may lie across two of the words that a checksum is made of.
void mss_clamp(uint8_t *frame, const struct frame_view *view, uint16_t max, bool is_partial)
{
	uint8_t *tcp = frame + view->l4;
	uint8_t *value = find_mss(tcp + TCP_HEADER_MIN, frame + view->payload);
	if (!value || load_be16(value) <= max)
		return;
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
