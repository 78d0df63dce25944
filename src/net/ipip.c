// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/ipip.h"

#include <netinet/in.h>

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"
#include "culvert/net/parse.h"

enum {
	IPIP_TTL = 64,
	VERSION_AND_LENGTH = 0x45,
	TOS_OFFSET = 1,
	LEN_OFFSET = 2,
	ID_OFFSET = 4,
	FRAGMENT_OFFSET = 6,
	PROTO_OFFSET = 9,
	DONT_FRAGMENT = 0x4000,
};

// A packet that nobody may fragment needs no identification (RFC 6864 section 4.1).
void ipip_write_header(uint8_t *outer, const struct ipip_tunnel *tunnel, const uint8_t *inner,
		       uint32_t inner_len)
{
	uint16_t dont_fragment = load_be16(inner + FRAGMENT_OFFSET) & DONT_FRAGMENT;
	outer[0] = VERSION_AND_LENGTH;
	outer[TOS_OFFSET] = inner[TOS_OFFSET];
	store_be16(outer + LEN_OFFSET, (uint16_t)(IPIP_HEADER_LEN + inner_len));
	store_be16(outer + ID_OFFSET, dont_fragment ? 0 : tunnel->id);
	store_be16(outer + FRAGMENT_OFFSET, dont_fragment);
	outer[IP_TTL_OFFSET] = IPIP_TTL;
	outer[PROTO_OFFSET] = IPPROTO_IPIP;
	store_raw16(outer + IP_CSUM_OFFSET, 0);
	store_raw32(outer + IP_SRC_OFFSET, ip_addr_v4_be(&tunnel->src));
	store_raw32(outer + IP_DST_OFFSET, ip_addr_v4_be(&tunnel->dst));
	store_raw16(outer + IP_CSUM_OFFSET, csum_finish(csum_add_bytes(0, outer, IPIP_HEADER_LEN)));
}
