// SPDX-License-Identifier: Apache-2.0
#include "puzzle.h"

#include <string.h>

enum { V4_FLAGS_AT = 6, V6_FRAGMENT_LEN = 8, V6_HEADER_LEN = 40, UNIT = 8 };

void puzzle_add(struct puzzle *puzzle, const uint8_t *ip, const struct wire *wire)
{
	uint32_t len = wire->len - wire->header_len;
	if (wire->part_at + len > PUZZLE_DATA_MAX || wire->header_len > PUZZLE_HEADER_MAX)
		return;
	memcpy(puzzle->data + wire->part_at, ip + wire->header_len, len);
	for (uint32_t at = wire->part_at; at < wire->part_at + len; at += UNIT)
		puzzle->has_unit[at / UNIT] = true;
	if (!wire->has_more)
		puzzle->data_len = wire->part_at + len;
	if (wire->part_at)
		return;
	memcpy(puzzle->header, ip, wire->header_len);
	puzzle->header_len = wire->header_len;
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

// The fragment header of IPv6 stays, and says that this is all.
static void finish_header(uint8_t *ip, uint32_t header_len, uint32_t len)
{
	struct wire wire;
	if (ip[0] >> 4 == 6) {
		put16(ip + 4, len - V6_HEADER_LEN);
		put16(ip + header_len - V6_FRAGMENT_LEN + 2, 0);
		return;
	}
	put16(ip + 2, len);
	put16(ip + V4_FLAGS_AT, 0);
	if (wire_read(ip, len, &wire))
		wire_set_ip_sum(ip, &wire, SUM_RIGHT);
}

const uint8_t *puzzle_packet(struct puzzle *puzzle, uint32_t *len)
{
	if (!puzzle->header_len || !puzzle->data_len)
		return NULL;
	for (uint32_t at = 0; at < puzzle->data_len; at += UNIT) {
		if (!puzzle->has_unit[at / UNIT])
			return NULL;
	}
	*len = puzzle->header_len + puzzle->data_len;
	memcpy(puzzle->packet, puzzle->header, puzzle->header_len);
	memcpy(puzzle->packet + puzzle->header_len, puzzle->data, puzzle->data_len);
	finish_header(puzzle->packet, puzzle->header_len, *len);
	return puzzle->packet;
}
