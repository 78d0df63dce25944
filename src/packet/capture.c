// SPDX-License-Identifier: Apache-2.0
#include "packet/capture.h"

#include <errno.h>

static uint32_t receive(struct capture *capture, uint32_t link, struct packet **packets, uint32_t n)
{
	n = packet_pool_take(&capture->pool, packets, n);
	int received = n ? capture->driver->recv_burst(capture->io, link, packets, n) : 0;
	uint32_t n_used = received > 0 ? (uint32_t)received : 0;
	packet_pool_give_back(&capture->pool, packets + n_used, n - n_used);
	if (received == -ENODATA)
		capture->finished |= UINT32_C(1) << link;
	counter_add(&capture->ledger.received, n_used);
	return n_used;
}

static void end(struct capture *capture, struct packet *packet)
{
	counter_add(&capture->ledger.verdicts[packet->verdict], 1);
	sample_packet(&capture->tap, packet, (enum verdict)packet->verdict);
	packet_pool_give_back(&capture->pool, &packet, 1);
}

// Those that still have no verdict are for their workers.
static uint32_t hand_on(struct capture *capture, struct packet *packet, struct packet **out,
			uint32_t n_out)
{
	if (packet->verdict == VERDICT_NONE)
		out[n_out++] = packet;
	else
		end(capture, packet);
	return n_out;
}

static uint32_t take_released(struct capture *capture, struct packet **out, uint32_t n_out)
{
	struct packet *packet;
	while (n_out < PACKET_BURST && (packet = fragments_next_released(&capture->fragments)))
		n_out = hand_on(capture, packet, out, n_out);
	return n_out;
}

// False when it is a fragment that waits.
static bool steer(struct capture *capture, const struct snapshot *snapshot, uint32_t link,
		  struct packet *packet)
{
	packet->rx_link = (uint8_t)link;
	packet->is_spare = false;
	steer_packet(&capture->steering, snapshot, packet);
	return !packet->is_fragment ||
	       fragments_accept(&capture->fragments, snapshot, packet, capture->now_ns());
}

uint32_t capture_burst(struct capture *capture, const struct snapshot *snapshot, uint32_t link,
		       struct packet **out, bool *is_idle)
{
	struct packet *packets[PACKET_BURST];
	if (fragments_are_any(&capture->fragments))
		fragments_expire(&capture->fragments, capture->now_ns());
	uint32_t n_out = take_released(capture, out, 0);
	uint32_t n = receive(capture, link, packets, PACKET_BURST - n_out);
	for (uint32_t i = 0; i < n; i++) {
		if (steer(capture, snapshot, link, packets[i]))
			n_out = hand_on(capture, packets[i], out, n_out);
	}
	n_out = take_released(capture, out, n_out);
	if (n || n_out)
		*is_idle = false;
	return n_out;
}

void capture_end(struct capture *capture)
{
	struct packet *packet;
	fragments_give_up(&capture->fragments);
	while ((packet = fragments_next_released(&capture->fragments))) {
		if (packet->verdict == VERDICT_NONE)
			packet->verdict = VERDICT_DROP_FRAGMENT_EXPIRED;
		end(capture, packet);
	}
}

struct packet *capture_spare(struct capture *capture)
{
	struct packet *packet = NULL;
	if (packet_pool_take(&capture->pool, &packet, 1) == 0)
		return NULL;
	packet->is_spare = true;
	packet->is_to_send = false;
	packet->verdict = VERDICT_NONE;
	packet->len = 0;
	return packet;
}
