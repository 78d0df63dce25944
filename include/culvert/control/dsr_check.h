// SPDX-License-Identifier: Apache-2.0
// The readiness check of DSR: whether a backend would answer a client, proved from the balancer.
//
// A real SYN goes to the backend the way that a client's packet goes, from a test source that is
// nobody's health check, and what comes back is looked at: only a SYN-ACK from the frontend's own
// address and port is one that a client would take. Beside it a plain TCP connection from this host
// tells a backend that is down from one that ignores clients.
//
// The test source is an address that the backends treat as a client's: not the one that this host's
// health checks come from, which egress NAT leaves alone. It is either one that no host has, in a
// network that this host is connected to: then ARP or neighbour solicitations are answered for it
// while the check is open. Or it is a further address of this host. Each family has its own.
//
// Called by: control.
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/control/netwatch.h"
#include "culvert/net/addr.h"

struct dsr_check;
struct event_base;

enum dsr_verdict {
	DSR_READY,
	DSR_NOT_CHECKED, // UDP: no service must answer a datagram
	DSR_UNKNOWN,     // this host could not check: dsr_result.reason
	DSR_NO_ROUTE,
	DSR_LINK_DOWN,   // this host's own link towards it
	DSR_NOT_ON_LINK, // l2: behind a router
	DSR_HOST_DOWN,
	DSR_NO_REPLY,    // to a client; this host itself is answered
	DSR_UNREACHABLE, // says an ICMP error
	DSR_REFUSED,     // a reset
	DSR_NO_NAT,      // a SYN-ACK from the backend's own address,
	DSR_WRONG_PORT,  // from another port of the frontend's address,
	DSR_WRONG_ADDR,  // from a third address,
	DSR_CORRUPT,     // or one with a wrong checksum
	DSR_UNHEALTHY,   // clients are answered, health checks are not
};

enum dsr_reply_kind { DSR_REPLY_NONE, DSR_REPLY_SYN_ACK, DSR_REPLY_RESET, DSR_REPLY_ICMP };

struct dsr_reply {
	enum dsr_reply_kind kind;
	struct endpoint from;   // ICMP: port 0
	uint16_t probe_port_be; // the port that the SYN came from
	uint32_t ack;           // the number acknowledged, but for ICMP; host byte order
	bool is_corrupt;        // the TCP checksum is wrong
	// Of destination unreachable (RFC 792, RFC 1812 section 5.2.7.1; RFC 4443 section 3.1).
	uint8_t icmp_code;
	// Of the packet that an ICMP error quotes: a tunnel's, or a segment.
	bool is_tunnel_quoted;
	struct ip_addr quoted_src;
	struct ip_addr quoted_dst;
	uint32_t quoted_seq; // of a segment; host byte order
};

// How the plain connection ended.
enum dsr_connect {
	DSR_CONNECT_UNKNOWN, // this host lacked what it needs
	DSR_CONNECT_PASSED,
	DSR_CONNECT_REFUSED,
	DSR_CONNECT_SILENT, // no answer, or the answer that there is no such host
};

// All that the verdict is made from.
struct dsr_evidence {
	enum dsr_method method;
	struct ip_addr source; // the test source
	struct endpoint vip;   // the frontend's
	struct endpoint backend;
	bool is_health_checked;
	struct next_hop hop; // towards the backend; hop.source is where health checks come from
	char link[IFNAMSIZ]; // that it leaves by
	bool is_link_up;
	unsigned n_sent; // SYNs
	struct dsr_reply reply;
	enum dsr_connect connect;
};

struct dsr_result {
	size_t frontend; // index into config.frontends
	size_t backend;  // running number over all pools, as in health.h
	enum dsr_verdict verdict;
	struct dsr_evidence evidence;
	void *asker;                  // of dsr_check_start_subject(), else NULL
	uint64_t duration_ns;         // from the SYN to the reply
	char reason[ERR_MESSAGE_MAX]; // DSR_UNKNOWN
};

// Borrowed for the call, which comes from the event loop. The callee may start and cancel checks,
// and close `check`.
typedef void (*dsr_result_fn)(void *arg, const struct dsr_result *result);

// All borrowed; they outlive the check.
struct dsr_check_params {
	struct event_base *base;
	struct netwatch *netwatch;
	const struct config *config; // dsr.method, and dsr.check_sources: the test sources
	dsr_result_fn on_result;
	void *arg;
};

// 0, or -errno when a family of the frontends has no test source or it cannot be one, with what to
// do in `err`. The first results wait until it is known that no other host has the source, most of
// a second.
int dsr_check_open(struct dsr_check **check, const struct dsr_check_params *params,
		   struct err *err);
void dsr_check_close(struct dsr_check *check); // NULL is legal; what is under way has no result

// Check whether `backend`, of the frontend's pool, is ready for that frontend: one result, at the
// latest after some seconds for every 64 checks before it. 0 or -ENOMEM.
int dsr_check_start(struct dsr_check *check, size_t frontend, size_t backend);
// The same where both are no longer numbered as in the configuration: slots. -ENOENT when there was
// no test source for the frontend's family.
struct dsr_subject {
	size_t frontend;
	size_t backend;
	struct endpoint vip;
	struct endpoint backend_endpoint;
	bool is_health_checked;
	void *asker; // borrowed until the result, which has it
};
int dsr_check_start_subject(struct dsr_check *check, const struct dsr_subject *subject);
// Drop every check for the asker that is under way or waits.
void dsr_check_cancel(struct dsr_check *check, const void *asker);
// Is there a test source for frontends of the family?
bool dsr_check_has_source(const struct dsr_check *check, bool is_v4);

// Ready, or nothing that could be checked.
static inline bool dsr_verdict_passes(enum dsr_verdict verdict)
{
	return verdict == DSR_READY || verdict == DSR_NOT_CHECKED;
}

// "SYN-ACK from 10.0.0.1:80 in 0.4 ms": what was seen. Returns `text`.
const char *dsr_result_format(const struct dsr_result *result, char *text, size_t size);

enum { DSR_CAUSE_MAX = 512, DSR_COMMAND_MAX = 320, DSR_COMMANDS_MAX = 3 };

struct dsr_advice {
	char cause[DSR_CAUSE_MAX];                        // sentences; empty: nothing to mend
	char commands[DSR_COMMANDS_MAX][DSR_COMMAND_MAX]; // for a shell, where `cause` says
	unsigned n_commands;
};

// Why, and what mends it.
void dsr_result_explain(const struct dsr_result *result, struct dsr_advice *advice);
