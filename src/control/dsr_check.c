// SPDX-License-Identifier: Apache-2.0
// Trials in a list: the first ones are under way, the others wait.
//
// The replies come to a packet socket, which sees them before the kernel drops them. That it does:
// the test source is no address of this host, or else the reply's source is, being the frontend's.
#include "culvert/control/dsr_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/arp_claim.h"
#include "control/dsr_check_reply.h"
#include "control/dsr_check_source.h"
#include "control/dsr_check_trial.h"

enum {
	UNDER_WAY_MAX = 64,
	// To the last there is: what hosts give to clients (RFC 6335 section 6). Two bits of 16.
	FIRST_PORT = 0xc000,
	FILTER_MAX = 160,
};

struct dsr_check {
	struct dsr_check_params params;
	struct dsr_source source;
	struct packet_tap *tap; // owned
	struct arp_claim claim; // of the source, when that is not this host's
	uint16_t last_port;
	unsigned n_under_way;
	struct trial *first; // owned; a list, those under way first
	struct trial **end;  // where the next one is put
};

// ---- trials ------------------------------------------------------------------------------------

static struct trial *find_trial(const struct dsr_check *self, uint16_t port_be)
{
	for (struct trial *trial = self->first; trial; trial = trial->next) {
		if (!trial->is_begun)
			break;
		if (trial->port_be == port_be)
			return trial;
	}
	return NULL;
}

// One that no trial under way has: there are many more ports than those.
static uint16_t take_port(struct dsr_check *self)
{
	do {
		if (++self->last_port < FIRST_PORT)
			self->last_port = FIRST_PORT;
	} while (find_trial(self, htons(self->last_port)));
	return htons(self->last_port);
}

// Whether what is sent from the source now would find its way back.
static bool is_source_held(const struct dsr_check *self)
{
	return self->source.is_local || self->claim.state == ARP_CLAIM_HELD;
}

static void begin_waiting(struct dsr_check *self)
{
	for (struct trial *trial = self->first; trial; trial = trial->next) {
		if (self->n_under_way >= UNDER_WAY_MAX || !is_source_held(self))
			return;
		if (trial->is_begun || trial->is_given_up)
			continue;
		self->n_under_way++;
		trial_begin(trial, take_port(self));
	}
}

// The trial that *place is.
static void drop(struct dsr_check *self, struct trial **place)
{
	struct trial *trial = *place;
	*place = trial->next;
	if (!trial->next)
		self->end = place;
	self->n_under_way -= trial->is_begun;
	trial_stop(trial);
	free(trial);
}

// Another balancer may have the same configuration, and needs the source for checks of its own.
static void release_source(struct dsr_check *self)
{
	if (!self->first)
		arp_claim_stop(&self->claim);
}

static void on_over(struct trial *trial)
{
	struct dsr_check *self = trial->owner;
	struct dsr_result result = trial->result;
	struct dsr_check_params params = self->params;
	struct trial **place = &self->first;
	while (*place != trial)
		place = &(*place)->next;
	drop(self, place);
	begin_waiting(self);
	release_source(self);
	// Last: the callee may close all of it.
	params.on_result(params.arg, &result);
}

static struct trial *create_trial(struct dsr_check *self, size_t frontend, size_t backend)
{
	const struct config *config = self->params.config;
	struct trial *trial = calloc(1, sizeof(*trial));
	if (!trial)
		return NULL;
	trial->owner = self;
	trial->netwatch = self->params.netwatch;
	trial->tap = self->tap;
	trial->on_over = on_over;
	trial->result.frontend = frontend;
	trial->result.backend = backend;
	struct dsr_evidence *evidence = &trial->result.evidence;
	const struct config_frontend *served = &config->frontends[frontend];
	evidence->method = config->dsr.method;
	evidence->source = config->dsr.check_source;
	evidence->vip = served->endpoint;
	evidence->backend = config_backend(config, backend)->endpoint;
	evidence->is_health_checked = config->pools[served->pool].health_check != HEALTH_NONE;
	trial_init(trial, self->params.base);
	return trial;
}

// ---- what comes in -----------------------------------------------------------------------------

static void on_frame(void *arg, const struct tap_frame *frame)
{
	struct dsr_check *self = arg;
	struct arp_packet arp;
	struct dsr_reply reply;
	if (arp_parse(frame->bytes, frame->len, &arp)) {
		arp_claim_take(&self->claim, frame->ifindex, &arp);
		return;
	}
	if (!dsr_reply_parse(frame->bytes, frame->len, frame->is_partial,
			     &self->params.config->dsr.check_source, &reply))
		return;
	struct trial *trial = find_trial(self, reply.probe_port_be);
	if (trial)
		trial_take(trial, &reply);
}

static void give_up_all(struct dsr_check *self)
{
	char addr[IP_ADDR_TEXT_MAX];
	char mac[MAC_ADDR_TEXT_MAX];
	char reason[ERR_MESSAGE_MAX];
	snprintf(reason, sizeof(reason),
		 "another host, %s, has the check source %s; give an address that no host has",
		 mac_addr_format(&self->claim.rival, mac), ip_addr_format(&self->claim.addr, addr));
	for (struct trial *trial = self->first; trial; trial = trial->next)
		trial_give_up(trial, reason);
}

static void on_claim_change(void *arg)
{
	struct dsr_check *self = arg;
	if (self->claim.state == ARP_CLAIM_HELD)
		begin_waiting(self);
	else
		give_up_all(self);
}

// ---- the whole ---------------------------------------------------------------------------------

static int open_tap(struct dsr_check *self, struct err *err)
{
	char addr[IP_ADDR_TEXT_MAX];
	char filter[FILTER_MAX];
	const struct config_dsr *dsr = &self->params.config->dsr;
	ip_addr_format(&dsr->check_source, addr);
	// That there is no tunnel is said to the tunnel's other end, which is this host.
	snprintf(filter, sizeof(filter), "arp host %s or ip dst %s%s", addr, addr,
		 dsr->method == DSR_IPIP ? " or (icmp and icmp[0] == 3)" : "");
	return packet_tap_open(&self->tap, self->params.base, filter, on_frame, self, err);
}

// Nothing waits for an address of this host.
static int claim_source(struct dsr_check *self)
{
	enum arp_claim_state state = self->claim.state;
	if (self->source.is_local || state == ARP_CLAIM_ASKING || state == ARP_CLAIM_HELD)
		return 0;
	return arp_claim_start(&self->claim);
}

static int start(struct dsr_check *self, struct err *err)
{
	int code = dsr_source_find(&self->params, &self->source, err);
	if (!code)
		code = open_tap(self, err);
	if (code)
		return code;
	self->claim = (struct arp_claim){
		.tap = self->tap,
		.netwatch = self->params.netwatch,
		.addr = self->params.config->dsr.check_source,
		.ifindex = self->source.ifindex,
		.on_change = on_claim_change,
		.arg = self,
	};
	arp_claim_init(&self->claim, self->params.base);
	return 0;
}

int dsr_check_open(struct dsr_check **check, const struct dsr_check_params *params, struct err *err)
{
	struct dsr_check *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "readiness check");
	opened->params = *params;
	opened->end = &opened->first;
	evutil_secure_rng_get_bytes(&opened->last_port, sizeof(opened->last_port));
	opened->last_port |= FIRST_PORT;
	int code = start(opened, err);
	if (code) {
		dsr_check_close(opened);
		return code;
	}
	*check = opened;
	return 0;
}

void dsr_check_close(struct dsr_check *check)
{
	if (!check)
		return;
	while (check->first)
		drop(check, &check->first);
	if (event_initialized(&check->claim.timer))
		arp_claim_stop(&check->claim);
	packet_tap_close(check->tap);
	free(check);
}

int dsr_check_start(struct dsr_check *check, size_t frontend, size_t backend)
{
	struct trial *trial = create_trial(check, frontend, backend);
	if (!trial)
		return -ENOMEM;
	int code = claim_source(check);
	if (code) {
		free(trial);
		return code;
	}
	*check->end = trial;
	check->end = &trial->next;
	begin_waiting(check);
	return 0;
}

void dsr_check_cancel(struct dsr_check *check, size_t backend)
{
	for (struct trial **place = &check->first; *place;) {
		if ((*place)->result.backend == backend)
			drop(check, place);
		else
			place = &(*place)->next;
	}
	begin_waiting(check);
	release_source(check);
}
