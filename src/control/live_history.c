// SPDX-License-Identifier: Apache-2.0
#include "live_history.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/clock.h"

struct rates {
	float flows; // per second, as the next
	float bytes_rx;
	float bytes_tx;
	uint32_t current;
};

struct sample {
	int64_t time_ms;
	struct rates total;
	float packets; // per second, as the next
	float drops;
	struct rates frontends[LIVE_FRONTENDS];
};

// One frontend or backend: what its counters were, and what that made of the last second.
struct part {
	char *name; // owned
	struct traffic before;
	struct rates rates;
};

struct parts {
	struct part *items; // owned
	size_t n;
};

struct live_history {
	struct sample ring[LIVE_SAMPLES];
	size_t n;
	size_t next;
	bool has_before;
	uint64_t before_ns;
	uint64_t packets;
	uint64_t drops;
	struct part total;
	struct parts frontends;
	struct parts backends;
};

// ---- counting ----------------------------------------------------------------------------------

static float rate(uint64_t now, uint64_t before, double seconds)
{
	return (float)((double)(now < before ? now : now - before) / seconds);
}

static void part_take(struct part *part, const struct traffic *now, double seconds)
{
	const struct traffic *before = &part->before;
	part->rates = (struct rates){
		.flows = rate(now->total_connections, before->total_connections, seconds),
		.bytes_rx = rate(now->bytes_rx, before->bytes_rx, seconds),
		.bytes_tx = rate(now->bytes_tx, before->bytes_tx, seconds),
		.current = (uint32_t)now->current_connections,
	};
	part->before = *now;
}

static void parts_fini(struct parts *parts)
{
	for (size_t i = 0; i < parts->n; i++)
		free(parts->items[i].name);
	free(parts->items);
	*parts = (struct parts){0};
}

static int parts_resize(struct parts *parts, size_t n)
{
	if (n == parts->n)
		return 0;
	struct part *items = calloc(n ? n : 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	size_t n_kept = n < parts->n ? n : parts->n;
	if (n_kept)
		memcpy(items, parts->items, n_kept * sizeof(*items));
	for (size_t i = n_kept; i < parts->n; i++)
		free(parts->items[i].name);
	free(parts->items);
	parts->items = items;
	parts->n = n;
	return 0;
}

// If this place has been given to another, what is counted begins now. Without memory for the name
// it has none, is not told of, and tries again the next time.
static void part_rename(struct part *part, const struct live_part *reading)
{
	if (part->name && strcmp(part->name, reading->name) == 0)
		return;
	free(part->name);
	*part = (struct part){.name = strdup(reading->name), .before = reading->traffic};
}

static int parts_take(struct parts *parts, const struct live_part *readings, size_t n,
		      double seconds)
{
	int code = parts_resize(parts, n);
	for (size_t i = 0; !code && i < n; i++) {
		part_rename(&parts->items[i], &readings[i]);
		part_take(&parts->items[i], &readings[i].traffic, seconds);
	}
	return code;
}

// ---- the ring ----------------------------------------------------------------------------------

static void forget_frontend(struct live_history *history, size_t frontend)
{
	for (size_t i = 0; i < LIVE_SAMPLES; i++)
		history->ring[i].frontends[frontend] = (struct rates){0};
}

// The past of a place belongs to who was there.
static void forget_replaced(struct live_history *history, const struct live_reading *reading)
{
	for (size_t i = 0; i < history->frontends.n && i < LIVE_FRONTENDS; i++) {
		const char *name = history->frontends.items[i].name;
		if (i >= reading->n_frontends || !name ||
		    strcmp(name, reading->frontends[i].name) != 0)
			forget_frontend(history, i);
	}
}

static const struct sample *newest(const struct live_history *history)
{
	return &history->ring[(history->next + LIVE_SAMPLES - 1) % LIVE_SAMPLES];
}

static void push(struct live_history *history, const struct sample *sample)
{
	history->ring[history->next] = *sample;
	history->next = (history->next + 1) % LIVE_SAMPLES;
	if (history->n < LIVE_SAMPLES)
		history->n++;
}

static void push_reading(struct live_history *history, const struct live_reading *reading,
			 double seconds)
{
	struct sample sample = {
		.time_ms = reading->time_ms,
		.total = history->total.rates,
		.packets = rate(reading->packets, history->packets, seconds),
		.drops = rate(reading->drops, history->drops, seconds),
	};
	for (size_t i = 0; i < history->frontends.n && i < LIVE_FRONTENDS; i++)
		sample.frontends[i] = history->frontends.items[i].rates;
	push(history, &sample);
}

int live_history_create(struct live_history **history, struct err *err)
{
	struct live_history *created = calloc(1, sizeof(*created));
	if (!created)
		return err_set(err, -ENOMEM, "not enough memory for the history of rates");
	*history = created;
	return 0;
}

void live_history_destroy(struct live_history *history)
{
	if (!history)
		return;
	parts_fini(&history->frontends);
	parts_fini(&history->backends);
	free(history);
}

int live_history_add(struct live_history *history, const struct live_reading *reading)
{
	double seconds = (double)(reading->now_ns - history->before_ns) / (double)NS_PER_SEC;
	if (seconds <= 0)
		return 0;
	forget_replaced(history, reading);
	int code =
		parts_take(&history->frontends, reading->frontends, reading->n_frontends, seconds);
	if (!code)
		code = parts_take(&history->backends, reading->backends, reading->n_backends,
				  seconds);
	if (code)
		return code;
	part_take(&history->total, &reading->total, seconds);
	if (history->has_before)
		push_reading(history, reading, seconds);
	history->has_before = true;
	history->before_ns = reading->now_ns;
	history->packets = reading->packets;
	history->drops = reading->drops;
	return 0;
}

// The reading that follows comes about a second after the last of these, so its rates are right,
// however late it is by itself.
void live_history_rest(struct live_history *history, uint64_t now_ns, int64_t time_ms)
{
	uint64_t past_ns = now_ns - history->before_ns;
	uint64_t n_missed = (past_ns + NS_PER_SEC / 2) / NS_PER_SEC;
	if (!history->n || n_missed < 2)
		return;
	struct sample sample = *newest(history);
	uint64_t first = n_missed > LIVE_SAMPLES ? n_missed - LIVE_SAMPLES : 1;
	for (uint64_t i = first; i < n_missed; i++) {
		uint64_t ago_ns = past_ns - i * NS_PER_SEC;
		sample.time_ms = time_ms - (int64_t)(ago_ns / NS_PER_MS);
		push(history, &sample);
	}
	history->before_ns += (n_missed - 1) * NS_PER_SEC;
}

bool live_history_is_still(const struct live_history *history)
{
	const struct sample *sample = newest(history);
	const struct rates *total = &sample->total;
	return total->flows == 0 && total->bytes_rx == 0 && total->bytes_tx == 0 &&
	       sample->packets == 0 && sample->drops == 0;
}

size_t live_history_n(const struct live_history *history)
{
	return history->n;
}

// ---- telling -----------------------------------------------------------------------------------

static bool put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

// Tenths where they mean something.
static json_t *to_number(float rate_per_s)
{
	double tenths = round((double)rate_per_s * 10) / 10;
	if (tenths >= 100 || tenths == floor(tenths))
		return json_integer(llround((double)rate_per_s));
	return json_real(tenths);
}

static bool put_rates(json_t *object, const struct rates *rates)
{
	return put(object, "flows_per_s", to_number(rates->flows)) &&
	       put(object, "bytes_rx_per_s", to_number(rates->bytes_rx)) &&
	       put(object, "bytes_tx_per_s", to_number(rates->bytes_tx)) &&
	       put(object, "current", json_integer(rates->current));
}

static bool is_idle(const struct rates *rates)
{
	return rates->flows == 0 && rates->bytes_rx == 0 && rates->bytes_tx == 0 &&
	       rates->current == 0;
}

static bool put_part(json_t *object, const char *name, const struct rates *rates)
{
	if (!name || is_idle(rates))
		return true;
	json_t *part = json_object();
	bool is_good = put_rates(part, rates);
	return put(object, name, part) && is_good;
}

static json_t *sample_to_json(const struct live_history *history, const struct sample *sample)
{
	char time[CLOCK_WALL_TEXT_MAX];
	json_t *object = json_object();
	json_t *frontends = json_object();
	bool is_good = put(object, "time", json_string(clock_wall_format(sample->time_ms, time))) &&
		       put_rates(object, &sample->total) &&
		       put(object, "packets_per_s", to_number(sample->packets)) &&
		       put(object, "drops_per_s", to_number(sample->drops));
	for (size_t i = 0; is_good && i < history->frontends.n && i < LIVE_FRONTENDS; i++)
		is_good = put_part(frontends, history->frontends.items[i].name,
				   &sample->frontends[i]);
	if (put(object, "frontends", frontends) && is_good)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *all_parts_to_json(const struct parts *parts)
{
	json_t *object = json_object();
	bool is_good = object != NULL;
	for (size_t i = 0; is_good && i < parts->n; i++)
		is_good = put_part(object, parts->items[i].name, &parts->items[i].rates);
	if (is_good)
		return object;
	json_decref(object);
	return NULL;
}

static int by_bytes(const void *left, const void *right)
{
	const struct rates *a = &(*(const struct part *const *)left)->rates;
	const struct rates *b = &(*(const struct part *const *)right)->rates;
	float a_bytes = a->bytes_rx + a->bytes_tx;
	float b_bytes = b->bytes_rx + b->bytes_tx;
	return (a_bytes < b_bytes) - (a_bytes > b_bytes);
}

static json_t *busiest_to_json(const struct parts *parts)
{
	const struct part **sorted = calloc(parts->n, sizeof(const struct part *));
	json_t *object = json_object();
	bool is_good = sorted && object;
	for (size_t i = 0; is_good && i < parts->n; i++)
		sorted[i] = &parts->items[i];
	if (is_good)
		qsort(sorted, parts->n, sizeof(const struct part *), by_bytes);
	for (size_t i = 0; is_good && i < LIVE_BACKENDS_TOLD; i++)
		is_good = put_part(object, sorted[i]->name, &sorted[i]->rates);
	free(sorted);
	if (is_good)
		return object;
	json_decref(object);
	return NULL;
}

json_t *live_history_newest(const struct live_history *history)
{
	if (!history->n)
		return json_null();
	json_t *object = sample_to_json(history, newest(history));
	// All of the frontends now, not only those with a past.
	bool is_good = put(object, "frontends", all_parts_to_json(&history->frontends));
	const struct parts *backends = &history->backends;
	if (put(object, "backends",
		backends->n > LIVE_BACKENDS_TOLD ? busiest_to_json(backends)
						 : all_parts_to_json(backends)) &&
	    is_good)
		return object;
	json_decref(object);
	return NULL;
}

json_t *live_history_all(const struct live_history *history)
{
	json_t *array = json_array();
	size_t first = (history->next + LIVE_SAMPLES - history->n) % LIVE_SAMPLES;
	for (size_t i = 0; array && i < history->n; i++) {
		const struct sample *sample = &history->ring[(first + i) % LIVE_SAMPLES];
		if (json_array_append_new(array, sample_to_json(history, sample))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}
