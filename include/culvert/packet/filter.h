// SPDX-License-Identifier: Apache-2.0
// Which frames the kernel hands to culvert, as a pcap filter expression. Broader is right, only
// slower: what is not culvert's is passed over in user space and stays the kernel's.
// Called by: control.
#pragma once

#include "culvert/base/err.h"
#include "culvert/config/config.h"

// Packets that are addressed to one of `vips`, or to a port of the NAT range (not in DSR mode), or
// that are an ICMP error or a fragment for the address of one, of the families that these have. A
// new string for free(), or NULL when memory is short.
char *filter_text(const struct config *config, const struct endpoint *vips, size_t n);

// As filter_text(), but all of IPv4's TCP, UDP and ICMP: for more frontends than a program of the
// kernel's filter machine can hold.
char *filter_text_coarse(void);

// True when the kernel can hold the compiled expression.
int filter_check(const char *text, struct err *err);

// Compile and attach to a socket of Ethernet frames. Frames with the tag of a VLAN never
// pass, those with a priority tag do. 0 or -errno.
int filter_attach(int fd, const char *text, struct err *err);
// One that nothing passes.
int filter_attach_none(int fd, struct err *err);
