// SPDX-License-Identifier: Apache-2.0
// The synchronous half of netwatch: one socket, one request in flight.
// Thread: control. Used by netwatch.c and netwatch_hop.c.
#include "control/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
	REQUEST_MAX = 512,
	RECEIVE_MAX = 64 * 1024, // the kernel fills at most 32 KiB of a dump at a time
};

static const struct timeval reply_timeout = {.tv_sec = 1};

struct rtnl {
	struct mnl_socket *socket; // owned
	uint32_t sequence;         // of the request in flight
	_Alignas(struct nlmsghdr) char request[REQUEST_MAX];
	_Alignas(struct nlmsghdr) char received[RECEIVE_MAX];
};

// What has been seen of the answer to one request.
struct answer {
	rtnl_reply_fn on_reply;
	void *arg;
	bool is_dump;
	bool wants_ack;
	bool is_interrupted;
	bool is_complete;
	int code;
};

int rtnl_open(struct rtnl **rtnl, struct err *err)
{
	struct timeval timeout = reply_timeout;
	struct rtnl *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "rtnetlink");
	opened->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!opened->socket || mnl_socket_bind(opened->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(opened->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout)) != 0) {
		int code = err_sys(err, -errno, "cannot open a rtnetlink socket");
		rtnl_close(opened);
		return code;
	}
	*rtnl = opened;
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (!rtnl)
		return;
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	free(rtnl);
}

struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, uint16_t type, uint16_t flags, uint32_t body_size)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(rtnl->request);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	request->nlmsg_seq = ++rtnl->sequence;
	mnl_nlmsg_put_extra_header(request, body_size);
	return request;
}

// The error number that ends an answer; 0 is success.
static int message_code(const struct nlmsghdr *message)
{
	// Both struct nlmsgerr and the end of a dump begin with it; old kernels end a dump bare.
	if (mnl_nlmsg_get_payload_len(message) < sizeof(int))
		return 0;
	return *(const int *)mnl_nlmsg_get_payload(message);
}

static void take_message(struct answer *answer, const struct nlmsghdr *message)
{
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		answer->is_interrupted = true;
	if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
		answer->code = message_code(message);
		answer->is_complete = true;
		return;
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE)
		return;
	if (answer->on_reply)
		answer->on_reply(answer->arg, message);
	answer->is_complete = !answer->is_dump && !answer->wants_ack;
}

// Messages of another sequence number are what came too late for an earlier request.
static int receive_once(struct rtnl *rtnl, struct answer *answer)
{
	ssize_t n = mnl_socket_recvfrom(rtnl->socket, rtnl->received, sizeof(rtnl->received));
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	int left = (int)n;
	const struct nlmsghdr *message = (const struct nlmsghdr *)rtnl->received;
	while (!answer->is_complete && mnl_nlmsg_ok(message, left)) {
		if (message->nlmsg_seq == rtnl->sequence)
			take_message(answer, message);
		message = mnl_nlmsg_next(message, &left);
	}
	return 0;
}

int rtnl_transact(struct rtnl *rtnl, struct nlmsghdr *request, rtnl_reply_fn on_reply, void *arg)
{
	struct answer answer = {
		.on_reply = on_reply,
		.arg = arg,
		.is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP,
		.wants_ack = request->nlmsg_flags & NLM_F_ACK,
	};
	if (mnl_socket_sendto(rtnl->socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (!answer.is_complete) {
		int code = receive_once(rtnl, &answer);
		if (code)
			return code;
	}
	if (answer.code == 0 && answer.is_interrupted)
		return -EINTR;
	return answer.code;
}

int rtnl_dump(struct rtnl *rtnl, uint16_t type, uint32_t body_size, rtnl_reply_fn on_reply,
	      void *arg)
{
	struct nlmsghdr *request = rtnl_begin(rtnl, type, NLM_F_DUMP, body_size);
	return rtnl_transact(rtnl, request, on_reply, arg);
}

uint8_t rtnl_addr_family(const struct ip_addr *addr)
{
	return ip_addr_is_v4(addr) ? AF_INET : AF_INET6;
}

void rtnl_put_addr(struct nlmsghdr *request, uint16_t type, const struct ip_addr *addr)
{
	if (ip_addr_is_v4(addr))
		mnl_attr_put(request, type, 4, addr->bytes + 12);
	else
		mnl_attr_put(request, type, sizeof(addr->bytes), addr->bytes);
}

bool rtnl_read_addr(const void *bytes, uint32_t size, struct ip_addr *addr)
{
	uint32_t v4_be;
	if (size == sizeof(v4_be)) {
		memcpy(&v4_be, bytes, sizeof(v4_be));
		*addr = ip_addr_from_v4(v4_be);
		return true;
	}
	if (size == sizeof(addr->bytes)) {
		memcpy(addr->bytes, bytes, sizeof(addr->bytes));
		return true;
	}
	return false;
}

bool rtnl_attr_addr(const struct nlattr *attr, struct ip_addr *addr)
{
	return rtnl_read_addr(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), addr);
}
