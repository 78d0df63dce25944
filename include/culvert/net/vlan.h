// SPDX-License-Identifier: Apache-2.0
// VLAN tags that are still in the frame (IEEE 802.1Q clause 9). Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/net/bytes.h"

enum { VLAN_TAG_LEN = 4 };

enum { VLAN_ETHERTYPE = 0x8100, VLAN_ETHERTYPE_OUTER = 0x88a8, VLAN_TYPE_OFFSET = 12 };

// Does the frame have a tag, and the type behind it?
static inline bool vlan_is_tagged(const uint8_t *frame, uint32_t len)
{
	if (len < VLAN_TYPE_OFFSET + VLAN_TAG_LEN + 2)
		return false;
	uint16_t type = load_be16(frame + VLAN_TYPE_OFFSET);
	return type == VLAN_ETHERTYPE || type == VLAN_ETHERTYPE_OUTER;
}

// A tag whose VLAN is 0 carries a priority and nothing else: the frame counts as untagged (clause
// 6.9.1). Moves the two hardware addresses of the frame over such tags, at most two, so that it
// begins anew as many bytes later as are returned: 0 when there are none. What has a tag of a VLAN
// keeps it.
uint32_t vlan_skip_priority_tags(uint8_t *frame, uint32_t len);

// Is this the VLAN identifier of a priority tag? `tci` in host byte order.
static inline bool vlan_is_priority(uint16_t tci)
{
	return (tci & 0x0fff) == 0;
}
