// SPDX-License-Identifier: Apache-2.0
// The timer wheel, by cases and against a model that keeps a due tick per item.
#include "culvert/ds/wheel.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

enum { N_ITEMS = 200, N_SLOTS = 64, NO_BUDGET = 1000000 };

// As a flow would: the node in the middle of something larger.
struct item {
	uint64_t before;
	struct wheel_node node;
	bool is_in;
	uint32_t due;
	uint32_t n_visits;
};

struct model {
	struct wheel wheel;
	struct item items[N_ITEMS + 1];
	uint32_t last_visited;
	bool is_disturbing; // visitors add and remove
};

static void model_init(struct model *model, uint32_t n_slots, uint32_t now)
{
	*model = (struct model){0};
	cr_assert_eq(wheel_init(&model->wheel, n_slots, &model->items[0].node, sizeof(struct item),
				now),
		     0);
}

static void model_add(struct model *model, uint32_t index, uint32_t due)
{
	struct item *item = &model->items[index];
	wheel_add(&model->wheel, index, due);
	item->is_in = true;
	item->due = (int32_t)(due - model->wheel.now) > 0 ? due : model->wheel.now + 1;
}

static void model_remove(struct model *model, uint32_t index)
{
	wheel_remove(&model->wheel, index);
	model->items[index].is_in = false;
}

static uint32_t random_index(void)
{
	return 1 + (uint32_t)rand() % N_ITEMS;
}

// Mostly soon, some of them several rounds away, some overdue.
static uint32_t random_due(const struct model *model)
{
	return model->wheel.now + (uint32_t)rand() % (N_SLOTS * 4) - 8;
}

static void visit(void *arg, uint32_t index)
{
	struct model *model = arg;
	struct item *item = &model->items[index];
	cr_assert(item->is_in, "item %u was visited and is not in the wheel", index);
	cr_assert((int32_t)(item->due - model->wheel.now) <= 0, "item %u came early", index);
	item->is_in = false;
	item->n_visits++;
	model->last_visited = index;
	if (!model->is_disturbing)
		return;
	if (rand() % 3 == 0)
		model_add(model, index, random_due(model));
	for (int i = rand() % 4; i > 0; i--) {
		uint32_t other = random_index();
		if (model->items[other].is_in)
			model_remove(model, other);
		else
			model_add(model, other, random_due(model));
	}
}

static uint32_t advance(struct model *model, uint32_t now, uint32_t budget)
{
	return wheel_advance(&model->wheel, now, visit, model, budget);
}

static uint32_t count_overdue(const struct model *model)
{
	uint32_t n = 0;
	for (uint32_t i = 1; i <= N_ITEMS; i++)
		n += model->items[i].is_in &&
		     (int32_t)(model->items[i].due - model->wheel.now) <= 0;
	return n;
}

Test(wheel, visits_at_the_due_tick_and_not_before)
{
	struct model model;
	model_init(&model, N_SLOTS, 100);
	model_add(&model, 1, 110);
	cr_expect_eq(advance(&model, 109, NO_BUDGET), 0);
	cr_expect_eq(model.items[1].n_visits, 0);
	cr_expect_eq(advance(&model, 110, NO_BUDGET), 1);
	cr_expect_eq(model.items[1].n_visits, 1);
	cr_expect_eq(advance(&model, 500, NO_BUDGET), 0);
	cr_expect_eq(model.items[1].n_visits, 1);
	wheel_fini(&model.wheel);
}

Test(wheel, overdue_items_come_with_the_next_tick)
{
	struct model model;
	model_init(&model, N_SLOTS, 100);
	model_add(&model, 1, 100);
	model_add(&model, 2, 3);
	cr_expect_eq(advance(&model, 100, NO_BUDGET), 0);
	cr_expect_eq(advance(&model, 101, NO_BUDGET), 2);
	wheel_fini(&model.wheel);
}

Test(wheel, keeps_items_of_later_rounds)
{
	struct model model;
	model_init(&model, N_SLOTS, 0);
	model_add(&model, 1, 3 * N_SLOTS + 5);
	for (uint32_t now = 1; now < 3 * N_SLOTS + 5; now++)
		advance(&model, now, NO_BUDGET);
	cr_expect_eq(model.items[1].n_visits, 0);
	advance(&model, 3 * N_SLOTS + 5, NO_BUDGET);
	cr_expect_eq(model.items[1].n_visits, 1);
	wheel_fini(&model.wheel);
}

Test(wheel, works_across_the_wrap_of_the_clock)
{
	struct model model;
	model_init(&model, N_SLOTS, UINT32_MAX - 3);
	model_add(&model, 1, UINT32_MAX);
	model_add(&model, 2, 2); // after the wrap
	cr_expect_eq(advance(&model, UINT32_MAX, NO_BUDGET), 1);
	cr_expect_eq(model.items[1].n_visits, 1);
	cr_expect_eq(advance(&model, 1, NO_BUDGET), 0);
	cr_expect_eq(advance(&model, 2, NO_BUDGET), 1);
	cr_expect_eq(model.items[2].n_visits, 1);
	wheel_fini(&model.wheel);
}

Test(wheel, says_how_long_there_is_nothing_to_look_at)
{
	enum { FAR = 8 };
	struct model model;
	model_init(&model, N_SLOTS, 100);
	cr_expect_eq(wheel_next(&model.wheel, FAR), FAR, "it is empty");
	model_add(&model, 1, 103);
	model_add(&model, 2, 106);
	cr_expect_eq(wheel_next(&model.wheel, FAR), 3);
	cr_expect_eq(wheel_next(&model.wheel, 2), 2, "no farther than it is asked");
	advance(&model, 102, NO_BUDGET);
	cr_expect_eq(wheel_next(&model.wheel, FAR), 1);
	advance(&model, 103, NO_BUDGET);
	cr_expect_eq(wheel_next(&model.wheel, FAR), 3);
	model_remove(&model, 2);
	cr_expect_eq(wheel_next(&model.wheel, FAR), FAR);
	wheel_fini(&model.wheel);
}

Test(wheel, has_something_to_look_at_while_work_is_left)
{
	struct model model;
	model_init(&model, N_SLOTS, 100);
	model_add(&model, 1, 101);
	model_add(&model, 2, 101);
	cr_expect_eq(advance(&model, 103, 1), 1);
	cr_expect_eq(wheel_next(&model.wheel, 8), 1);
	advance(&model, 103, NO_BUDGET);
	cr_expect_eq(wheel_next(&model.wheel, 8), 8);
	wheel_fini(&model.wheel);
}

Test(wheel, a_large_jump_visits_everything_and_a_step_back_nothing)
{
	struct model model;
	model_init(&model, 50, 0); // rounded up to 64
	cr_expect_eq(model.wheel.n_slots, 64);
	for (uint32_t i = 1; i <= N_ITEMS; i++)
		model_add(&model, i, i * 3);
	cr_expect_eq(advance(&model, 2000000000, NO_BUDGET), N_ITEMS);
	cr_expect_eq(count_overdue(&model), 0);
	model_add(&model, 1, 2000000001);
	cr_expect_eq(advance(&model, 1000000000, NO_BUDGET), 0);
	cr_expect_eq(model.wheel.now, 2000000000);
	cr_expect_eq(advance(&model, 2000000001, NO_BUDGET), 1);
	wheel_fini(&model.wheel);
}

Test(wheel, a_budget_splits_the_work_over_calls)
{
	struct model model;
	model_init(&model, N_SLOTS, 0);
	for (uint32_t i = 1; i <= 100; i++)
		model_add(&model, i, 1 + i % 3);
	cr_expect_eq(advance(&model, 10, 0), 0);
	for (uint32_t n = 0; n < 14; n++) {
		cr_expect_eq(advance(&model, 10, 7), 7);
		cr_expect_eq(count_overdue(&model), 100 - 7 * (n + 1));
	}
	cr_expect_eq(advance(&model, 10, 7), 2);
	cr_expect_eq(advance(&model, 10, 7), 0);
	wheel_fini(&model.wheel);
}

Test(wheel, the_item_a_paused_walk_stands_on_may_be_removed)
{
	struct model model;
	model_init(&model, N_SLOTS, 0);
	for (uint32_t i = 1; i <= 4; i++)
		model_add(&model, i, 5); // the slot holds 4 3 2 1
	cr_expect_eq(advance(&model, 5, 1), 1);
	cr_expect_eq(model.last_visited, 4);
	model_remove(&model, 3);
	model_add(&model, 4, 5 + N_SLOTS); // same slot, next round
	cr_expect_eq(advance(&model, 5, 1), 1);
	cr_expect_eq(model.last_visited, 2);
	model_remove(&model, 1);
	cr_expect_eq(advance(&model, 4 + N_SLOTS, 100), 1); // looks at 4, and keeps it
	cr_expect_eq(model.items[4].n_visits, 1);
	cr_expect_eq(advance(&model, 5 + N_SLOTS, 100), 1);
	cr_expect_eq(model.items[4].n_visits, 2);
	wheel_fini(&model.wheel);
}

static void random_step(struct model *model)
{
	uint32_t index = random_index();
	switch (rand() % 8) {
	case 0:
	case 1:
	case 2:
		if (!model->items[index].is_in)
			model_add(model, index, random_due(model));
		break;
	case 3:
		if (model->items[index].is_in)
			model_remove(model, index);
		break;
	case 4: // now and then further than a whole round
		advance(model, model->wheel.now + (uint32_t)rand() % (N_SLOTS * 3), 3);
		break;
	default:
		advance(model, model->wheel.now + (uint32_t)rand() % 3, (uint32_t)rand() % 20);
	}
}

Test(wheel, behaves_as_the_model_under_random_use)
{
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct model model;
		srand(seed);
		model_init(&model, N_SLOTS, UINT32_MAX - seed * 50); // wraps on the way
		for (int step = 0; step < 20000; step++) {
			model.is_disturbing = true;
			random_step(&model);
			if (step % 16 != 0)
				continue;
			// Catch up quietly: then nothing that is due may be left.
			model.is_disturbing = false;
			while (advance(&model, model.wheel.now, 50) == 50)
				;
			cr_assert_eq(count_overdue(&model), 0, "seed %u, step %d", seed, step);
		}
		wheel_fini(&model.wheel);
	}
}
