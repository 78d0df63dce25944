// SPDX-License-Identifier: Apache-2.0
// Requests to rtnetlink with their replies, one at a time, on a socket that hears no broadcasts.
// Called by: control. No call blocks for longer than a second without an answer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/net/addr.h"

struct nlattr;
struct nlmsghdr;
struct rtnl;

// A message of the reply, borrowed for the call.
typedef void (*rtnl_reply_fn)(void *arg, const struct nlmsghdr *message);

int rtnl_open(struct rtnl **rtnl, struct err *err); // 0 or -errno
void rtnl_close(struct rtnl *rtnl);                 // NULL is legal

// Begin a request in a buffer that belongs to `rtnl` and is valid until the next call: the header
// with `flags` (NLM_F_REQUEST is added) and `body_size` zeroed bytes of family header, to be filled
// by mnl_nlmsg_get_payload() and the attribute functions of libmnl.
struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, uint16_t type, uint16_t flags, uint32_t body_size);

// Send the request and call on_reply (which may be NULL) for each message of the answer, up to its
// end: the acknowledgement when flags ask for it, the end of a dump, or else the first message.
// Returns 0; the kernel's refusal as -errno; -EINTR when a dump was not of one moment and must be
// repeated; -ETIMEDOUT when no answer came; or the socket's failure.
int rtnl_transact(struct rtnl *rtnl, struct nlmsghdr *request, rtnl_reply_fn on_reply, void *arg);

// Dump all objects of a kind and of all families: `type` is RTM_GETLINK or its like and `body_size`
// the size of its family header. As rtnl_transact().
int rtnl_dump(struct rtnl *rtnl, uint16_t type, uint32_t body_size, rtnl_reply_fn on_reply,
	      void *arg);

// Addresses in messages: the family of one, an attribute with it, and the way back, which is false
// when the size is not that of an address.
uint8_t rtnl_addr_family(const struct ip_addr *addr);
void rtnl_put_addr(struct nlmsghdr *request, uint16_t type, const struct ip_addr *addr);
bool rtnl_read_addr(const void *bytes, uint32_t size, struct ip_addr *addr);
bool rtnl_attr_addr(const struct nlattr *attr, struct ip_addr *addr);
