// SPDX-License-Identifier: Apache-2.0
// Timer wheel.
//
// An item with due tick t hangs in slot t mod n_slots. The number of slots is a power of two, so
// that the slots stay in step with the ticks when those wrap around. Each slot is a doubly linked
// list by index. A walk through a slot keeps its place in wheel.walk; removal of the item there
// moves it on, so visitors may remove what they like, and a walk may pause between two calls.
// Items added during a walk go to the front, behind its back: they are never due already.
#include "culvert/ds/wheel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static struct wheel_node *node_at(const struct wheel *wheel, uint32_t index)
{
	return (struct wheel_node *)(void *)(wheel->nodes + (size_t)index * wheel->stride);
}

static uint32_t *head_of(const struct wheel *wheel, uint32_t tick)
{
	return &wheel->heads[tick & (wheel->n_slots - 1)];
}

// Whether tick `a` comes after `b`; both within 2^31 of each other.
static bool is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

int wheel_init(struct wheel *wheel, uint32_t n_slots, void *nodes_base, size_t stride, uint32_t now)
{
	uint32_t rounded = 1;
	while (rounded < n_slots && rounded < UINT32_C(1) << 31)
		rounded <<= 1;
	uint32_t *heads = calloc(rounded, sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	*wheel = (struct wheel){.n_slots = rounded,
				.now = now,
				.done = now,
				.heads = heads,
				.nodes = nodes_base,
				.stride = stride};
	return 0;
}

void wheel_fini(struct wheel *wheel)
{
	free(wheel->heads);
	*wheel = (struct wheel){0};
}

void wheel_add(struct wheel *wheel, uint32_t index, uint32_t due)
{
	if (!is_after(due, wheel->now))
		due = wheel->now + 1;
	uint32_t *head = head_of(wheel, due);
	struct wheel_node *node = node_at(wheel, index);
	*node = (struct wheel_node){.next = *head, .prev = 0, .due = due};
	if (*head)
		node_at(wheel, *head)->prev = index;
	*head = index;
}

void wheel_remove(struct wheel *wheel, uint32_t index)
{
	struct wheel_node *node = node_at(wheel, index);
	if (node->prev)
		node_at(wheel, node->prev)->next = node->next;
	else
		*head_of(wheel, node->due) = node->next;
	if (node->next)
		node_at(wheel, node->next)->prev = node->prev;
	if (wheel->walk == index)
		wheel->walk = node->next;
}

uint32_t wheel_next(const struct wheel *wheel, uint32_t most)
{
	uint32_t ticks = 1;
	if (wheel->done != wheel->now)
		return ticks;
	while (ticks < most && !*head_of(wheel, wheel->now + ticks))
		ticks++;
	return ticks;
}

// Look at the items of one slot from wheel.walk on. Returns how many, at most `budget`.
static uint32_t walk_slot(struct wheel *wheel, wheel_visit_fn visit, void *arg, uint32_t budget)
{
	uint32_t n_seen = 0;
	while (wheel->walk && n_seen < budget) {
		uint32_t index = wheel->walk;
		n_seen++;
		if (is_after(node_at(wheel, index)->due, wheel->now)) {
			wheel->walk = node_at(wheel, index)->next; // a later round
			continue;
		}
		wheel_remove(wheel, index); // moves the walk on
		visit(arg, index);
	}
	return n_seen;
}

uint32_t wheel_advance(struct wheel *wheel, uint32_t now, wheel_visit_fn visit, void *arg,
		       uint32_t budget)
{
	if (is_after(now, wheel->now))
		wheel->now = now;
	if (wheel->now - wheel->done > wheel->n_slots) {
		// A whole round and more: each slot once is enough, and a paused walk starts over.
		wheel->done = wheel->now - wheel->n_slots;
		wheel->walk = 0;
	}

	uint32_t n_seen = 0;
	while (wheel->done != wheel->now && n_seen < budget) {
		if (!wheel->walk)
			wheel->walk = *head_of(wheel, wheel->done + 1);
		n_seen += walk_slot(wheel, visit, arg, budget - n_seen);
		if (!wheel->walk)
			wheel->done++;
	}
	return n_seen;
}
