// SPDX-License-Identifier: Apache-2.0
// A trial is over when its SYNs are (answered, or all sent and their time up) and its plain
// connection is. It ends from its own timer, never from where a frame or a connection was handled.
#include "control/dsr_check_trial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>

#include "control/dsr_check_packet.h"
#include "control/dsr_check_reply.h"
#include "culvert/base/clock.h"
#include "culvert/base/log.h"

enum { TRIES = 3, CONNECT_TIMEOUT_MS = 3000 };

static const struct timeval try_interval = {.tv_sec = 1};
static const struct timeval resolve_interval = {.tv_usec = 20000};
static const uint64_t resolve_ns = 3 * NS_PER_SEC; // what a neighbour has to answer

// ---- sending -----------------------------------------------------------------------------------

static int send_segment(const struct trial *trial, bool is_reset, struct err *err)
{
	const struct dsr_evidence *e = &trial->result.evidence;
	struct check_frame frame;
	struct link_info link;
	if (!netwatch_link(trial->netwatch, e->hop.ifindex, &link))
		return err_sys(err, -ENODEV, "interface %s", e->link);
	struct check_segment segment = {
		.src_mac = link.mac,
		.dst_mac = e->hop.mac,
		.src = {.addr = e->source, .port_be = trial->port_be, .proto = IPPROTO_TCP},
		.dst = e->method == DSR_NAT ? e->backend : e->vip,
		.is_tunneled = e->method == DSR_IPIP,
		.tunnel_src = e->hop.source,
		.tunnel_dst = e->backend.addr,
		.seq = trial->seq + is_reset,
		.is_reset = is_reset,
		.id = ntohs(trial->port_be),
	};
	int code = check_segment_build(&segment, &frame, err);
	if (code)
		return code;
	code = packet_tap_send(trial->tap, e->hop.ifindex, frame.bytes, frame.len);
	return code ? err_sys(err, code, "cannot send on %s", e->link) : 0;
}

static void send_syn(struct trial *trial)
{
	struct err err = {0};
	trial->sent_ns = clock_now_ns();
	trial->n_tried++;
	if (send_segment(trial, false, &err))
		snprintf(trial->result.reason, sizeof(trial->result.reason), "%s", err.message);
	else
		trial->result.evidence.n_sent++;
}

// So that the backend keeps no half-open connection. It is no more than a courtesy.
static void send_reset(const struct trial *trial)
{
	struct err err = {0};
	if (trial->result.evidence.hop.is_resolved && send_segment(trial, true, &err))
		log_debug("dsr", "cannot reset a test connection: %s", err.message);
}

// ---- the course of it --------------------------------------------------------------------------

static void finish_if_over(struct trial *trial)
{
	if (!trial->is_heard || !trial->is_connected)
		return;
	event_del(&trial->timer);
	event_active(&trial->timer, EV_TIMEOUT, 0);
}

static void abandon(struct trial *trial)
{
	trial->is_given_up = true;
	trial->is_heard = true;
	trial->is_connected = true;
	probe_cancel(&trial->probe);
	finish_if_over(trial);
}

void trial_give_up(struct trial *trial, const char *reason)
{
	snprintf(trial->result.reason, sizeof(trial->result.reason), "%s", reason);
	abandon(trial);
}

static bool can_be_sent(const struct dsr_evidence *e)
{
	if (!e->hop.has_route || e->hop.is_local)
		return false;
	return e->method != DSR_L2 || ip_addr_equal(&e->hop.gateway, &e->backend.addr);
}

static void look_up_hop(struct trial *trial)
{
	struct dsr_evidence *e = &trial->result.evidence;
	struct link_info link = {0};
	if (!netwatch_next_hop(trial->netwatch, &e->backend.addr, &e->hop))
		e->hop = (struct next_hop){0};
	if (e->hop.has_route)
		(void)netwatch_link(trial->netwatch, e->hop.ifindex, &link);
	snprintf(e->link, sizeof(e->link), "%s", link.name);
	e->is_link_up = link.is_up;
}

static void stop_listening(struct trial *trial)
{
	const struct dsr_evidence *e = &trial->result.evidence;
	// Nothing could be sent, and no link is down: the last failure is the reason.
	if (trial->n_tried && e->n_sent == 0 && e->is_link_up) {
		abandon(trial);
		return;
	}
	trial->is_heard = true;
	finish_if_over(trial);
}

// Send a SYN, or wait for the link or the neighbour, or for nothing more.
static void go_on(struct trial *trial)
{
	const struct dsr_evidence *e = &trial->result.evidence;
	const struct timeval *wait = NULL;
	look_up_hop(trial);
	bool can_wait = clock_now_ns() - trial->begun_ns < resolve_ns;
	bool is_there = e->is_link_up && e->hop.is_resolved;
	if (can_be_sent(e) && is_there && trial->n_tried < TRIES) {
		send_syn(trial);
		wait = &try_interval;
	} else if (can_be_sent(e) && !is_there && can_wait) {
		wait = &resolve_interval;
	}
	if (!wait)
		stop_listening(trial);
	else if (event_add(&trial->timer, wait))
		trial_give_up(trial, "no memory for a timer");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct trial *trial = arg;
	struct dsr_result *result = &trial->result;
	if (!trial->is_heard) {
		go_on(trial);
		return;
	}
	if (trial->is_given_up)
		result->verdict = DSR_UNKNOWN;
	else if (result->evidence.vip.proto != IPPROTO_TCP)
		result->verdict = DSR_NOT_CHECKED;
	else
		result->verdict = dsr_judge(&result->evidence);
	trial->on_over(trial);
}

static void on_connect(void *arg, const struct probe_result *result)
{
	struct trial *trial = arg;
	enum dsr_connect *connect = &trial->result.evidence.connect;
	if (result->outcome == PROBE_UNKNOWN)
		*connect = DSR_CONNECT_UNKNOWN;
	else if (result->outcome == PROBE_PASSED)
		*connect = DSR_CONNECT_PASSED;
	else if (result->error == ECONNREFUSED || result->error == ECONNRESET)
		*connect = DSR_CONNECT_REFUSED;
	else
		*connect = DSR_CONNECT_SILENT;
	trial->is_connected = true;
	finish_if_over(trial);
}

void trial_init(struct trial *trial, struct event_base *base)
{
	evtimer_assign(&trial->timer, base, on_timer, trial);
	probe_init(&trial->probe, base, on_connect, trial);
}

void trial_begin(struct trial *trial, uint16_t port_be)
{
	const struct dsr_evidence *e = &trial->result.evidence;
	trial->is_begun = true;
	trial->port_be = port_be;
	trial->begun_ns = clock_now_ns();
	evutil_secure_rng_get_bytes(&trial->seq, sizeof(trial->seq));
	if (e->vip.proto != IPPROTO_TCP) {
		trial->is_heard = true;
		trial->is_connected = true;
		finish_if_over(trial);
		return;
	}
	const struct config_backend backend = {.endpoint = e->backend};
	probe_connect(&trial->probe, &backend, CONNECT_TIMEOUT_MS);
	go_on(trial);
}

void trial_take(struct trial *trial, const struct dsr_reply *reply)
{
	bool is_ours = dsr_reply_is_to(reply, &trial->result.evidence, trial->seq);
	if (!is_ours || trial->is_heard || !trial->n_tried)
		return;
	trial->result.evidence.reply = *reply;
	trial->result.duration_ns = clock_now_ns() - trial->sent_ns;
	trial->is_heard = true;
	event_del(&trial->timer);
	if (reply->kind == DSR_REPLY_SYN_ACK)
		send_reset(trial);
	finish_if_over(trial);
}

void trial_stop(struct trial *trial)
{
	event_del(&trial->timer);
	probe_cancel(&trial->probe);
}
