// SPDX-License-Identifier: Apache-2.0
// A packet socket over all links for what control itself asks of the network: few frames, on the
// event loop. The packet path has its own sockets.
// Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"

struct event_base;
struct packet_tap;

struct tap_frame {
	const uint8_t *bytes; // borrowed for the call; from the Ethernet header
	uint32_t len;         // cut at PACKET_TAP_FRAME_MAX
	unsigned ifindex;     // where it came in
	bool is_partial;      // its transport checksum is not computed yet, its sender being a
			      // virtual link's other end
};

enum { PACKET_TAP_FRAME_MAX = 2048 };

// Must not close the tap.
typedef void (*tap_frame_fn)(void *arg, const struct tap_frame *frame);

// Frames that come in and match `filter`, an expression of pcap-filter(7), go to on_frame; frames
// that this host sends do not. `base` is borrowed. 0 or -errno.
int packet_tap_open(struct packet_tap **tap, struct event_base *base, const char *filter,
		    tap_frame_fn on_frame, void *arg, struct err *err);
void packet_tap_close(struct packet_tap *tap); // NULL is legal

// Send an Ethernet frame. 0 or -errno, of which -EAGAIN and -ENOBUFS mean: not now.
int packet_tap_send(struct packet_tap *tap, unsigned ifindex, const uint8_t *frame, uint32_t len);
