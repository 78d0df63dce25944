// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/tcp_option.h"

#include <string.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum { TCP_HEADER_MIN = 20, TIMESTAMPS_LEN = 10 };

uint8_t *tcp_option_find(uint8_t *frame, const struct frame_view *view, enum tcp_option kind,
			 uint32_t len)
{
	uint8_t *option = frame + view->l4 + TCP_HEADER_MIN;
	const uint8_t *end = frame + view->payload;
	while (option < end && *option != TCP_OPTION_END) {
		if (*option == TCP_OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return NULL;
		if (*option == kind)
			return option[1] == len ? option : NULL;
		option += option[1];
	}
	return NULL;
}

// The option may begin within one of the words that a checksum is made of.
void tcp_option_hide_timestamps(uint8_t *frame, const struct frame_view *view, bool is_partial)
{
	uint8_t *tcp = frame + view->l4;
	uint8_t *option = tcp_option_find(frame, view, TCP_OPTION_TIMESTAMPS, TIMESTAMPS_LEN);
	if (!option)
		return;
	bool is_odd = (option - tcp) % 2;
	uint8_t *words = option - is_odd;
	size_t len = is_odd ? TIMESTAMPS_LEN + 2 : TIMESTAMPS_LEN;
	uint8_t before[TIMESTAMPS_LEN + 2];
	memcpy(before, words, len);
	memset(option, TCP_OPTION_NOP, TIMESTAMPS_LEN);
	if (is_partial)
		return;
	uint8_t *checksum = tcp + TCP_CSUM_OFFSET;
	uint16_t delta = csum_delta_bytes(before, words, len);
	store_raw16(checksum, csum_update(load_raw16(checksum), delta));
}
