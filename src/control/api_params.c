// SPDX-License-Identifier: Apache-2.0
#include "control/api_params.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api_view.h"
#include "culvert/base/suggest.h"

enum {
	CANDIDATES_MAX = 10,
	LIST_MAX = 512,
	NAME_MAX_BYTES = 2 * CONFIG_NAME_MAX_BYTES + 2, // POOL/SERVER
	NEAR_MAX = 1024, // backends that are compared, for that takes the control thread's time
};

static const struct stats no_stats;

static bool is_listed(const char *key, const char *const *keys)
{
	for (; *keys; keys++) {
		if (strcmp(key, *keys) == 0)
			return true;
	}
	return false;
}

// "a, b, c"
static const char *join(const char *const *keys, char *text)
{
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; keys[i] && used < LIST_MAX; i++)
		used += (size_t)snprintf(text + used, LIST_MAX - used, "%s%s", i ? ", " : "",
					 keys[i]);
	return text;
}

static void refuse_key(struct api_request *request, const char *key, const char *const *keys)
{
	char list[LIST_MAX];
	char hint[LIST_MAX + 32];
	snprintf(hint, sizeof(hint), "%s%s", *keys ? "there are: " : "there are none here",
		 join(keys, list));
	api_answer_error(request, 400, hint, "\"%s\" is not known", key);
}

bool api_params_known(struct api_request *request, const char *const *keys)
{
	const struct evkeyval *param;
	TAILQ_FOREACH (param, &request->params, next) {
		if (!is_listed(param->key, keys)) {
			refuse_key(request, param->key, keys);
			return false;
		}
	}
	return true;
}

bool api_body_known(struct api_request *request, const char *const *keys)
{
	const char *key;
	json_t *value;
	json_object_foreach (request->body, key, value) {
		if (!is_listed(key, keys)) {
			refuse_key(request, key, keys);
			return false;
		}
	}
	return true;
}

bool api_param_number(struct api_request *request, const char *key, uint32_t fallback, uint32_t min,
		      uint32_t max, uint32_t *number)
{
	const char *text = api_request_param(request, key);
	if (!text) {
		*number = fallback;
		return true;
	}
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && value >= min &&
	    value <= max) {
		*number = (uint32_t)value;
		return true;
	}
	api_answer_error(request, 400, NULL, "%s: \"%s\" is not a whole number from %u to %u", key,
			 text, min, max);
	return false;
}

// ---- names -------------------------------------------------------------------------------------

static bool is_called(const struct backend_view *view, const char *pool, const char *name)
{
	if (pool)
		return strcmp(view->pool->name, pool) == 0 && strcmp(view->config->name, name) == 0;
	if (strcmp(view->config->name, name) == 0)
		return true;
	size_t length = strlen(view->pool->name);
	return strncmp(view->pool->name, name, length) == 0 && name[length] == '/' &&
	       strcmp(view->config->name, name + length + 1) == 0;
}

struct candidates {
	uint32_t numbers[CANDIDATES_MAX];
	uint32_t n; // may be more than fit
};

static void find_candidates(struct candidates *found, const struct api_source *source,
			    const char *pool, const char *name, bool is_removed)
{
	struct backend_view view;
	found->n = 0;
	for (uint32_t i = 0; i < api_n_backends(source); i++) {
		if (!api_view_backend(source, &no_stats, i, &view) ||
		    view.is_removed != is_removed || !is_called(&view, pool, name))
			continue;
		if (found->n < CANDIDATES_MAX)
			found->numbers[found->n] = i;
		found->n++;
	}
}

static void refuse_ambiguous(struct api_request *request, const struct candidates *found,
			     const char *name)
{
	char hint[LIST_MAX] = "say which: ";
	struct backend_view view;
	for (uint32_t i = 0; i < found->n && i < CANDIDATES_MAX; i++) {
		size_t used = strlen(hint);
		api_view_backend(request->source, &no_stats, found->numbers[i], &view);
		snprintf(hint + used, sizeof(hint) - used, "%s%s/%s", i ? ", " : "",
			 view.pool->name, view.config->name);
	}
	api_answer_error(request, 409, hint, "%u servers are called \"%s\"", found->n, name);
}

// What was meant, by its full name if `wanted` is one. False: nothing is near.
static bool find_near(const struct api_source *source, const char *wanted, char *near)
{
	struct backend_view view;
	char name[NAME_MAX_BYTES];
	struct suggestion suggestion = {.wanted = wanted, .distance = SIZE_MAX};
	for (uint32_t i = 0; i < api_n_backends(source) && i < NEAR_MAX; i++) {
		size_t distance = suggestion.distance;
		if (!api_view_backend(source, &no_stats, i, &view) || view.is_removed)
			continue;
		snprintf(name, sizeof(name), "%s/%s", view.pool->name, view.config->name);
		suggest_offer(&suggestion, strchr(wanted, '/') ? name : view.config->name);
		if (suggestion.distance < distance)
			memcpy(near, name, strlen(name) + 1);
	}
	return suggestion.best != NULL;
}

static void refuse_unknown(struct api_request *request, const char *pool, const char *name)
{
	char wanted[NAME_MAX_BYTES];
	char near[NAME_MAX_BYTES];
	char hint[NAME_MAX_BYTES + 32];
	snprintf(wanted, sizeof(wanted), "%s%s%s", pool ? pool : "", pool ? "/" : "", name);
	if (find_near(request->source, wanted, near))
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	else
		snprintf(hint, sizeof(hint),
			 "GET /api/v1/backends lists the servers: `culvertctl servers'");
	api_answer_error(request, 404, hint, "there is no server \"%s\"", wanted);
}

bool api_find_backend(struct api_request *request, const char *pool, const char *name,
		      uint32_t *number)
{
	struct candidates found;
	find_candidates(&found, request->source, pool, name, false);
	if (found.n == 0) // one that the configuration has left out, and that still drains
		find_candidates(&found, request->source, pool, name, true);
	if (found.n == 1) {
		*number = found.numbers[0];
		return true;
	}
	if (found.n > 1)
		refuse_ambiguous(request, &found, name);
	else
		refuse_unknown(request, pool, name);
	return false;
}

bool api_find_frontend(struct api_request *request, const char *name, uint32_t *number)
{
	char hint[LIST_MAX] = "GET /api/v1/frontends lists the frontends";
	struct suggestion near = {.wanted = name};
	struct frontend_view view;
	for (uint32_t i = 0; i < api_n_frontends(request->source); i++) {
		if (!api_view_frontend(request->source, &no_stats, i, &view))
			continue;
		if (strcmp(view.config->name, name) == 0) {
			*number = i;
			return true;
		}
		if (i < NEAR_MAX)
			suggest_offer(&near, view.config->name);
	}
	if (near.best)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near.best);
	api_answer_error(request, 404, hint, "there is no frontend \"%s\"", name);
	return false;
}

void api_answer_lacking(struct api_request *request, const char *what)
{
	api_answer_error(request, 501, NULL, "%s mode has no %s",
			 mode_name(api_config(request->source)->mode), what);
}
