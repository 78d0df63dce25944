// SPDX-License-Identifier: Apache-2.0
// The checks, a function each. A check says at least one thing about what it has looked at, and
// nothing where there is nothing to look at.
#pragma once

#include "doctor/doctor.h"

typedef void (*doctor_check_fn)(struct doctor *doctor);

enum {
	IN_PROXY = 1 << MODE_PROXY,
	IN_PASSTHROUGH = 1 << MODE_PASSTHROUGH,
	IN_DSR = 1 << MODE_DSR,
	IN_PACKET_MODES = IN_PASSTHROUGH | IN_DSR,
	IN_ALL = IN_PROXY | IN_PACKET_MODES,
};

struct doctor_check {
	const char *name;
	unsigned modes;
	doctor_check_fn run;
};

// In the order of the report.
extern const struct doctor_check doctor_checks[];
extern const size_t n_doctor_checks;

// checks_process.c
void check_configuration(struct doctor *doctor);
void check_capabilities(struct doctor *doctor);
void check_instance(struct doctor *doctor);
void check_files(struct doctor *doctor);
// checks_path.c
void check_paths(struct doctor *doctor);
// checks_kernel.c
void check_kernel(struct doctor *doctor);
void check_fast_path(struct doctor *doctor);
// What the kernel says when it is asked for programs at ingress of a link; 0 or -errno. -EINVAL: it
// knows no such place.
int kernel_ask_for_programs(void);
void check_clock(struct doctor *doctor);
void check_conntrack(struct doctor *doctor);
void check_backlog(struct doctor *doctor);
// checks_address.c
void check_addresses(struct doctor *doctor);
void check_arp(struct doctor *doctor);
void check_forwarding(struct doctor *doctor);
void check_rp_filter(struct doctor *doctor);
// checks_link.c
void check_links(struct doctor *doctor);
void check_offloads(struct doctor *doctor);
void check_mtu(struct doctor *doctor);
// checks_port.c
void check_ports(struct doctor *doctor);
void check_nat_ports(struct doctor *doctor);
// checks_firewall.c
void check_firewall(struct doctor *doctor);
// checks_backend.c
void check_routes(struct doctor *doctor);
void check_backends(struct doctor *doctor); // neighbours too, which are resolved meanwhile
// checks_dsr.c
void check_dsr(struct doctor *doctor);
