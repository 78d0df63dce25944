// SPDX-License-Identifier: Apache-2.0
// The links of a scene as real ones: a veth pair for each, whose near ends are this host's, in a
// network namespace of the process's own, and whose far ends are the wire, in another. Nobody has
// an IP address, so nothing is on the wire but what was sent. What cannot fail in a test aborts it.
// Called by: the thread of the test.
#pragma once

#include "culvert/packet/io.h"
#include "mem_io.h"
#include "scene.h"

struct cables {
	pid_t peer;                   // has the far ends
	int near[SCENE_N_LINKS];      // sockets that send marks
	int far[SCENE_N_LINKS];       // sockets of the wire
	uint32_t mtus[SCENE_N_LINKS]; // as they are now
	struct mem_frame *come;       // have arrived at a far end and were not taken
	struct mem_frame **last_come;
	struct io_link links[SCENE_N_LINKS]; // the near ends, for a driver
};

// The pairs, with the calling process in a namespace of its own, and on one processor: frames that
// are sent one after another arrive so. False without the privileges.
bool cables_open(struct cables *cables);
void cables_close(struct cables *cables);

// The near ends are the scene's links.
void cables_follow_scene(struct cables *cables, const struct scene *scene);

// A frame goes into the far end of a link. 0 or -errno: the kernel does not send it.
int cables_send(struct cables *cables, uint32_t link, const uint8_t *frame, uint32_t len,
		const struct virtio_net_hdr *vnet);

// Have what arrives at the far ends within some milliseconds, and return once something has.
void cables_wait(struct cables *cables, int timeout_ms);
// What the near ends have sent until now has arrived.
void cables_settle(struct cables *cables);
// The oldest frame that has arrived, for each link in order, to be freed with free(); NULL when
// there is none.
struct mem_frame *cables_take(struct cables *cables);

// A checksum that was left to hardware is made whole, as a wire would see the frame, and so are
// `vnet` and the frame the same whoever completes it. What is to become of a super-frame stays.
void cables_complete(uint8_t *frame, uint32_t len, struct virtio_net_hdr *vnet);
