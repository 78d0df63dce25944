// SPDX-License-Identifier: Apache-2.0
#include "packet/capture.h"

#include <errno.h>

static int receive(struct capture *capture, uint32_t link, struct packet **packets)
{
	uint32_t n = packet_pool_take(&capture->pool, packets, PACKET_BURST);
	int received = n ? capture->driver->recv_burst(capture->io, link, packets, n) : 0;
	uint32_t n_used = received > 0 ? (uint32_t)received : 0;
	packet_pool_give_back(&capture->pool, packets + n_used, n - n_used);
	if (received == -ENODATA)
		capture->finished |= UINT32_C(1) << link;
	counter_add(&capture->ledger.received, n_used);
	return (int)n_used;
}

uint32_t capture_burst(struct capture *capture, const struct snapshot *snapshot, uint32_t link,
		       struct packet **out, bool *is_idle)
{
	struct packet *packets[PACKET_BURST];
	int n = receive(capture, link, packets);
	uint32_t n_out = 0;
	for (int i = 0; i < n; i++) {
		struct packet *packet = packets[i];
		packet->rx_link = (uint8_t)link;
		packet->is_spare = false;
		steer_packet(&capture->steering, snapshot, packet);
		if (packet->verdict == VERDICT_NONE) {
			out[n_out++] = packet;
			continue;
		}
		counter_add(&capture->ledger.verdicts[packet->verdict], 1);
		packet_pool_give_back(&capture->pool, &packets[i], 1);
	}
	if (n)
		*is_idle = false;
	return n_out;
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
