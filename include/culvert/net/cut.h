// SPDX-License-Identifier: Apache-2.0
// One packet into several that each fit through a narrower place: a super-frame into the segments
// that hardware would have made of it, a datagram into fragments (RFC 791 section 3.2), a
// super-frame of datagrams into fragments of each. Each piece of the payload gets a copy of the
// headers, with lengths, numbers and checksums of its own. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/parse.h"

enum cut_kind { CUT_TCP_SEGMENTS, CUT_UDP_DATAGRAMS, CUT_FRAGMENTS, CUT_UDP_FRAGMENTS };

struct cut {
	enum cut_kind kind;
	uint16_t header_len; // before each piece, from the IP header on, or the first of its group
	uint16_t piece_at;   // offset of the first piece in the frame
	uint16_t piece_len;  // the last piece of a group may be shorter
	uint16_t n;          // pieces
	uint16_t group_len;  // bytes of payload that are cut by themselves; the last ones may be
			     // fewer
	uint16_t group_n;    // pieces in as many
	uint16_t first_only; // bytes of header_len that only the first piece of a group has
};

// One piece, and where it belongs.
struct cut_piece {
	uint32_t at; // in the frame
	uint32_t len;
	uint32_t header_len;
	uint32_t group;
	uint32_t number; // in its group
	bool is_last;    // in its group
};

// Cut what `view` describes into pieces of `piece_len` bytes of payload, or of the greatest
// multiple of 8 below that for fragments. False when that leaves nothing to cut into.
bool cut_plan(struct cut *cut, enum cut_kind kind, const struct frame_view *view,
	      uint32_t piece_len);

// Likewise the datagrams that `view` describes as one, of `datagram_len` bytes of payload each,
// into fragments with at most `room` bytes behind their IP header.
bool cut_plan_datagrams(struct cut *cut, const struct frame_view *view, uint32_t datagram_len,
			uint32_t room);

static inline struct cut_piece cut_piece(const struct cut *cut, const struct frame_view *view,
					 uint32_t i)
{
	uint32_t group = i / cut->group_n;
	uint32_t number = i % cut->group_n;
	uint32_t start = cut->piece_at + group * cut->group_len;
	uint32_t end = start + cut->group_len;
	uint32_t at = start + number * cut->piece_len;
	uint32_t rest = (end < view->frame_len ? end : view->frame_len) - at;
	return (struct cut_piece){
		.at = at,
		.len = rest < cut->piece_len ? rest : cut->piece_len,
		.header_len = cut->header_len - (number ? (uint32_t)cut->first_only : 0),
		.group = group,
		.number = number,
		.is_last = rest <= cut->piece_len,
	};
}

// Write the headers of piece `i` into `out`. Segments and datagrams get checksums of their own,
// whatever the frame has; fragments of one datagram keep the one that the datagram has.
void cut_write_headers(const struct cut *cut, const uint8_t *frame, const struct frame_view *view,
		       uint32_t i, uint8_t *out);

// Fill in a checksum that the frame's sender left to hardware: of all from `start` on, into the two
// bytes at `start` + `offset`, which hold the sum that is not of the frame (virtio 1.2 section
// 5.1.6.2). False, and nothing is changed, when these are not in the frame.
bool cut_complete_checksum(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset);
