// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Whose packets are surely culvert's, as its BPF programs are told (bpf/parties.bpf.h): the layouts
// of their maps.
#pragma once

#include <linux/types.h>

enum party_role {
	PARTY_VIP,     // clients send to it
	PARTY_BACKEND, // replies come from it
	PARTY_OWN,     // replies come to it, on a port of the NAT range; port and protocol are 0
};

// A key of the map `parties`. Addresses of IPv4 are mapped (::ffff:a.b.c.d).
struct party {
	__u32 addr_be[4];
	__u16 port_be;
	__u8 proto;
	__u8 role; // enum party_role
};

// The value of the map `nat_ports`: host byte order, inclusive.
struct port_range {
	__u16 min;
	__u16 max;
};

enum { PARTIES_MAX = 65536 }; // the packets of whoever has no place are not surely culvert's
