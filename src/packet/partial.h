// SPDX-License-Identifier: Apache-2.0
// Checksums that wait for hardware, where frames come and go without a header that says so. What a
// sender on this machine leaves to hardware has the sum of the pseudo-header, not complemented, in
// the place of the checksum.
// Pure; any thread.
#pragma once

#include "packet/packet.h"

// Says in packet.vnet whether the checksum is such a sum. One that is right and looks so by chance
// may be taken for it: completing it brings the same value again. Plain packets of TCP and UDP
// alone: no tags, options, extension headers or fragments.
void partial_recognise(struct packet *packet);

// Computes the checksum that waits, if any, over the rest of the frame.
void partial_complete(struct packet *packet);
