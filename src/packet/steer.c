// SPDX-License-Identifier: Apache-2.0
#include "packet/steer.h"

#include <arpa/inet.h>
#include <string.h>

#include "culvert/ds/hash.h"
#include "culvert/net/vlan.h"

static enum verdict verdict_of(enum parse_result result)
{
	switch (result) {
	case PARSE_OK:
	case PARSE_LATER_FRAGMENT:
		return VERDICT_NONE;
	case PARSE_NOT_OURS:
		return VERDICT_PASSED;
	case PARSE_TRUNCATED:
		return VERDICT_DROP_TRUNCATED;
	case PARSE_MALFORMED:
		return VERDICT_DROP_MALFORMED;
	case PARSE_BAD_IP_CHECKSUM:
		return VERDICT_DROP_BAD_IP_CHECKSUM;
	case PARSE_SOURCE_ROUTE:
		return VERDICT_DROP_SOURCE_ROUTE;
	case PARSE_TINY_FRAGMENT:
		return VERDICT_DROP_FRAGMENT_TINY;
	case PARSE_BAD_SOURCE:
		return VERDICT_DROP_BAD_SOURCE;
	case PARSE_BAD_TCP_FLAGS:
		return VERDICT_DROP_BAD_TCP_FLAGS;
	case PARSE_HEADER_CHAIN:
		return VERDICT_DROP_HEADER_CHAIN;
	}
	return VERDICT_DROP_MALFORMED;
}

void steering_init(struct steering *steering, const struct config *config, uint32_t n_workers,
		   uint64_t secret)
{
	const struct config_passthrough *passthrough = &config->passthrough;
	*steering = (struct steering){
		.secret = secret,
		.n_workers = n_workers,
		.nat_port_min = passthrough->nat_port_min,
	};
	// Backends answer clients directly in DSR mode: no port of ours is ever replied to.
	if (config->mode != MODE_DSR)
		steering->n_ports =
			(uint32_t)passthrough->nat_port_max - passthrough->nat_port_min + 1;
}

// The slices partition the range as evenly as whole ports allow: worker w owns those whose offset
// times n_workers, divided by n_ports, is w.
static uint32_t slice_start(const struct steering *steering, uint32_t worker)
{
	return (worker * steering->n_ports + steering->n_workers - 1) / steering->n_workers;
}

static uint8_t slice_owner(const struct steering *steering, uint32_t offset)
{
	return (uint8_t)(offset * steering->n_workers / steering->n_ports);
}

void steering_slice(const struct steering *steering, uint32_t worker, uint16_t *first_port,
		    uint32_t *n_ports)
{
	uint32_t start = slice_start(steering, worker);
	*first_port = (uint16_t)(steering->nat_port_min + start);
	*n_ports = slice_start(steering, worker + 1) - start;
}

struct steer_client steering_of_client(const struct steering *steering,
				       const struct ip_addr *client, uint16_t port_be,
				       uint16_t frontend)
{
	// What identifies the client's half of a flow, in words that the compiler keeps in
	// registers.
	uint64_t key[] = {
		ip_addr_half(client, 0),
		ip_addr_half(client, 1),
		(uint64_t)frontend << 16 | port_be,
	};
	uint64_t hash = XXH3_64bits_withSeed(key, sizeof(key), steering->secret);
	return (struct steer_client){
		.hash = (uint32_t)hash,
		.worker = (uint8_t)((hash >> 32) * steering->n_workers >> 32),
	};
}

static void steer_from_client(const struct steering *steering, struct packet *packet,
			      const struct endpoint *client, uint16_t frontend)
{
	struct steer_client to =
		steering_of_client(steering, &client->addr, client->port_be, frontend);
	packet->from = FROM_CLIENT;
	packet->frontend = frontend;
	packet->hash = to.hash;
	packet->worker = to.worker;
}

// The reply must come from a backend's endpoint to one of our source addresses and NAT ports; that
// exactly this flow speaks with exactly this backend from this address is the NAT pool's to say.
static bool steer_from_backend(const struct steering *steering, const struct snapshot *snapshot,
			       struct packet *packet, const struct endpoint *backend,
			       const struct endpoint *local)
{
	uint32_t offset = (uint32_t)ntohs(local->port_be) - steering->nat_port_min;
	if (offset >= steering->n_ports)
		return false;
	int snat = snapshot_find_snat(snapshot, &local->addr);
	int32_t id =
		snat < 0 ? ENDPOINT_UNKNOWN : endpoint_map_find(snapshot->backend_ids, backend);
	if (id == ENDPOINT_UNKNOWN)
		return false;
	packet->from = FROM_BACKEND;
	packet->nat_pool = snapshot_nat_pool(snapshot, (uint32_t)id, (uint32_t)snat);
	packet->worker = slice_owner(steering, offset);
	return true;
}

// A switch that does not know an address yet shows its frames to everybody, and broadcasts are
// never forwarded (RFC 1812 section 5.3.4).
static bool is_for_link(const struct packet *packet, const struct snapshot_link *link)
{
	return packet->len < ETH_HEADER_LEN ||
	       memcmp(packet->frame, &link->mac, sizeof(link->mac)) == 0;
}

// Whoever tags with a priority alone is answered without; the room goes to the front of the frame.
static void skip_priority_tags(struct packet *packet)
{
	uint32_t n = vlan_skip_priority_tags(packet->frame, packet->len);
	packet->frame += n;
	packet->len -= n;
	if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		packet->vnet.csum_start = (uint16_t)(packet->vnet.csum_start - n);
	if (packet->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		packet->vnet.hdr_len = (uint16_t)(packet->vnet.hdr_len - n);
}

void steer_packet(const struct steering *steering, const struct snapshot *snapshot,
		  struct packet *packet)
{
	packet->is_to_send = false;
	packet->is_sampled = false;
	packet->is_fragment = false;
	packet->verdict = VERDICT_DROP_TRUNCATED;
	if (packet->len > PACKET_FRAME_MAX)
		return;
	if (vlan_is_tagged(packet->frame, packet->len))
		skip_priority_tags(packet);
	if (!is_for_link(packet, &snapshot->links[packet->rx_link])) {
		packet->verdict = VERDICT_PASSED;
		return;
	}
	packet->verdict =
		(uint8_t)verdict_of(parse_frame(packet->frame, packet->len, &packet->view));
	if (packet->verdict != VERDICT_NONE)
		return;
	packet->is_fragment = packet->view.fragment.is_part;
	if (packet_is_later_fragment(packet))
		return;

	// An error quotes a packet that went the other way: who caused it is who it is from. What
	// we have sent into a tunnel is the client's.
	const struct frame_view *view = &packet->view;
	bool is_turned = view->is_icmp_error && !view->is_tunnel_error;
	const struct endpoint *src = is_turned ? &view->dst : &view->src;
	const struct endpoint *dst = is_turned ? &view->src : &view->dst;
	// Replies first: a frontend may have a port of the NAT range, and an address of ours that
	// speaks to backends as well. No client sends from a backend's endpoint.
	if (steer_from_backend(steering, snapshot, packet, src, dst))
		return;
	int32_t frontend = endpoint_map_find(snapshot->vips, dst);
	if (frontend == ENDPOINT_UNKNOWN)
		packet->verdict = VERDICT_PASSED;
	else
		steer_from_client(steering, packet, src, (uint16_t)frontend);
}
