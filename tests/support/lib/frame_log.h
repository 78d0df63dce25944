// SPDX-License-Identifier: Apache-2.0
// Every frame of a run of packet tables, for another program to judge: a capture file, and a line
// of text about each frame.
//
//	frames.pcap   Ethernet, as it was on the link
//	frames.txt    "in|out FLAGS TABLE:LINE CASE TEXT", tabs between; FLAGS as in struct
//	              virtio_net_hdr, TEXT is the table's
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

struct frame_log;

// In the directory `dir`, which is there. What goes wrong aborts the test.
struct frame_log *frame_log_open(const char *dir);
void frame_log_close(struct frame_log *log);

struct frame_note {
	bool is_output;
	const char *table;
	unsigned line;
	const char *test; // the case
	const char *text;
};

// Nothing happens when there is no log.
void frame_log_add(struct frame_log *log, const struct frame_note *note, const uint8_t *frame,
		   uint32_t len, const struct virtio_net_hdr *vnet);
