// SPDX-License-Identifier: Apache-2.0
#include "scene_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDR_MAX = 64 };

static char *cut(char *text, char at)
{
	char *place = strchr(text, at);
	if (!place)
		return NULL;
	*place = '\0';
	return place + 1;
}

// "10.1.0.1>web"
static void add_frontend(struct scene *scene, char *word)
{
	char addr[ADDR_MAX];
	char *pool = cut(word, '>');
	size_t number = 0;
	while (strcmp(scene->config->pools[number].name, pool) != 0)
		number++;
	snprintf(addr, sizeof(addr), "%s:80", word);
	scene_add_frontend(scene, addr, number, HASH_5_TUPLE);
}

// "web=a:10.2.0.1,b:10.2.0.2*3"
static void add_pool(struct scene *scene, char *word)
{
	char *list = cut(word, '=');
	size_t pool = scene_add_pool(scene, word, IPPROTO_TCP);
	for (char *item; (item = strsep(&list, ","));) {
		char addr[ADDR_MAX];
		char *at = cut(item, ':');
		char *weight = cut(at, '*');
		snprintf(addr, sizeof(addr), "%s:80", at);
		scene_add_backend(scene, pool, item, addr,
				  weight ? (uint16_t)strtoul(weight, NULL, 10) : 1);
	}
}

void scene_add_words(struct scene *scene, const char *words)
{
	char *text = strdup(words);
	char *rest = text;
	if (!text)
		abort();
	for (char *word; (word = strsep(&rest, " "));) {
		if (word[0] == '@')
			add_frontend(scene, word + 1);
		else
			add_pool(scene, word);
	}
	free(text);
}
