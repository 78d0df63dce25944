// SPDX-License-Identifier: Apache-2.0
// The extension headers of IPv6 (RFC 8200 section 4).
#include "culvert/net/ipv6_extension.h"
#include "net/parse_parts.h"

enum {
	IPV6_FRAGMENT_WORD_OFFSET = 2, // from the start of the fragment header
	IPV6_FRAGMENT_ID_OFFSET = 4,
	IPV6_FRAGMENT_BYTES = 0xfff8, // of that word
	IPV6_MORE_FRAGMENTS = 1,
	EXTENSIONS_MAX = 8,
};

static enum parse_result read_fragment_v6(const uint8_t *header, struct header_chain *chain)
{
	uint16_t word = load_be16(header + IPV6_FRAGMENT_WORD_OFFSET);
	uint16_t at = word & IPV6_FRAGMENT_BYTES;
	bool has_more = word & IPV6_MORE_FRAGMENTS;
	if (chain->has_fragment_header)
		return PARSE_MALFORMED;
	chain->has_fragment_header = true;
	// One without others is a whole packet, whatever else is under way (RFC 6946 section 4).
	chain->fragment = (struct fragment_view){
		.is_part = at || has_more,
		.has_more = has_more,
		.at = at,
		.data = (uint16_t)(chain->at + IPV6_FRAGMENT_LEN),
		.id = load_be32(header + IPV6_FRAGMENT_ID_OFFSET),
	};
	return PARSE_OK;
}

// A routing header that names a next stop is the sender's way to make others his relays (RFC 5095);
// one that has none left is read past.
static enum parse_result step_over(const uint8_t *frame, uint32_t end, struct header_chain *chain)
{
	const uint8_t *header = frame + chain->at;
	uint32_t room = end - chain->at;
	if (room < IPV6_FRAGMENT_LEN)
		return PARSE_TRUNCATED;
	uint32_t len = (header[1] + 1U) * 8;
	if (chain->proto == IPPROTO_FRAGMENT) {
		len = IPV6_FRAGMENT_LEN;
		if (read_fragment_v6(header, chain) != PARSE_OK)
			return PARSE_MALFORMED;
	}
	if (len > room)
		return PARSE_TRUNCATED;
	if (chain->proto == IPPROTO_ROUTING && header[3] != 0)
		return PARSE_SOURCE_ROUTE;
	chain->proto = header[0];
	chain->at += len;
	return PARSE_OK;
}

enum parse_result parse_chain(const uint8_t *frame, uint32_t at, uint32_t end,
			      struct header_chain *chain)
{
	*chain = (struct header_chain){
		.at = at + IPV6_HEADER_LEN,
		.proto = frame[at + IPV6_NEXT_HEADER_OFFSET],
	};
	for (unsigned n = 0; n <= EXTENSIONS_MAX; n++) {
		bool is_first = n == 0;
		if (!ipv6_is_extension(chain->proto))
			return PARSE_OK;
		if (chain->proto == IPPROTO_HOPOPTS && !is_first)
			return PARSE_MALFORMED;
		if (chain->fragment.at)
			return PARSE_OK;
		enum parse_result result = step_over(frame, end, chain);
		if (result != PARSE_OK)
			return result;
	}
	return PARSE_HEADER_CHAIN;
}
