// SPDX-License-Identifier: Apache-2.0
// One line of text to one packet. tests/golden/README.md describes the language.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "names.h"

enum { NOTATION_DEPTH = 3 };

struct notation {
	struct frame_spec spec;
	struct frame_spec
		inner[NOTATION_DEPTH - 1]; // between braces; each is quoted by the one before
	uint32_t link;                     // 0 front, 1 back
};

// Where the values of names come from that are bound at first sight. Zero bytes: nowhere, such a
// name must be known.
struct notation_source {
	const uint8_t *frame; // the packet that the line should describe
	uint32_t len;
	uint8_t default_ttl;
	// The hardware addresses of the two links, ours.
	const struct mac_addr *link_macs;
	bool is_output;  // sent by us: the link's address is the source's, not the destination's
	bool is_id_free; // what may be fragmented has any identification, where the line has none
};

// 0, or -1 with the reason in `why`. `names` may have grown by then. `notation` is written to.
int notation_parse(const char *text, struct names *names, const struct notation_source *source,
		   struct notation *notation, char *why, size_t why_size);
