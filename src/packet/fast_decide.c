// SPDX-License-Identifier: Apache-2.0
#include "packet/fast_decide.h"

#include <string.h>

#include "packet/forward.h"

static void write_key(struct fast_key *key, const struct endpoint *src, const struct endpoint *dst)
{
	memcpy(key->src_be, &src->addr, sizeof(key->src_be));
	memcpy(key->dst_be, &dst->addr, sizeof(key->dst_be));
	key->src_port_be = src->port_be;
	key->dst_port_be = dst->port_be;
	key->proto = src->proto;
}

static void write_way_out(struct fast_entry *entry, const struct snapshot_link *link,
			  const struct mac_addr *next_hop)
{
	entry->tx_ifindex = link->ifindex;
	memcpy(entry->src_mac, link->mac.bytes, sizeof(entry->src_mac));
	memcpy(entry->dst_mac, next_hop->bytes, sizeof(entry->dst_mac));
}

static struct fast_entry begin_entry(const struct worker *worker, const struct endpoint *src,
				     const struct endpoint *dst)
{
	struct fast_entry entry = {.version = (uint32_t)worker->snapshot->version};
	write_key(&entry.key, src, dst);
	return entry;
}

// Who a flow speaks as, and with.
struct parties {
	struct endpoint client;
	struct endpoint vip;
	struct endpoint local; // in DSR mode the client's own
	struct endpoint backend;
};

static struct parties parties_of(const struct worker *worker, const struct flow *flow)
{
	const struct snapshot *snapshot = worker->snapshot;
	struct parties parties = {
		.client = {flow->client, flow->client_port_be, flow->proto, 0},
		.vip = snapshot->frontends[flow->frontend].endpoint,
		.backend = snapshot->backends[flow->backend].endpoint,
	};
	parties.local = parties.client;
	if (worker->config->mode == MODE_DSR)
		return parties;
	parties.local.addr = snapshot->snats[flow->snat];
	parties.local.port_be = htons(flow->nat_port);
	return parties;
}

static struct fast_entry to_backend(const struct worker *worker, const struct flow *flow)
{
	const struct snapshot *snapshot = worker->snapshot;
	const struct snapshot_backend *backend = &snapshot->backends[flow->backend];
	struct parties parties = parties_of(worker, flow);
	bool is_unchanged = forward_is_unchanged(worker);
	struct fast_entry entry = begin_entry(worker, &parties.client, &parties.vip);
	write_key(&entry.sent_as, &parties.local, is_unchanged ? &parties.vip : &parties.backend);
	if (!is_unchanged) {
		entry.addrs_delta = flow->deltas.addrs;
		entry.ports_delta = flow->deltas.ports;
	}
	write_way_out(&entry, &snapshot->links[backend->hop.link], &backend->hop.mac);
	entry.mtu = forward_room(worker, backend);
	entry.flags = FAST_HAS_PATH;
	entry.rx_ifindex = snapshot->links[flow->client_link].ifindex;
	memcpy(entry.rx_mac, flow->client_mac.bytes, sizeof(entry.rx_mac));
	entry.next = flow->client_next;
	entry.acked = flow->backend_next;
	return entry;
}

static struct fast_entry to_client(const struct worker *worker, const struct flow *flow)
{
	const struct snapshot_link *link = &worker->snapshot->links[flow->client_link];
	struct parties parties = parties_of(worker, flow);
	struct fast_entry entry = begin_entry(worker, &parties.backend, &parties.local);
	write_key(&entry.sent_as, &parties.vip, &parties.client);
	entry.addrs_delta = csum_negate(flow->deltas.addrs);
	entry.ports_delta = csum_negate(flow->deltas.ports);
	write_way_out(&entry, link, &flow->client_mac);
	entry.mtu = link->mtu;
	entry.next = flow->backend_next;
	entry.acked = flow->client_next;
	return entry;
}

struct fast_entry fast_decide(const struct worker *worker, uint32_t index, enum flow_dir way)
{
	const struct flow *flow = &worker->flows->flows[index];
	return way == FROM_CLIENT ? to_backend(worker, flow) : to_client(worker, flow);
}

// With a backend that is down a UDP flow has another with the client's next datagram
// (forward_prospect()); those of TCP have been reset by then.
static bool may_be_replaced(const struct flow *flow, const struct snapshot_backend *backend)
{
	return flow->proto == IPPROTO_UDP && backend->resets_on_down && !backend->is_up;
}

bool fast_is_eligible(const struct worker *worker, const struct flow *flow)
{
	const struct config *config = worker->config;
	const struct snapshot_backend *backend = &worker->snapshot->backends[flow->backend];
	bool is_in_tunnel = config->mode == MODE_DSR && config->dsr.method == DSR_IPIP;
	uint8_t harmless = worker->flows->params.is_one_sided ? 0 : FLOW_HIDES_TIMESTAMPS;
	return (flow->state == FLOW_ESTABLISHED || flow->state == FLOW_UDP) &&
	       !(flow->marks & ~harmless) && !is_in_tunnel && backend->hop.state == HOP_READY &&
	       !may_be_replaced(flow, backend);
}
