// SPDX-License-Identifier: Apache-2.0
#include "packet/fragments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "culvert/base/clock.h"

enum {
	N_UNITS = IP_PACKET_MAX / FRAGMENT_UNIT + 1, // the last one need not be full
	N_WORDS = N_UNITS / 64,
};

_Static_assert(N_UNITS % 64 == 0, "whole words");

// What the fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5). In
// IPv6 the protocol is not a part of it.
struct datagram_key {
	struct ip_addr src;
	struct ip_addr dst;
	uint32_t id;
	uint32_t proto;
};

// What steering found out about the first fragment.
struct steered {
	uint16_t src_port_be;
	uint16_t dst_port_be;
	uint8_t proto;
	uint8_t verdict; // VERDICT_NONE: it went on to its worker
	uint8_t worker;
	uint8_t from;
	uint16_t frontend;
	uint32_t nat_pool;
	uint32_t hash;
};

struct datagram {
	struct datagram_key key;
	uint32_t hash;
	uint32_t serial; // tells it from others of the same number
	uint64_t expires_ns;
	uint32_t next; // in its list
	uint32_t prev;
	bool is_followed; // on which list it is
	bool is_given_up; // its fragments overlap, or are too many: `reason`
	uint8_t reason;   // enum verdict
	uint16_t n_seen;  // units that have been seen
	uint16_t reach;   // the one behind the furthest of them
	uint16_t n_units; // all there are; 0: the last fragment has not been seen
	struct steered first;
	struct packet_list held;
	uint64_t seen[N_WORDS]; // bit i of the whole: unit i has been seen
};

// ---- lists --------------------------------------------------------------------------------------

static void list_append(struct packet_list *list, struct packet *packet)
{
	packet->next = NULL;
	if (list->tail)
		list->tail->next = packet;
	else
		list->head = packet;
	list->tail = packet;
	list->n++;
}

static struct packet *list_take(struct packet_list *list)
{
	struct packet *packet = list->head;
	if (!packet)
		return NULL;
	list->head = packet->next;
	if (!list->head)
		list->tail = NULL;
	list->n--;
	return packet;
}

static void link_newest(struct fragments *fragments, struct datagram_list *list, uint32_t index)
{
	struct datagram *datagrams = fragments->datagrams;
	datagrams[index].next = 0;
	datagrams[index].prev = list->newest;
	*(list->newest ? &datagrams[list->newest].next : &list->oldest) = index;
	list->newest = index;
}

static void unlink_from(struct fragments *fragments, struct datagram_list *list, uint32_t index)
{
	struct datagram *datagrams = fragments->datagrams;
	uint32_t next = datagrams[index].next;
	uint32_t prev = datagrams[index].prev;
	*(prev ? &datagrams[prev].next : &list->oldest) = next;
	*(next ? &datagrams[next].prev : &list->newest) = prev;
}

static struct datagram_list *list_of(struct fragments *fragments, uint32_t index)
{
	return fragments->datagrams[index].is_followed ? &fragments->followed : &fragments->waiting;
}

// ---- creation -----------------------------------------------------------------------------------

int fragments_init(struct fragments *fragments, const struct fragments_params *params,
		   struct err *err)
{
	*fragments = (struct fragments){.params = *params};
	uint32_t n_numbers = params->n_datagrams + FRAGMENTS_RESERVE;
	fragments->datagrams = calloc((size_t)n_numbers + 1, sizeof(struct datagram));
	if (!fragments->datagrams)
		return err_set(err, -ENOMEM, "not enough memory for fragments");
	int code = index_map_init(&fragments->index, params->n_datagrams, err);
	if (code) {
		fragments_fini(fragments);
		return code;
	}
	for (uint32_t i = 1; i <= n_numbers; i++)
		link_newest(fragments, &fragments->unused, i);
	return 0;
}

void fragments_fini(struct fragments *fragments)
{
	index_map_fini(&fragments->index);
	free(fragments->datagrams);
	*fragments = (struct fragments){0};
}

// ---- datagrams ----------------------------------------------------------------------------------

static struct datagram_key key_of(const struct frame_view *view)
{
	return (struct datagram_key){
		.src = view->src.addr,
		.dst = view->dst.addr,
		.id = view->fragment.id,
		.proto = view->is_v6 ? 0 : view->src.proto,
	};
}

static uint32_t find(const struct fragments *fragments, const struct datagram_key *key,
		     uint32_t hash)
{
	struct index_map_cursor cursor;
	uint32_t index = index_map_first(&fragments->index, hash, &cursor);
	while (index && memcmp(&fragments->datagrams[index].key, key, sizeof(*key)) != 0)
		index = index_map_next(&fragments->index, &cursor);
	return index;
}

// What waits for the datagram waits no more.
static void release(struct fragments *fragments, struct datagram *datagram)
{
	struct packet *packet;
	counter_add(&fragments->held, -(uint64_t)datagram->held.n);
	while ((packet = list_take(&datagram->held))) {
		fragments->n_bytes -= packet->len;
		list_append(&fragments->released, packet);
	}
}

static void release_dropped(struct fragments *fragments, struct datagram *datagram,
			    enum verdict reason)
{
	for (struct packet *packet = datagram->held.head; packet; packet = packet->next)
		packet_drop(packet, reason);
	release(fragments, datagram);
}

static void forget(struct fragments *fragments, uint32_t index, enum verdict reason)
{
	struct datagram *datagram = &fragments->datagrams[index];
	release_dropped(fragments, datagram, reason);
	index_map_remove(&fragments->index, datagram->hash, index);
	unlink_from(fragments, list_of(fragments, index), index);
	link_newest(fragments, &fragments->unused, index);
	fragments->n_incomplete--;
}

// Of all incomplete datagrams. Both lists are in order.
static uint32_t oldest(const struct fragments *fragments)
{
	uint32_t waiting = fragments->waiting.oldest;
	uint32_t followed = fragments->followed.oldest;
	if (!waiting || !followed)
		return waiting ? waiting : followed;
	const struct datagram *datagrams = fragments->datagrams;
	return datagrams[waiting].expires_ns < datagrams[followed].expires_ns ? waiting : followed;
}

static uint32_t begin(struct fragments *fragments, const struct datagram_key *key, uint32_t hash,
		      uint64_t now_ns)
{
	if (fragments->n_incomplete == fragments->params.n_datagrams)
		forget(fragments, oldest(fragments), VERDICT_DROP_FRAGMENT_STORE_FULL);
	fragments->n_incomplete++;
	uint32_t index = fragments->unused.oldest;
	struct datagram *datagram = &fragments->datagrams[index];
	unlink_from(fragments, &fragments->unused, index);
	*datagram = (struct datagram){
		.key = *key,
		.hash = hash,
		.serial = ++fragments->last_serial,
		.expires_ns = now_ns + FRAGMENTS_SECONDS * NS_PER_SEC,
	};
	link_newest(fragments, &fragments->waiting, index);
	index_map_insert(&fragments->index, hash, index);
	return index;
}

// From now on nothing waits for it.
static void set_followed(struct fragments *fragments, uint32_t index, uint64_t now_ns)
{
	struct datagram *datagram = &fragments->datagrams[index];
	unlink_from(fragments, list_of(fragments, index), index);
	datagram->is_followed = true;
	datagram->expires_ns = now_ns + FRAGMENTS_SECONDS * NS_PER_SEC;
	link_newest(fragments, &fragments->followed, index);
}

// All that comes of it is dropped: what has gone on already is of no use without the rest.
static void give_up(struct fragments *fragments, uint32_t index, enum verdict reason,
		    uint64_t now_ns)
{
	struct datagram *datagram = &fragments->datagrams[index];
	release_dropped(fragments, datagram, reason);
	set_followed(fragments, index, now_ns);
	datagram->is_given_up = true;
	datagram->reason = (uint8_t)reason;
}

// ---- where a fragment lies ----------------------------------------------------------------------

// How many of the units have been seen before.
static uint32_t count_seen(const struct datagram *datagram, uint32_t start, uint32_t end)
{
	uint32_t n = 0;
	for (uint32_t i = start; i < end; i++)
		n += datagram->seen[i / 64] >> (i % 64) & 1;
	return n;
}

static void mark_seen(struct datagram *datagram, uint32_t start, uint32_t end)
{
	for (uint32_t i = start; i < end; i++)
		datagram->seen[i / 64] |= UINT64_C(1) << (i % 64);
	datagram->n_seen = (uint16_t)(datagram->n_seen + end - start);
	datagram->reach = end > datagram->reach ? (uint16_t)end : datagram->reach;
}

// Does the fragment end beyond what the last one said is the end, or is it a last one before what
// has been seen?
static bool contradicts_end(const struct datagram *datagram, const struct frame_view *view,
			    uint32_t end)
{
	if (datagram->n_units)
		return end > datagram->n_units ||
		       (!view->fragment.has_more && end != datagram->n_units);
	return !view->fragment.has_more && end < datagram->reach;
}

// VERDICT_NONE: it adds what was not there before.
static enum verdict place(struct datagram *datagram, const struct frame_view *view)
{
	const struct fragment_view *fragment = &view->fragment;
	uint32_t len = view->frame_len - fragment->data;
	uint32_t start = fragment->at / FRAGMENT_UNIT;
	uint32_t end = start + (len + FRAGMENT_UNIT - 1) / FRAGMENT_UNIT;
	uint32_t n_before = count_seen(datagram, start, end);
	if (contradicts_end(datagram, view, end) || (n_before && n_before < end - start))
		return VERDICT_DROP_FRAGMENT_OVERLAP;
	if (n_before)
		return VERDICT_DROP_FRAGMENT_DUPLICATE;
	mark_seen(datagram, start, end);
	if (!fragment->has_more)
		datagram->n_units = (uint16_t)end;
	return VERDICT_NONE;
}

static bool is_complete(const struct datagram *datagram)
{
	return datagram->n_units && datagram->n_seen == datagram->n_units;
}

// ---- the first fragment, and those that follow --------------------------------------------------

static void name_datagram(const struct fragments *fragments, uint32_t index, struct packet *packet)
{
	packet->datagram = index;
	packet->datagram_serial = fragments->datagrams[index].serial;
}

static void follow(const struct fragments *fragments, uint32_t index, struct packet *packet)
{
	const struct steered *first = &fragments->datagrams[index].first;
	struct frame_view *view = &packet->view;
	name_datagram(fragments, index, packet);
	packet->verdict = first->verdict;
	packet->worker = first->worker;
	packet->from = first->from;
	packet->frontend = first->frontend;
	packet->nat_pool = first->nat_pool;
	packet->hash = first->hash;
	view->src.port_be = first->src_port_be;
	view->dst.port_be = first->dst_port_be;
	view->src.proto = view->dst.proto = first->proto;
}

static void accept_first(struct fragments *fragments, uint32_t index, struct packet *packet,
			 uint64_t now_ns)
{
	struct datagram *datagram = &fragments->datagrams[index];
	datagram->first = (struct steered){
		.src_port_be = packet->view.src.port_be,
		.dst_port_be = packet->view.dst.port_be,
		.proto = packet->view.src.proto,
		.verdict = packet->verdict,
		.worker = packet->worker,
		.from = packet->from,
		.frontend = packet->frontend,
		.nat_pool = packet->nat_pool,
		.hash = packet->hash,
	};
	name_datagram(fragments, index, packet);
	for (struct packet *held = datagram->held.head; held; held = held->next)
		follow(fragments, index, held);
	release(fragments, datagram);
	set_followed(fragments, index, now_ns);
}

static bool has_room(const struct fragments *fragments, const struct packet *packet)
{
	return counter_read(&fragments->held) < fragments->params.n_packets &&
	       fragments->n_bytes + packet->len <= fragments->params.n_bytes;
}

// Returns false when it waits.
static bool hold(struct fragments *fragments, uint32_t index, struct packet *packet,
		 uint64_t now_ns)
{
	struct datagram *datagram = &fragments->datagrams[index];
	packet->verdict = VERDICT_DROP_FRAGMENT_STORE_FULL;
	if (datagram->held.n == FRAGMENTS_PACKETS_EACH) {
		give_up(fragments, index, VERDICT_DROP_FRAGMENT_STORE_FULL, now_ns);
		return true;
	}
	while (!has_room(fragments, packet)) {
		uint32_t victim = fragments->waiting.oldest;
		if (victim == index)
			return true;
		forget(fragments, victim, VERDICT_DROP_FRAGMENT_STORE_FULL);
	}
	packet->verdict = VERDICT_NONE;
	list_append(&datagram->held, packet);
	fragments->n_bytes += packet->len;
	counter_add(&fragments->held, 1);
	return false;
}

// ---- what capture calls -------------------------------------------------------------------------

static bool is_ours(const struct snapshot *snapshot, const struct ip_addr *addr)
{
	struct endpoint vip = {.addr = *addr};
	return endpoint_map_find(snapshot->vip_addrs, &vip) != ENDPOINT_UNKNOWN ||
	       snapshot_find_snat(snapshot, addr) >= 0;
}

static uint32_t find_or_begin(struct fragments *fragments, const struct snapshot *snapshot,
			      const struct frame_view *view, uint64_t now_ns)
{
	struct datagram_key key = key_of(view);
	uint32_t hash = (uint32_t)XXH3_64bits_withSeed(&key, sizeof(key), fragments->params.secret);
	uint32_t index = find(fragments, &key, hash);
	if (!index && is_ours(snapshot, &view->dst.addr))
		index = begin(fragments, &key, hash, now_ns);
	return index;
}

bool fragments_accept(struct fragments *fragments, const struct snapshot *snapshot,
		      struct packet *packet, uint64_t now_ns)
{
	const struct frame_view *view = &packet->view;
	uint32_t index = find_or_begin(fragments, snapshot, view, now_ns);
	struct datagram *datagram = &fragments->datagrams[index];
	if (!index) {
		packet->verdict = VERDICT_PASSED;
		return true;
	}
	if (datagram->is_given_up) {
		packet->verdict = datagram->reason;
		return true;
	}
	enum verdict fault = place(datagram, view);
	if (fault == VERDICT_DROP_FRAGMENT_OVERLAP)
		give_up(fragments, index, fault, now_ns);
	if (fault != VERDICT_NONE) {
		packet->verdict = (uint8_t)fault;
		return true;
	}
	if (view->fragment.at == 0)
		accept_first(fragments, index, packet, now_ns);
	else if (datagram->is_followed)
		follow(fragments, index, packet);
	else
		return hold(fragments, index, packet, now_ns);
	if (is_complete(datagram))
		forget(fragments, index, VERDICT_NONE);
	return true;
}

static void expire_list(struct fragments *fragments, const struct datagram_list *list,
			uint64_t now_ns)
{
	while (list->oldest && fragments->datagrams[list->oldest].expires_ns <= now_ns)
		forget(fragments, list->oldest, VERDICT_DROP_FRAGMENT_EXPIRED);
}

void fragments_expire(struct fragments *fragments, uint64_t now_ns)
{
	expire_list(fragments, &fragments->waiting, now_ns);
	expire_list(fragments, &fragments->followed, now_ns);
}

void fragments_give_up(struct fragments *fragments)
{
	while (fragments->waiting.oldest)
		forget(fragments, fragments->waiting.oldest, VERDICT_DROP_FRAGMENT_EXPIRED);
}

struct packet *fragments_next_released(struct fragments *fragments)
{
	return list_take(&fragments->released);
}
