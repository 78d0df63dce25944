// SPDX-License-Identifier: Apache-2.0
// One packet into several that each fit through a narrower place: a super-frame into the segments
// that hardware would have made of it, a datagram into fragments (RFC 791 section 3.2). Each piece
// of the payload gets a copy of the headers, with lengths, numbers and checksums of its own.
// Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/parse.h"

enum cut_kind { CUT_TCP_SEGMENTS, CUT_UDP_DATAGRAMS, CUT_FRAGMENTS };

struct cut {
	enum cut_kind kind;
	uint16_t header_len; // repeated before each piece, from the IP header on
	uint16_t piece_at;   // offset of the first piece in the frame
	uint16_t piece_len;  // the last piece may be shorter
	uint16_t n;          // pieces
};

// Cut what `view` describes into pieces of `piece_len` bytes of payload, or of the greatest
// multiple of 8 below that for fragments. False when that leaves nothing to cut into.
bool cut_plan(struct cut *cut, enum cut_kind kind, const struct frame_view *view,
	      uint32_t piece_len);

static inline uint32_t cut_piece_len(const struct cut *cut, const struct frame_view *view,
				     uint32_t i)
{
	uint32_t rest = view->frame_len - cut->piece_at - i * cut->piece_len;
	return rest < cut->piece_len ? rest : cut->piece_len;
}

// Write the headers of piece `i` into `out` (cut->header_len bytes). Segments and datagrams get
// checksums of their own, whatever the frame has; fragments keep the one that the datagram has.
void cut_write_headers(const struct cut *cut, const uint8_t *frame, const struct frame_view *view,
		       uint32_t i, uint8_t *out);

// Fill in a checksum that the frame's sender left to hardware: of all from `start` on, into the two
// bytes at `start` + `offset`, which hold the sum that is not of the frame (virtio 1.2 section
// 5.1.6.2). False, and nothing is changed, when these are not in the frame.
bool cut_complete_checksum(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset);
