// SPDX-License-Identifier: Apache-2.0
// Clients of a rig, and backends that answer them: connections by TCP to port 80 of a virtual
// address, and their segments one by one. A client's first number is 100, a backend's 5000. Called
// by: the thread of the test.
#pragma once

#include "frame.h"
#include "rig.h"

enum {
	RIG_CLIENT = 0x0a030000,   // 10.3.0.0, the first of many
	RIG_CLIENT_PORT = 1000,    // of each
	RIG_CLIENT_NEXT = 101,     // the number behind its SYN
	RIG_CLIENT_ANSWERED = 5001 // and that behind the backend's
};

// The next segment of client `number`: its SYN, or what follows on the handshake.
struct frame_spec rig_client_segment(uint32_t number, uint32_t vip, uint8_t flags);
void rig_client_push(struct rig *rig, uint32_t link, const struct frame_spec *spec);
// `link` is the front.
void rig_client_say(struct rig *rig, uint32_t number, uint32_t vip, uint8_t flags);

// As the backend that a SYN has come out for, to passthrough mode.
void rig_client_answer(struct rig *rig, const struct mem_frame *syn);
// Clients from `first` on, connected; what was sent for them is thrown away.
void rig_client_establish(struct rig *rig, uint32_t first, uint32_t n, uint32_t vip);
