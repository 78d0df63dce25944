// SPDX-License-Identifier: Apache-2.0
#include "picker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BEFORE = 3, POOL = 1 };

static void check(int code, const struct err *err)
{
	if (code == 0)
		return;
	fprintf(stderr, "picker: %s\n", err->message);
	abort();
}

static void add_backends(struct scene *scene, size_t pool, const uint16_t *weights, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.%zu.%u.%u:80", pool + 2, i / 200, i % 200 + 1);
		scene_add_backend(scene, pool, text, text, weights[i]);
	}
}

void picker_open(struct picker *picker, enum scheduler_kind kind, const uint16_t *weights,
		 uint32_t n, uint64_t seed)
{
	static const uint16_t weights_before[N_BEFORE] = {1, 1, 1};
	*picker = (struct picker){.n = n};
	struct scene *scene = &picker->scene;
	scene_init(scene, "10.2.0.1");
	scene->config->passthrough.maglev_table_size = kind == SCHEDULER_MAGLEV ? 65537 : 1009;
	add_backends(scene, scene_add_pool(scene, "before", IPPROTO_TCP), weights_before, N_BEFORE);
	add_backends(scene, scene_add_pool(scene, "pool", IPPROTO_TCP), weights, n);
	scene_build(scene);
	picker->snapshot = scene_snapshot(scene);
	picker_renew(picker, kind, seed);
}

void picker_renew(struct picker *picker, enum scheduler_kind kind, uint64_t seed)
{
	struct err err = {0};
	scheduler_destroy(picker->scheduler);
	check(scheduler_create(&picker->scheduler, kind, picker->n, seed, &err), &err);
}

void picker_close(struct picker *picker)
{
	scheduler_destroy(picker->scheduler);
	snapshot_destroy(picker->snapshot);
	scene_fini(&picker->scene);
}

static void renew_snapshot(struct picker *picker)
{
	snapshot_destroy(picker->snapshot);
	picker->snapshot = scene_snapshot(&picker->scene);
}

void picker_set_up(struct picker *picker, uint32_t place, bool is_up)
{
	registry_set_up(picker->scene.registry, N_BEFORE + place, is_up);
	renew_snapshot(picker);
}

void picker_set_all_up(struct picker *picker, bool is_up)
{
	for (uint32_t i = 0; i < picker->n; i++)
		registry_set_up(picker->scene.registry, N_BEFORE + i, is_up);
	renew_snapshot(picker);
}

static uint64_t load_of(const void *arg, uint32_t backend)
{
	// A constant pointer to a picker that is not: it counts.
	struct picker *picker = *(struct picker *const *)arg;
	if (backend < N_BEFORE || backend >= N_BEFORE + picker->n)
		abort();
	picker->n_asked++;
	return picker->loads[backend - N_BEFORE];
}

int32_t picker_pick_besides(struct picker *picker, uint32_t hash, const uint16_t *tried,
			    uint32_t n_tried)
{
	uint16_t backends[PICKER_MAX];
	for (uint32_t i = 0; i < n_tried; i++)
		backends[i] = (uint16_t)(tried[i] + N_BEFORE);
	struct scheduler_pick pick = {
		.snapshot = picker->snapshot,
		.pool = POOL,
		.hash = hash,
		.load = load_of,
		.load_arg = &picker,
		.tried = n_tried ? backends : NULL,
		.n_tried = n_tried,
	};
	int32_t backend = scheduler_pick(picker->scheduler, &pick);
	if (backend == SCHEDULER_NO_BACKEND)
		return backend;
	if (backend < N_BEFORE || backend >= N_BEFORE + (int32_t)picker->n)
		abort();
	return backend - N_BEFORE;
}

int32_t picker_pick(struct picker *picker, uint32_t hash)
{
	return picker_pick_besides(picker, hash, NULL, 0);
}

void picker_count(struct picker *picker, uint32_t n, uint32_t *counts)
{
	memset(counts, 0, picker->n * sizeof(*counts));
	for (uint32_t i = 0; i < n; i++) {
		int32_t place = picker_pick(picker, i * UINT32_C(2654435769));
		if (place != SCHEDULER_NO_BACKEND)
			counts[place]++;
	}
}

double picker_chi_square(const uint32_t *counts, const uint16_t *weights, uint32_t n)
{
	double n_counted = 0;
	double weight = 0;
	double sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		n_counted += counts[i];
		weight += weights[i];
	}
	for (uint32_t i = 0; i < n; i++) {
		double expected = n_counted * weights[i] / weight;
		double off = counts[i] - expected;
		if (weights[i] == 0 && counts[i])
			return INFINITY;
		sum += weights[i] ? off * off / expected : 0;
	}
	return sum;
}
