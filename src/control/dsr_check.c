// SPDX-License-Identifier: Apache-2.0
// Trials in a list: the first ones are under way, the others wait.
//
// The replies come to a packet socket, which sees them before the kernel does. An IPv4 kernel drops
// them: the test source is no address of this host, or else the reply's source is, being the
// frontend's. One of IPv6 does not look at sources; a reset that it answers with goes to the
// frontend's address, which is this host's.
#include "culvert/control/dsr_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/addr_claim.h"
#include "control/dsr_check_reply.h"
#include "control/dsr_check_source.h"
#include "control/dsr_check_trial.h"
#include "culvert/net/bytes.h"

enum {
	UNDER_WAY_MAX = 64,
	// To the last there is: what hosts give to clients (RFC 6335 section 6). Two bits of 16.
	FIRST_PORT = 0xc000,
	FILTER_MAX = 1024,
};

// What one family is checked from.
struct side {
	bool is_used; // by some frontend
	struct dsr_source source;
	struct addr_claim claim; // of the source, when that is not this host's
};

struct dsr_check {
	struct dsr_check_params params;
	struct side sides[2];   // by ip_addr_is_v4()
	struct packet_tap *tap; // owned
	uint16_t last_port;
	unsigned n_under_way;
	struct trial *first; // owned; a list, those under way first
	struct trial **end;  // where the next one is put
};

static struct side *side_of(struct dsr_check *self, const struct trial *trial)
{
	return &self->sides[ip_addr_is_v4(&trial->result.evidence.vip.addr)];
}

// ---- trials ------------------------------------------------------------------------------------

static struct trial *find_trial(const struct dsr_check *self, uint16_t port_be)
{
	for (struct trial *trial = self->first; trial; trial = trial->next) {
		if (!trial->is_begun && !trial->is_given_up)
			break;
		if (trial->is_begun && trial->port_be == port_be)
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
static bool is_source_held(const struct side *side)
{
	return side->source.is_local || side->claim.state == ADDR_CLAIM_HELD;
}

// In their order: one whose source is still asked for holds up those behind it, for less than a
// second.
static void begin_waiting(struct dsr_check *self)
{
	for (struct trial *trial = self->first; trial; trial = trial->next) {
		if (trial->is_begun || trial->is_given_up)
			continue;
		if (self->n_under_way >= UNDER_WAY_MAX || !is_source_held(side_of(self, trial)))
			return;
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
static void release_sources(struct dsr_check *self)
{
	for (size_t i = 0; i < 2 && !self->first; i++) {
		struct addr_claim *claim = &self->sides[i].claim;
		if (event_initialized(&claim->timer))
			addr_claim_stop(claim);
	}
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
	release_sources(self);
	// Last: the callee may close all of it.
	params.on_result(params.arg, &result);
}

static struct trial *create_trial(struct dsr_check *self, const struct dsr_subject *subject)
{
	struct trial *trial = calloc(1, sizeof(*trial));
	if (!trial)
		return NULL;
	trial->owner = self;
	trial->netwatch = self->params.netwatch;
	trial->tap = self->tap;
	trial->on_over = on_over;
	trial->result.frontend = subject->frontend;
	trial->result.backend = subject->backend;
	trial->result.asker = subject->asker;
	struct dsr_evidence *evidence = &trial->result.evidence;
	evidence->method = self->params.config->dsr.method;
	evidence->vip = subject->vip;
	evidence->source = side_of(self, trial)->source.addr;
	evidence->backend = subject->backend_endpoint;
	evidence->is_health_checked = subject->is_health_checked;
	trial_init(trial, self->params.base);
	return trial;
}

// ---- what comes in -----------------------------------------------------------------------------

static void on_frame(void *arg, const struct tap_frame *frame)
{
	struct dsr_check *self = arg;
	struct neighbour_packet neighbour;
	struct dsr_reply reply;
	if (neighbour_parse(frame->bytes, frame->len, &neighbour)) {
		struct side *side = &self->sides[ip_addr_is_v4(&neighbour.target)];
		if (side->is_used)
			addr_claim_take(&side->claim, frame->ifindex, &neighbour);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		if (!self->sides[i].is_used ||
		    !dsr_reply_parse(frame->bytes, frame->len, frame->is_partial,
				     &self->sides[i].source.addr, &reply))
			continue;
		struct trial *trial = find_trial(self, reply.probe_port_be);
		if (trial)
			trial_take(trial, &reply);
		return;
	}
}

static void give_up_all(struct dsr_check *self, const struct side *side)
{
	char addr[IP_ADDR_TEXT_MAX];
	char mac[MAC_ADDR_TEXT_MAX];
	char reason[ERR_MESSAGE_MAX];
	snprintf(reason, sizeof(reason),
		 "another host, %s, has the check source %s; give an address that no host has",
		 mac_addr_format(&side->claim.rival, mac), ip_addr_format(&side->claim.addr, addr));
	for (struct trial *trial = self->first; trial; trial = trial->next) {
		if (side_of(self, trial) == side)
			trial_give_up(trial, reason);
	}
}

static void on_claim_change(struct addr_claim *claim)
{
	struct dsr_check *self = claim->owner;
	if (claim->state == ADDR_CLAIM_LOST)
		give_up_all(self, &self->sides[ip_addr_is_v4(&claim->addr)]);
	begin_waiting(self);
}

// ---- the whole ---------------------------------------------------------------------------------

// What is sent to the source, and what is said of it. Of neighbour discovery that is the address in
// the message, for which pcap has no name: it is compared by its words.
static void write_filter(FILE *out, const struct side *side)
{
	char addr[IP_ADDR_TEXT_MAX];
	const uint8_t *bytes = side->source.addr.bytes;
	ip_addr_format(&side->source.addr, addr);
	if (ip_addr_is_v4(&side->source.addr)) {
		fprintf(out, "arp host %s or ip dst %s", addr, addr);
		return;
	}
	fprintf(out,
		"ip6 dst %s or (icmp6 and ip6[40] >= 135 and ip6[40] <= 136 and (ip6 src %s or (",
		addr, addr);
	for (unsigned i = 0; i < sizeof(side->source.addr.bytes); i += 4)
		fprintf(out, "%sip6[%u:4] == %u", i ? " and " : "", 48 + i, load_be32(bytes + i));
	fprintf(out, ")))");
}

static int open_tap(struct dsr_check *self, struct err *err)
{
	char filter[FILTER_MAX] = "";
	const char *separator = "";
	FILE *out = fmemopen(filter, sizeof(filter), "w");
	if (!out)
		return err_sys(err, -errno, "readiness check");
	for (size_t i = 0; i < 2; i++) {
		if (!self->sides[i].is_used)
			continue;
		fputs(separator, out);
		write_filter(out, &self->sides[i]);
		separator = " or ";
	}
	// That there is no tunnel is said to the tunnel's other end, which is this host.
	if (self->params.config->dsr.method == DSR_IPIP)
		fputs(" or (icmp and icmp[0] == 3)", out);
	fclose(out);
	return packet_tap_open(&self->tap, self->params.base, filter, on_frame, self, err);
}

// Nothing waits for an address of this host.
static int claim_source(struct side *side)
{
	enum addr_claim_state state = side->claim.state;
	if (side->source.is_local || state == ADDR_CLAIM_ASKING || state == ADDR_CLAIM_HELD)
		return 0;
	return addr_claim_start(&side->claim);
}

// -ENOENT is no failure: nothing of that family is checked.
static int find_sources(struct dsr_check *self, struct err *err)
{
	for (size_t i = 0; i < 2; i++) {
		struct side *side = &self->sides[i];
		int code = dsr_source_find(&self->params, i, &side->source, err);
		if (code && code != -ENOENT)
			return code;
		side->is_used = !code;
	}
	return 0;
}

static int start(struct dsr_check *self, struct err *err)
{
	int code = find_sources(self, err);
	if (!code)
		code = open_tap(self, err);
	for (size_t i = 0; i < 2 && !code; i++) {
		struct side *side = &self->sides[i];
		if (!side->is_used)
			continue;
		side->claim = (struct addr_claim){
			.tap = self->tap,
			.netwatch = self->params.netwatch,
			.owner = self,
			.addr = side->source.addr,
			.ifindex = side->source.ifindex,
			.on_change = on_claim_change,
		};
		addr_claim_init(&side->claim, self->params.base);
	}
	return code;
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
	release_sources(check);
	packet_tap_close(check->tap);
	free(check);
}

int dsr_check_start(struct dsr_check *check, size_t frontend, size_t backend)
{
	const struct config *config = check->params.config;
	const struct config_frontend *served = &config->frontends[frontend];
	const struct dsr_subject subject = {
		.frontend = frontend,
		.backend = backend,
		.vip = served->endpoint,
		.backend_endpoint = config_backend(config, backend)->endpoint,
		.is_health_checked = config->pools[served->pool].health_check != HEALTH_NONE,
	};
	return dsr_check_start_subject(check, &subject);
}

int dsr_check_start_subject(struct dsr_check *check, const struct dsr_subject *subject)
{
	if (!check->sides[ip_addr_is_v4(&subject->vip.addr)].is_used)
		return -ENOENT;
	struct trial *trial = create_trial(check, subject);
	if (!trial)
		return -ENOMEM;
	int code = claim_source(side_of(check, trial));
	if (code) {
		free(trial);
		return code;
	}
	*check->end = trial;
	check->end = &trial->next;
	begin_waiting(check);
	return 0;
}

bool dsr_check_has_source(const struct dsr_check *check, bool is_v4)
{
	return check->sides[is_v4].is_used;
}

void dsr_check_cancel(struct dsr_check *check, const void *asker)
{
	for (struct trial **place = &check->first; *place;) {
		if ((*place)->result.asker == asker)
			drop(check, place);
		else
			place = &(*place)->next;
	}
	begin_waiting(check);
	release_sources(check);
}
