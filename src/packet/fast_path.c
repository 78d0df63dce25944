// SPDX-License-Identifier: Apache-2.0
#include "packet/fast_path.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"
#include "packet/fast_cells.h"
#include "packet/fast_decide.h"
#include "packet/worker.h"

enum {
	MS_PER_S = 1000,
	LOOKS = 256,          // slots looked at between two batches
	ROUND_MS = 250,       // from round to round while packets go by
	IDLE_ROUND_MS = 1000, // and while none do
	REST_MS = 1000,       // a processor that found an entry is through with it by then
	IDLE_ROUNDS_MAX = 20, // without a packet: gives way when slots run short
	SHORT_OF_SLOTS = 8,   // when less than one in so many is free
	BYTES_MIN = 1024,     // from the client: short connections are over before it pays
	DIVERTED_MIN = 64,    // packets, and none has come: not by chance
	LOST_MIN = 8,         // of a flow, with none forwarded in between: it comes back
};

// One flow's entries, one for each way that it is seen on.
struct fast_slot {
	uint32_t flow;  // 0: none
	uint32_t place; // in `active`
	uint32_t rests_since_ms;
	uint16_t frontend;
	uint16_t backend;
	uint32_t cells[2]; // where their numbers are, counted through all buckets
	uint32_t n_idle_rounds;
	uint32_t n_heard; // packets since the pressure was judged last
	struct fast_counted {
		uint64_t packets;
		uint64_t bytes;
		uint32_t n_known;
		uint32_t n_lost;
		uint32_t n_lost_in_a_row;
	} counted[2]; // of what the entries say
	struct fast_watch {
		uint64_t arrived;
		uint32_t n_diverted;
	} watches[2]; // when a packet was last seen to have come to the second program
};

_Static_assert(FAST_SEQ_WINDOW == (int)FLOW_SEQ_WINDOW, "both sides judge segments alike");

static struct fast_entry *entry_of(const struct fast_path *fast, uint32_t slot, uint32_t way)
{
	return &fast->maps->entries[fast->first + slot * fast->n_ways + way];
}

// Likely: another worker may be quicker.
static bool has_room(const struct fast_path *fast, const struct fast_entry *entries)
{
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		if (!fast_cells_have_room(fast->maps, &entries[way].key))
			return false;
	}
	return true;
}

static void withdraw(const struct fast_path *fast, struct fast_slot *slot)
{
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		fast_cells_withdraw(fast->maps, slot->cells[way]);
		slot->cells[way] = FAST_NO_CELL;
	}
}

// ---- counting -----------------------------------------------------------------------------------

static uint64_t read64(const __u64 *at)
{
	return atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_relaxed);
}

static uint32_t read32(const __u32 *at)
{
	return atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_relaxed);
}

static void enter_into_ledger(struct fast_path *fast, uint64_t n)
{
	counter_add(&fast->ledger.received, n);
	counter_add(&fast->ledger.verdicts[VERDICT_FORWARDED], n);
}

static void enter_lost(struct fast_path *fast, uint32_t n)
{
	counter_add(&fast->ledger.received, n);
	counter_add(&fast->ledger.verdicts[VERDICT_DROP_NO_BUFFER], n);
}

// What an entry has counted since it was last asked.
static struct flow_traffic take_count(struct fast_path *fast, uint32_t slot, uint32_t way)
{
	const struct fast_entry *entry = entry_of(fast, slot, way);
	struct fast_counted *before = &fast->slots[slot].counted[way];
	struct fast_counted now = {
		.packets = read64(&entry->packets),
		.bytes = read64(&entry->bytes),
		.n_known = read32(&entry->n_known),
		.n_lost = read32(&entry->n_lost),
	};
	uint32_t n_lost = now.n_lost - before->n_lost;
	enter_lost(fast, n_lost);
	if (now.packets == before->packets)
		now.n_lost_in_a_row = before->n_lost_in_a_row + n_lost;
	struct flow_traffic traffic = {
		.packets = now.packets - before->packets,
		.bytes = now.bytes - before->bytes,
		.is_known = now.n_known != before->n_known,
	};
	*before = now;
	return traffic;
}

static void catch_up(struct worker *worker, uint32_t number)
{
	struct fast_path *fast = &worker->fast;
	struct fast_slot *slot = &fast->slots[number];
	struct flow_progress progress = {0};
	uint64_t n = 0;
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		progress.traffic[way] = take_count(fast, number, way);
		n += progress.traffic[way].packets;
	}
	if (n == 0)
		return;
	const struct fast_entry *entry = entry_of(fast, number, FROM_CLIENT);
	progress.client_next = read32(&entry->next);
	progress.backend_next = fast->n_ways == 1
					? read32(&entry->acked)
					: read32(&entry_of(fast, number, FROM_BACKEND)->next);
	flow_table_catch_up(worker->flows, slot->flow, &progress);
	enter_into_ledger(fast, n);
	slot->n_heard += (uint32_t)n;
}

void fast_path_catch_up(struct worker *worker, uint32_t index)
{
	catch_up(worker, worker->fast.slot_of[index]);
}

void fast_path_catch_up_all(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->fast.n_active; i++)
		catch_up(worker, worker->fast.active[i]);
}

// ---- coming and going ---------------------------------------------------------------------------

static void rest(struct fast_path *fast, uint32_t number)
{
	fast->slots[number].rests_since_ms = fast->now_ms;
	fast->resting[(fast->rest_head + fast->n_resting++) % fast->n_slots] = number;
}

// Nothing is held for them any more, so control may have given their numbers to others.
static bool is_given_back(const struct flow_table *flows, const struct fast_slot *slot)
{
	return counter_read(&flows->frontends[slot->frontend].flows_held) == 0 ||
	       counter_read(&flows->backends[slot->backend].flows_held) == 0;
}

// What was counted after the flow had come back belongs to its frontend and backend at least.
static void take_late(struct worker *worker, uint32_t number)
{
	struct fast_path *fast = &worker->fast;
	const struct fast_slot *slot = &fast->slots[number];
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		struct flow_traffic traffic = take_count(fast, number, way);
		enter_into_ledger(fast, traffic.packets);
		if (is_given_back(worker->flows, slot))
			continue;
		flow_table_count_traffic(worker->flows, (enum flow_dir)way, slot->frontend,
					 slot->backend, &traffic);
	}
}

static void wake_rested(struct worker *worker)
{
	struct fast_path *fast = &worker->fast;
	while (fast->n_resting) {
		uint32_t number = fast->resting[fast->rest_head];
		if (fast->now_ms - fast->slots[number].rests_since_ms < REST_MS)
			return;
		take_late(worker, number);
		fast->free[fast->n_free++] = number;
		fast->rest_head = (fast->rest_head + 1) % fast->n_slots;
		fast->n_resting--;
	}
}

static void count_flows(struct fast_path *fast, int change)
{
	counter_add(&fast->flows, (uint64_t)(int64_t)change);
	atomic_fetch_add_explicit((_Atomic uint32_t *)&fast->maps->control->n_flows,
				  (uint32_t)change, memory_order_relaxed);
}

static void deactivate(struct fast_path *fast, uint32_t number)
{
	uint32_t place = fast->slots[number].place;
	uint32_t last = fast->active[--fast->n_active];
	fast->active[place] = last;
	fast->slots[last].place = place;
	count_flows(fast, -1);
}

void fast_path_leave(struct worker *worker, uint32_t index)
{
	struct flow *flow = &worker->flows->flows[index];
	if (!flow->is_aside)
		return;
	uint32_t number = worker->fast.slot_of[index];
	withdraw(&worker->fast, &worker->fast.slots[number]);
	catch_up(worker, number);
	worker->fast.slots[number].flow = 0;
	flow->is_aside = false;
	worker->fast.slot_of[index] = worker->fast.now_ms;
	deactivate(&worker->fast, number);
	rest(&worker->fast, number);
}

static bool publish_all(struct fast_path *fast, uint32_t number)
{
	struct fast_slot *slot = &fast->slots[number];
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		slot->cells[way] = fast_cells_publish(fast->maps, entry_of(fast, number, way));
		if (slot->cells[way] == FAST_NO_CELL)
			return false;
	}
	return true;
}

// Not at once after it has left: a client that comes by two ways in turn would need a slot for each
// of its packets.
static void enter(struct worker *worker, uint32_t index)
{
	struct fast_path *fast = &worker->fast;
	struct flow *flow = &worker->flows->flows[index];
	struct fast_entry entries[N_FLOW_DIRS];
	if (fast->n_free == 0 || fast->now_ms - fast->slot_of[index] < REST_MS)
		return;
	for (uint32_t way = 0; way < fast->n_ways; way++)
		entries[way] = fast_decide(worker, index, (enum flow_dir)way);
	if (!has_room(fast, entries))
		return;
	uint32_t number = fast->free[--fast->n_free];
	fast->slots[number] = (struct fast_slot){
		.flow = index,
		.place = fast->n_active,
		.frontend = flow->frontend,
		.backend = flow->backend,
		.cells = {FAST_NO_CELL, FAST_NO_CELL},
	};
	fast->active[fast->n_active++] = number;
	count_flows(fast, 1);
	fast->has_moved = true; // or is about to
	fast->slot_of[index] = number;
	flow->is_aside = true;
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		entries[way].turn = entry_of(fast, number, way)->turn + 1;
		*entry_of(fast, number, way) = entries[way];
	}
	if (!publish_all(fast, number))
		fast_path_leave(worker, index);
}

// The kernel may move it on at the same time, and then its next packet says how far again.
static void move_on(__u32 *number, uint32_t to)
{
	if ((int32_t)(to - read32(number)) > 0)
		atomic_store_explicit((_Atomic uint32_t *)number, to, memory_order_relaxed);
}

// Entries that say what would be said now are good for this snapshot as well. False when one says
// anything else. Where all that one side sends comes to the worker, the kernel is told how far that
// is: numbers that stayed behind would once seem to be ahead.
static bool confirm(struct worker *worker, uint32_t index)
{
	const struct fast_path *fast = &worker->fast;
	uint32_t number = fast->slot_of[index];
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		struct fast_entry *entry = entry_of(fast, number, way);
		struct fast_entry wanted = fast_decide(worker, index, (enum flow_dir)way);
		uint32_t version = wanted.version;
		wanted.version = entry->version;
		if (memcmp(&wanted, entry, offsetof(struct fast_entry, packets)) != 0)
			return false;
		atomic_store_explicit((_Atomic uint32_t *)&entry->version, version,
				      memory_order_relaxed);
		move_on(&entry->next, wanted.next);
		move_on(&entry->acked, wanted.acked);
	}
	return true;
}

static bool is_wanted(const struct worker *worker)
{
	return !read32(&worker->fast.maps->control->is_cut) &&
	       (worker->fast.is_always || worker->pressure.is_high);
}

static bool is_worth_it(const struct worker *worker, const struct flow *flow)
{
	return worker->fast.is_always || flow->bytes_tx >= BYTES_MIN;
}

void fast_path_settle(struct worker *worker, uint32_t index)
{
	const struct flow *flow = &worker->flows->flows[index];
	bool is_eligible = fast_is_eligible(worker, flow);
	if (flow->is_aside && is_eligible && confirm(worker, index))
		return;
	fast_path_leave(worker, index);
	if (is_eligible && is_wanted(worker) && is_worth_it(worker, flow))
		enter(worker, index);
}

// ---- rounds -------------------------------------------------------------------------------------

// Packets were named for the flow, and none has come to the second program: somebody else's program
// at ingress does not let them through, or ours is not there any more.
static bool is_cut(const struct fast_path *fast, uint32_t number)
{
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		const struct fast_entry *entry = entry_of(fast, number, way);
		struct fast_watch *watch = &fast->slots[number].watches[way];
		// First what is promised: what comes in between is on its way, and no promise
		// broken.
		uint32_t n_diverted =
			atomic_load_explicit((const _Atomic uint32_t *)&entry->n_diverted,
					     memory_order_acquire);
		struct fast_watch now = {.n_diverted = n_diverted};
		now.arrived = read64(&entry->packets) + read32(&entry->n_lost);
		if (now.arrived != watch->arrived)
			*watch = now;
		else if (now.n_diverted - watch->n_diverted >= DIVERTED_MIN)
			return true;
	}
	return false;
}

// All are lost for want of memory, or for a reason that the thread may not have.
static bool loses_all(const struct fast_path *fast, uint32_t number)
{
	const struct fast_slot *slot = &fast->slots[number];
	for (uint32_t way = 0; way < fast->n_ways; way++) {
		if (slot->counted[way].n_lost_in_a_row >= LOST_MIN)
			return true;
	}
	return false;
}

// What has been published anew says the same about most flows.
static bool is_still_good(struct worker *worker, uint32_t number)
{
	uint32_t index = worker->fast.slots[number].flow;
	uint32_t version = entry_of(&worker->fast, number, FROM_CLIENT)->version;
	return version == (uint32_t)worker->snapshot->version ||
	       (fast_is_eligible(worker, &worker->flows->flows[index]) && confirm(worker, index));
}

static void look_at(struct worker *worker, uint32_t number)
{
	struct fast_path *fast = &worker->fast;
	struct fast_slot *slot = &fast->slots[number];
	catch_up(worker, number);
	slot->n_idle_rounds = slot->n_heard ? 0 : slot->n_idle_rounds + 1;
	if (fast->is_judging) {
		fast->n_of_one = slot->n_heard > fast->n_of_one ? slot->n_heard : fast->n_of_one;
		slot->n_heard = 0;
	}
	if (is_cut(fast, number))
		fast_program_cut(fast->maps);
	if (!is_wanted(worker) || !is_still_good(worker, number) || loses_all(fast, number) ||
	    (slot->n_idle_rounds > IDLE_ROUNDS_MAX &&
	     fast->n_free < fast->n_slots / SHORT_OF_SLOTS))
		fast_path_leave(worker, slot->flow);
}

// A round that a new snapshot has begun may be too short to tell how much goes by.
static void end_round(struct worker *worker)
{
	struct fast_path *fast = &worker->fast;
	uint32_t elapsed_ms = fast->round_ms - fast->judged_ms;
	if (!fast->is_judging)
		return;
	uint64_t counted = counter_read(&fast->ledger.received);
	uint64_t n = counted - fast->counted_before;
	fast->judged_ms = fast->round_ms;
	fast->counted_before = counted;
	fast->has_moved = n != 0;
	pressure_ease(&worker->pressure, n * MS_PER_S / elapsed_ms,
		      (uint64_t)fast->n_of_one * MS_PER_S / elapsed_ms);
	fast->n_of_one = 0;
}

// From the last to the first: whoever leaves has its place taken by one that was looked at.
static void go_on(struct worker *worker)
{
	struct fast_path *fast = &worker->fast;
	if (fast->round_next > fast->n_active)
		fast->round_next = fast->n_active;
	for (int i = 0; i < LOOKS && fast->round_next; i++)
		look_at(worker, fast->active[--fast->round_next]);
	if (fast->round_next == 0)
		end_round(worker);
}

void fast_path_look(struct worker *worker, uint64_t now_ns)
{
	struct fast_path *fast = &worker->fast;
	if (!fast->maps)
		return;
	fast->now_ms = (uint32_t)(now_ns / NS_PER_MS);
	if (fast->round_next) {
		go_on(worker);
		return;
	}
	bool is_new = (uint32_t)worker->snapshot->version != fast->version;
	if (!is_new && fast->now_ms - fast->round_ms < ROUND_MS)
		return;
	fast->version = (uint32_t)worker->snapshot->version;
	fast->round_ms = fast->now_ms;
	fast->is_judging = fast->now_ms - fast->judged_ms >= ROUND_MS;
	wake_rested(worker);
	fast->round_next = fast->n_active;
	go_on(worker);
}

bool fast_path_is_busy(const struct fast_path *fast)
{
	return fast->round_next != 0;
}

int fast_path_idle_ms(const struct fast_path *fast)
{
	if (fast->n_active == 0 && fast->n_resting == 0)
		return -1;
	return fast->has_moved ? ROUND_MS : IDLE_ROUND_MS;
}

// ---- for the table ------------------------------------------------------------------------------

static void on_catch_up(void *arg, uint32_t index)
{
	fast_path_catch_up(arg, index);
}

// Whoever has the entry next may go there at once.
static void on_leave(void *arg, uint32_t index)
{
	struct fast_path *fast = &((struct worker *)arg)->fast;
	fast_path_leave(arg, index);
	fast->slot_of[index] = fast->now_ms - REST_MS;
}

// Where the worker's thread does not look out for packets itself, they wait to be handed on;
// without busy polling, to wake it.
static bool goes_at_once(const struct worker_params *params)
{
	const struct config_passthrough *passthrough = &params->config->passthrough;
	return passthrough->fast_path == FAST_PATH_ALWAYS || !params->is_inline ||
	       passthrough->busy_poll_us == 0;
}

int fast_path_init(struct fast_path *fast, struct worker *worker,
		   const struct worker_params *params, struct err *err)
{
	uint32_t n_entries = FAST_ENTRIES / params->n_workers;
	*fast = (struct fast_path){0};
	if (!params->fast)
		return 0;
	fast->maps = params->fast;
	fast->is_always = goes_at_once(params);
	fast->first = worker->number * n_entries;
	fast->n_ways = worker->flows->params.is_one_sided ? 1 : 2;
	fast->n_slots = n_entries / fast->n_ways;
	fast->slots = calloc(fast->n_slots, sizeof(*fast->slots));
	fast->active = calloc(fast->n_slots, sizeof(*fast->active));
	fast->free = calloc(fast->n_slots, sizeof(*fast->free));
	fast->resting = calloc(fast->n_slots, sizeof(*fast->resting));
	fast->slot_of = calloc((size_t)worker->flows->params.capacity + 1, sizeof(*fast->slot_of));
	if (!fast->slots || !fast->active || !fast->free || !fast->resting || !fast->slot_of) {
		fast_path_fini(fast);
		return err_set(err, -ENOMEM, "not enough memory for the fast path");
	}
	for (uint32_t i = 0; i < fast->n_slots; i++)
		fast->free[fast->n_free++] = fast->n_slots - 1 - i;
	worker->flows->aside = (struct flow_aside){on_catch_up, on_leave, worker};
	return 0;
}

void fast_path_fini(struct fast_path *fast)
{
	free(fast->slots);
	free(fast->active);
	free(fast->free);
	free(fast->resting);
	free(fast->slot_of);
	*fast = (struct fast_path){0};
}
