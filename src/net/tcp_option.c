// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/tcp_option.h"

#include <string.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum { TIMESTAMPS_LEN = 10 };

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

// The bytes may begin, or end, within one of the words that a checksum is made of. A header has an
// even number of bytes, so the word is always whole.
void tcp_option_write(uint8_t *frame, const struct frame_view *view, uint8_t *at,
		      const uint8_t *bytes, size_t len, bool is_partial)
{
	uint8_t *tcp = frame + view->l4;
	uint8_t *words = at - (at - tcp) % 2;
	size_t words_len = (size_t)(at - words) + len;
	uint8_t before[TCP_OPTION_WRITE_MAX + 2];
	words_len += words_len % 2;
	memcpy(before, words, words_len);
	memcpy(at, bytes, len);
	if (is_partial)
		return;
	uint8_t *checksum = tcp + TCP_CSUM_OFFSET;
	uint16_t delta = csum_delta_bytes(before, words, words_len);
	store_raw16(checksum, csum_update(load_raw16(checksum), delta));
}

void tcp_option_hide_timestamps(uint8_t *frame, const struct frame_view *view, bool is_partial)
{
	uint8_t padding[TIMESTAMPS_LEN];
	uint8_t *option = tcp_option_find(frame, view, TCP_OPTION_TIMESTAMPS, TIMESTAMPS_LEN);
	memset(padding, TCP_OPTION_NOP, sizeof(padding));
	if (option)
		tcp_option_write(frame, view, option, padding, sizeof(padding), is_partial);
}
