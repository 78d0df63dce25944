// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/vlan.h"

#include <string.h>

enum {
	MACS_LEN = 12,
	TCI_OFFSET = 14,
	TAGS_MAX = 2,
};

static bool has_priority_tag(const uint8_t *frame, uint32_t len)
{
	return vlan_is_tagged(frame, len) && vlan_is_priority(load_be16(frame + TCI_OFFSET));
}

uint32_t vlan_skip_priority_tags(uint8_t *frame, uint32_t len)
{
	uint32_t skipped = 0;
	while (skipped < TAGS_MAX * VLAN_TAG_LEN &&
	       has_priority_tag(frame + skipped, len - skipped)) {
		memmove(frame + skipped + VLAN_TAG_LEN, frame + skipped, MACS_LEN);
		skipped += VLAN_TAG_LEN;
	}
	return skipped;
}
