// SPDX-License-Identifier: Apache-2.0
#include "doctor/checks.h"

const struct doctor_check doctor_checks[] = {
	{"configuration", IN_ALL, check_configuration},
	{"capabilities", IN_ALL, check_capabilities},
	{"instance", IN_ALL, check_instance},
	{"files", IN_PROXY, check_files},
	{"paths", IN_ALL, check_paths},
	{"kernel", IN_PACKET_MODES, check_kernel},
	{"fast-path", IN_PACKET_MODES, check_fast_path},
	{"clock", IN_ALL, check_clock},
	{"addresses", IN_ALL, check_addresses},
	{"ports", IN_ALL, check_ports},
	{"nat-ports", IN_PASSTHROUGH, check_nat_ports},
	{"backlog", IN_PROXY, check_backlog},
	{"links", IN_PACKET_MODES, check_links},
	{"offloads", IN_PACKET_MODES, check_offloads},
	{"mtu", IN_PACKET_MODES, check_mtu},
	{"arp", IN_ALL, check_arp},
	{"forwarding", IN_PACKET_MODES, check_forwarding},
	{"rp-filter", IN_ALL, check_rp_filter},
	{"firewall", IN_ALL, check_firewall},
	{"conntrack", IN_ALL, check_conntrack},
	{"routes", IN_ALL, check_routes},
	{"backends", IN_ALL, check_backends},
	{"dsr", IN_DSR, check_dsr},
};

const size_t n_doctor_checks = sizeof(doctor_checks) / sizeof(doctor_checks[0]);
