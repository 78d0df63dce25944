// SPDX-License-Identifier: Apache-2.0
// What a BPF program is told whose packets are culvert's (bpf_scope.h), and such packets of both
// families. What goes wrong fails the test.
#pragma once

#include "../../support/lib/frame.h"
#include "packet/bpf_scope.h"

enum {
	SCOPE_CLIENT = 0x0a00000a,
	SCOPE_VIP = 0x0a000001, // TCP port 80, and as the last UDP port 53
	SCOPE_OWN = 0x0a000002,
	SCOPE_BACKEND = 0x0a000065, // TCP port 8080
	SCOPE_NAT_PORT = 33768,
	SCOPE_NAT_PORT_MAX = 61000,
	SCOPE_N_VIPS = 3,
};

extern const struct ip_addr scope_own_v6;

// The first so many VIPs, all backends and addresses of ours count from now on.
void scope_set(struct bpf_scope *scope, uint32_t n_vips);

// TCP segments.
struct frame_spec scope_request_v4(void);
struct frame_spec scope_request_v6(void);
struct frame_spec scope_reply_v4(void);
struct frame_spec scope_reply_v6(void);
