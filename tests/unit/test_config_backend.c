// SPDX-License-Identifier: Apache-2.0
// Backends by their running number over all pools, and as text.
#include <criterion/criterion.h>
#include <string.h>

#include "culvert/config/config.h"

static struct config_backend backends[5];
static struct config_pool pools[] = {
	{.backends = backends, .n_backends = 2},
	{.backends = backends + 2, .n_backends = 1},
	{.backends = NULL, .n_backends = 0},
	{.backends = backends + 3, .n_backends = 2},
};
static const struct config config = {.pools = pools, .n_pools = 4};

Test(config_backend, numbers_run_over_all_pools)
{
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(config_backend(&config, i), &backends[i], "number %zu", i);
}

static void expect_text(const struct config_backend *backend, const char *expected)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	cr_expect_eq(config_backend_format(backend, text), text);
	cr_expect_str_eq(text, expected);
}

Test(config_backend, the_text_is_that_of_the_file)
{
	static const char *const endpoints[] = {"198.51.100.11:80", "[2001:db8::1]:65535"};
	char path[] = "/run/web.sock";
	char name[] = "@web";
	for (int i = 0; i < 2; i++) {
		struct config_backend backend = {0};
		cr_assert(endpoint_parse(endpoints[i], &backend.endpoint));
		expect_text(&backend, endpoints[i]);
	}
	expect_text(&(struct config_backend){.unix_path = path}, "unix:/run/web.sock");
	expect_text(&(struct config_backend){.unix_path = name}, "unix:@web");
}

Test(config_backend, the_longest_path_fits)
{
	char path[CONFIG_UNIX_PATH_MAX + 1];
	char text[CONFIG_BACKEND_TEXT_MAX];
	memset(path, 'a', CONFIG_UNIX_PATH_MAX);
	path[CONFIG_UNIX_PATH_MAX] = '\0';
	config_backend_format(&(struct config_backend){.unix_path = path}, text);
	cr_expect_eq(strlen(text), CONFIG_BACKEND_TEXT_MAX - 1);
	cr_expect_str_eq(text + strlen("unix:"), path);
}

Test(config_backend, logs_call_it_by_pool_name_and_address)
{
	char text[CONFIG_BACKEND_LABEL_MAX];
	char pool_name[] = "web";
	char name[] = "b1";
	struct config_pool pool = {.name = pool_name};
	struct config_backend backend = {.name = name};
	cr_assert(endpoint_parse("198.51.100.11:80", &backend.endpoint));
	cr_expect_eq(config_backend_label(&pool, &backend, text), text);
	cr_expect_str_eq(text, "web/b1 (198.51.100.11:80)");
}

Test(config_backend, the_longest_names_fit)
{
	char name[CONFIG_NAME_MAX_BYTES + 1];
	char path[CONFIG_UNIX_PATH_MAX + 1];
	char text[CONFIG_BACKEND_LABEL_MAX];
	memset(name, 'n', CONFIG_NAME_MAX_BYTES);
	memset(path, 'a', CONFIG_UNIX_PATH_MAX);
	name[CONFIG_NAME_MAX_BYTES] = path[CONFIG_UNIX_PATH_MAX] = '\0';
	struct config_pool pool = {.name = name};
	config_backend_label(&pool, &(struct config_backend){.name = name, .unix_path = path},
			     text);
	cr_expect_eq(strlen(text), CONFIG_BACKEND_LABEL_MAX - 1);
	cr_expect_eq(text[strlen(text) - 1], ')');
}
