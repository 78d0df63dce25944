// SPDX-License-Identifier: Apache-2.0
#include "golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *golden_after(const char *line, const char *word)
{
	size_t len = strlen(word);
	if (strncmp(line, word, len) != 0 || (line[len] != '\0' && line[len] != ' '))
		return NULL;
	return line + len + strspn(line + len, " ");
}

// ---- the file ----------------------------------------------------------------------------------

static void add_line(struct golden_table *table, const char *text, unsigned number)
{
	text += strspn(text, " \t");
	size_t len = strcspn(text, "\n");
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (len == 0 || *text == '#')
		return;
	struct golden_line *lines =
		realloc(table->lines, (table->n_lines + 1) * sizeof(*table->lines));
	if (!lines)
		abort();
	table->lines = lines;
	lines[table->n_lines++] = (struct golden_line){strndup(text, len), number};
}

static void find_cases(struct golden_table *table)
{
	table->cases = calloc(table->n_lines + 1, sizeof(*table->cases));
	if (!table->cases)
		abort();
	table->n_setup = table->n_lines;
	for (size_t i = 0; i < table->n_lines; i++) {
		const char *name = golden_after(table->lines[i].text, "case");
		if (name) {
			table->n_setup = table->n_cases ? table->n_setup : i;
			table->cases[table->n_cases++] =
				(struct golden_case){name, &table->lines[i + 1], 0};
		} else if (table->n_cases) {
			table->cases[table->n_cases - 1].n_steps++;
		}
	}
}

const char *golden_read(struct golden_table *table, const char *path)
{
	*table = (struct golden_table){.path = path};
	FILE *file = fopen(path, "re");
	if (!file)
		return "cannot be opened";
	char *text = NULL;
	size_t size = 0;
	for (unsigned number = 1; getline(&text, &size, file) >= 0; number++)
		add_line(table, text, number);
	free(text);
	fclose(file);
	find_cases(table);
	return table->n_cases ? NULL : "has no cases";
}

void golden_free(struct golden_table *table)
{
	for (size_t i = 0; i < table->n_lines; i++)
		free(table->lines[i].text);
	free(table->lines);
	free(table->cases);
	*table = (struct golden_table){0};
}

// ---- the scene ---------------------------------------------------------------------------------

enum { MAX_WORDS = 8, WORD_MAX = ENDPOINT_TEXT_MAX };

struct words {
	char list[MAX_WORDS][WORD_MAX];
	int n;
};

static struct words split(const char *text)
{
	struct words words = {0};
	for (const char *at = text + strspn(text, " "); *at && words.n < MAX_WORDS;) {
		size_t len = strcspn(at, " ");
		snprintf(words.list[words.n++], WORD_MAX, "%.*s", (int)len, at);
		at += len;
		at += strspn(at, " ");
	}
	return words;
}

static bool word_is(const struct words *words, int i, const char *text)
{
	return i < words->n && strcmp(words->list[i], text) == 0;
}

static uint32_t number_at(const struct words *words, int i)
{
	return i < words->n ? (uint32_t)strtoul(words->list[i], NULL, 10) : 0;
}

static bool set_host(struct names *names, const char *name, const char *text)
{
	struct ip_addr addr;
	return ip_addr_parse(text, &addr) && names_bind_host(names, name, &addr);
}

// Replaces the name before the colon by its address.
static void expand(const struct names *names, const char *word, char *text, size_t size)
{
	char host[WORD_MAX];
	char host_text[IP_ADDR_TEXT_MAX];
	struct ip_addr addr;
	size_t len = strcspn(word, ":");
	snprintf(host, sizeof(host), "%.*s", (int)len, word);
	if (!names_find_host(names, host, &addr)) {
		snprintf(text, size, "%s", word);
		return;
	}
	bool is_bracketed = word[len] && !ip_addr_is_v4(&addr);
	snprintf(text, size, is_bracketed ? "[%s]%s" : "%s%s", ip_addr_format(&addr, host_text),
		 word + len);
}

static int pool_at(const struct scene *scene, const struct words *words, int i)
{
	for (size_t p = 0; p < scene->config->n_pools; p++) {
		if (word_is(words, i, scene->config->pools[p].name))
			return (int)p;
	}
	return -1;
}

static bool set_backend(struct scene *scene, struct names *names, const struct words *words)
{
	char endpoint[2 * WORD_MAX];
	int pool = pool_at(scene, words, 0);
	if (pool < 0 || words->n < 3)
		return false;
	expand(names, words->list[2], endpoint, sizeof(endpoint));
	uint16_t weight = word_is(words, 3, "weight") ? (uint16_t)number_at(words, 4) : 1;
	size_t id = scene_add_backend(scene, (size_t)pool, words->list[1], endpoint, weight);
	return names_bind_number(names, words->list[1], (uint32_t)id);
}

// `hash` and `scheduler` keep their values when the word says nothing about them.
static bool choose_by(const char *word, enum hash_kind *hash, enum scheduler_kind *scheduler)
{
	static const char *const schedulers[] = {
		[SCHEDULER_MAGLEV] = "maglev",
		[SCHEDULER_ROUND_ROBIN] = "round-robin",
		[SCHEDULER_WEIGHTED_ROUND_ROBIN] = "weighted-round-robin",
		[SCHEDULER_LEAST_CONNECTIONS] = "least-connections",
		[SCHEDULER_RANDOM_TWO] = "random",
	};
	if (strcmp(word, "source-ip") == 0) {
		*hash = HASH_SOURCE_IP;
		return true;
	}
	for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
		if (strcmp(word, schedulers[i]) == 0) {
			*scheduler = (enum scheduler_kind)i;
			return true;
		}
	}
	return false;
}

static bool set_frontend(struct scene *scene, const struct names *names, const struct words *words)
{
	char endpoint[2 * WORD_MAX];
	enum hash_kind hash = HASH_5_TUPLE;
	enum scheduler_kind scheduler = SCHEDULER_MAGLEV;
	int pool = pool_at(scene, words, 1);
	if (pool < 0)
		return false;
	for (int i = 2; i < words->n; i++) {
		if (!choose_by(words->list[i], &hash, &scheduler))
			return false;
	}
	expand(names, words->list[0], endpoint, sizeof(endpoint));
	scene_add_frontend(scene, endpoint, (size_t)pool, hash);
	scene->config->frontends[scene->config->n_frontends - 1].scheduler = scheduler;
	return true;
}

static bool set_pool(struct scene *scene, const struct words *words)
{
	if (words->n < 2)
		return false;
	uint8_t proto = word_is(words, 1, "udp") ? IPPROTO_UDP : IPPROTO_TCP;
	size_t pool = scene_add_pool(scene, words->list[0], proto);
	if (word_is(words, 2, "keep"))
		scene->config->pools[pool].on_backend_down = ON_DOWN_KEEP;
	return true;
}

static bool set_mode(struct config *config, const struct words *words)
{
	static const char *const methods[] = {
		[DSR_NAT] = "nat",
		[DSR_L2] = "l2",
		[DSR_IPIP] = "ipip",
	};
	if (!word_is(words, 0, "dsr"))
		return false;
	config->mode = MODE_DSR;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!word_is(words, 1, methods[i]))
			continue;
		config->dsr.method = (enum dsr_method)i;
		return true;
	}
	return false;
}

static bool set_own(struct scene *scene, unsigned link, const char *text)
{
	struct ip_addr addr;
	if (!ip_addr_parse(text, &addr))
		return false;
	*(ip_addr_is_v4(&addr) ? &scene->own_v4[link] : &scene->own_v6[link]) = addr;
	return true;
}

static bool set_one(struct scene *scene, struct names *names, const char *line)
{
	struct config_passthrough *passthrough = &scene->config->passthrough;
	char text[2 * WORD_MAX];
	const char *verb = line;
	struct words words = split(line + strcspn(line, " "));
	if (golden_after(verb, "host"))
		return words.n == 2 && set_host(names, words.list[0], words.list[1]);
	if (golden_after(verb, "pool"))
		return set_pool(scene, &words);
	if (golden_after(verb, "backend"))
		return set_backend(scene, names, &words);
	if (golden_after(verb, "frontend"))
		return set_frontend(scene, names, &words);
	if (golden_after(verb, "mode"))
		return set_mode(scene->config, &words);
	if (golden_after(verb, "mss")) {
		scene->config->dsr.mss_clamp = scene->config->passthrough.mss_clamp =
			word_is(&words, 0, "auto") ? MSS_CLAMP_AUTO : (int)number_at(&words, 0);
	} else if (golden_after(verb, "own")) {
		expand(names, words.list[1], text, sizeof(text));
		return set_own(scene, word_is(&words, 0, "front") ? 0 : 1, text);
	} else if (golden_after(verb, "unchecked")) {
		scene->is_unchecked = true;
	} else if (golden_after(verb, "snat")) {
		expand(names, words.list[0], text, sizeof(text));
		scene_add_snat(scene, text);
	} else if (golden_after(verb, "ports")) {
		passthrough->nat_port_min = (uint16_t)number_at(&words, 0);
		passthrough->nat_port_max = (uint16_t)number_at(&words, 1);
	} else if (golden_after(verb, "workers")) {
		passthrough->workers = (int)number_at(&words, 0);
	} else if (golden_after(verb, "capacity")) {
		passthrough->connection_tracker_capacity = number_at(&words, 0);
	} else if (golden_after(verb, "mtu")) {
		scene->mtus[word_is(&words, 0, "front") ? 0 : 1] = number_at(&words, 1);
	} else {
		return false;
	}
	return true;
}

unsigned golden_set_scene(const struct golden_table *table, struct scene *scene,
			  struct names *names)
{
	*names = (struct names){0};
	scene_init(scene, "10.2.0.1");
	set_host(names, "lb", "10.2.0.1");
	for (size_t i = 0; i < table->n_setup; i++) {
		if (!set_one(scene, names, table->lines[i].text))
			return table->lines[i].number;
	}
	scene_build(scene);
	return 0;
}
