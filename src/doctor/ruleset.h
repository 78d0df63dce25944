// SPDX-License-Identifier: Apache-2.0
// The nftables rules of this network namespace (those of iptables-nft among them), and what they
// would do with a packet. Not all of a packet is known, nor every expression: where a rule may or
// may not match, nothing is claimed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct ruleset;

enum fate {
	FATE_UNKNOWN,  // passes, as far as can be told
	FATE_DROPPED,  // for sure, as the next two
	FATE_REFUSED,  // dropped, and the sender is told
	FATE_DIVERTED, // to another address or port
};

enum { PORT_UNKNOWN = -1 };

struct ruleset_packet {
	const struct ip_addr *saddr; // borrowed; NULL: not known. So is the next
	const struct ip_addr *daddr; // one of them is known
	uint8_t proto;               // IPPROTO_TCP or IPPROTO_UDP
	int sport;                   // host byte order, or PORT_UNKNOWN
	int dport;
	const char *in;    // borrowed: the interface it comes in by; NULL: made here
	const char *out;   // NULL: for this host
	const char *state; // of connection tracking: "new" or "established"
};

struct ruleset_culprit {
	char family[16];
	char table[128];
	char chain[128];
	int handle;     // of the rule in its own chain; 0: the policy of the base chain `chain`
	char base[128]; // the base chain by which it was reached
};

// Of the running kernel, which needs CAP_NET_ADMIN; or from the text of `nft -j list ruleset`.
// 0 or -errno.
int ruleset_read(struct ruleset **ruleset, struct err *err);
int ruleset_parse(struct ruleset **ruleset, const char *json, struct err *err);
void ruleset_free(struct ruleset *ruleset); // NULL is legal

// What the chains at `hook` ("ingress", "input", ...) do. `culprit` is filled in unless the fate is
// not known.
enum fate ruleset_judge(const struct ruleset *ruleset, const struct ruleset_packet *packet,
			const char *hook, struct ruleset_culprit *culprit);

// The `i`-th table that belongs to a process, "inet filter", whose rules are not known here; NULL
// behind the last. The name is borrowed.
const char *ruleset_owned_table(const struct ruleset *ruleset, size_t i);
// The `i`-th other table of a family; NULL behind the last. The name is borrowed.
const char *ruleset_table(const struct ruleset *ruleset, const char *family, size_t i);
bool ruleset_has_chain(const struct ruleset *ruleset, const char *family, const char *table,
		       const char *chain);

// Whether the kernel would take a rule at the ingress of an interface; asked without making one.
// 0 or -errno.
int ruleset_try_ingress(struct err *err);
