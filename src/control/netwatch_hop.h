// SPDX-License-Identifier: Apache-2.0
// Two questions to the kernel about one destination. Called by: control.
#pragma once

#include "control/rtnl.h"
#include "culvert/control/netwatch.h"

// The kernel's route decision for packets of this host to `dst`: all of *hop but is_resolved and
// mac, which are cleared. That there is no route is an answer and not a failure. 0 or -errno.
int hop_lookup(struct rtnl *rtnl, const struct ip_addr *dst, struct next_hop *hop);

// Ask for the kernel's entry of the hop's neighbour: one message to on_reply when there is one.
int hop_query_neighbour(struct rtnl *rtnl, const struct next_hop *hop, rtnl_reply_fn on_reply,
			void *arg);

// Make the kernel resolve the hop's neighbour, or confirm a stale one, as a packet sent there would
// (NTF_USE). Its address, where known, stays in use meanwhile. Not for permanent entries: the
// kernel would make them ordinary ones. 0 or -errno.
int hop_provoke_neighbour(struct rtnl *rtnl, const struct next_hop *hop);
