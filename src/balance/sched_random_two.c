// SPDX-License-Identifier: Apache-2.0
// Two backends drawn by weight, and of these the one with fewer connections for its weight: nearly
// as even as least connections, at the price of two looks, and without the herd that runs to
// whoever was last seen idle (Mitzenmacher, "The power of two choices in randomized load
// balancing", IEEE TPDS 12(10), 2001).
#include "balance/sched.h"
#include "culvert/ds/hash.h"

enum { MAX_DRAWS = 16 };

struct random_two {
	struct scheduler base;
	uint64_t seed;
	uint64_t n_drawn;
	uint64_t version;        // of the snapshot that the next two are of
	const uint16_t *members; // borrowed; slots by place
	uint32_t sums[];         // of the weights up to each member, itself included
};

// Backends that a draw must not find.
struct barred {
	const struct scheduler_pick *pick;
	int32_t other; // the first of the two, or SCHEDULER_NO_BACKEND
};

static void init(struct scheduler *scheduler, uint64_t seed)
{
	struct random_two *self = (struct random_two *)scheduler;
	self->seed = seed;
}

static void follow(struct random_two *self, const struct scheduler_pick *pick)
{
	const struct snapshot *snapshot = pick->snapshot;
	uint32_t sum = 0;
	if (self->version == snapshot->version)
		return;
	self->members = sched_members(pick);
	for (uint32_t i = 0; i < self->base.n_members; i++) {
		sum += sched_weight(&snapshot->backends[self->members[i]]);
		self->sums[i] = sum;
	}
	self->version = snapshot->version;
}

static uint32_t weight_at(const struct random_two *self, uint32_t place)
{
	return self->sums[place] - (place ? self->sums[place - 1] : 0);
}

static uint32_t random_below(struct random_two *self, uint32_t bound)
{
	uint64_t counter = self->n_drawn++;
	uint64_t hash = XXH3_64bits_withSeed(&counter, sizeof(counter), self->seed);
	return (uint32_t)((hash >> 32) * bound >> 32);
}

static bool is_barred(const struct barred *barred, uint32_t backend)
{
	return barred->other == (int32_t)backend || sched_was_tried(barred->pick, backend);
}

// The first place whose sum is above `value`: never one without a weight.
static uint32_t place_of(const struct random_two *self, uint32_t value)
{
	uint32_t low = 0;
	uint32_t high = self->base.n_members - 1;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (self->sums[middle] > value)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

// A draw among those that are not barred, whose weights have to be summed up for it.
static int32_t draw_by_scan(struct random_two *self, const struct barred *barred)
{
	uint32_t n = self->base.n_members;
	uint32_t sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += is_barred(barred, self->members[i]) ? 0 : weight_at(self, i);
	if (sum == 0)
		return SCHEDULER_NO_BACKEND;
	uint32_t value = random_below(self, sum);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t weight = is_barred(barred, self->members[i]) ? 0 : weight_at(self, i);
		if (value < weight)
			return self->members[i];
		value -= weight;
	}
	return SCHEDULER_NO_BACKEND;
}

static int32_t draw(struct random_two *self, const struct barred *barred)
{
	uint32_t sum = self->sums[self->base.n_members - 1];
	for (int i = 0; i < MAX_DRAWS; i++) {
		uint16_t backend = self->members[place_of(self, random_below(self, sum))];
		if (!is_barred(barred, backend))
			return backend;
	}
	return draw_by_scan(self, barred);
}

// Equal ones: the first, which was drawn by weight alone.
static int32_t less_loaded(const struct scheduler_pick *pick, int32_t one, int32_t two)
{
	const struct snapshot_backend *backends = pick->snapshot->backends;
	uint64_t load_of_one = pick->load(pick->load_arg, (uint32_t)one);
	uint64_t load_of_two = pick->load(pick->load_arg, (uint32_t)two);
	bool is_two = sched_is_less_loaded(load_of_two, sched_weight(&backends[two]), load_of_one,
					   sched_weight(&backends[one]));
	return is_two ? two : one;
}

static int32_t pick_of_two(struct scheduler *scheduler, const struct scheduler_pick *pick)
{
	struct random_two *self = (struct random_two *)scheduler;
	struct barred barred = {pick, SCHEDULER_NO_BACKEND};
	follow(self, pick);
	if (scheduler->n_members == 0 || self->sums[scheduler->n_members - 1] == 0)
		return SCHEDULER_NO_BACKEND;
	int32_t one = draw(self, &barred);
	if (one == SCHEDULER_NO_BACKEND)
		return one;
	barred.other = one;
	int32_t two = draw(self, &barred);
	return two == SCHEDULER_NO_BACKEND ? one : less_loaded(pick, one, two);
}

const struct sched_ops sched_random_two = {
	.fixed_bytes = sizeof(struct random_two),
	.bytes_per_member = sizeof(uint32_t),
	.init = init,
	.pick = pick_of_two,
};
