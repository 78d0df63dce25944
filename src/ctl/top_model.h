// SPDX-License-Identifier: Apache-2.0
// What `culvertctl top` shows: the latest answers of the API, and rates from how their counters
// have moved since those before. Without terminal and network.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// NAN: unknown.
struct top_numbers {
	double now; // connections
	double new_per_s;
	double in_per_s;  // bytes, from clients
	double out_per_s; // and back to them
};

struct top_row {
	const char *name;     // borrowed from the model's answers, as the next two
	const char *pool;     // of a server; a pool's own name
	const json_t *object; // what the API says of it; NULL: nothing more
	struct top_numbers numbers;
	size_t n_up; // of a pool: its servers that are up, removed ones left out
	size_t n_servers;
};

struct top_rows {
	struct top_row *list; // owned
	size_t count;
};

// What the API said, all at one time.
struct top_answers {
	json_t *status;
	json_t *frontends;
	json_t *backends;
};

// Zero-initialise; top_model_fini() leaves it empty.
struct top_model {
	struct top_answers answers; // owned
	uint64_t time_ns;           // when they came
	struct top_rows servers;    // in the order of the API
	struct top_rows pools;
	struct top_numbers total; // over all frontends
};

// Takes the answers over, in any case; lists that they lack are empty. False: memory was short, and
// the model is as it was.
bool top_model_update(struct top_model *model, const struct top_answers *answers, uint64_t now_ns);
void top_model_fini(struct top_model *model);

enum top_sort { TOP_BY_NAME, TOP_BY_NOW, TOP_BY_NEW, TOP_BY_IN, TOP_BY_OUT };

// Names from A to Z, numbers from the largest; `is_reversed` the other way round. What is unknown
// comes last.
void top_rows_sort(struct top_rows *rows, enum top_sort sort, bool is_reversed);
