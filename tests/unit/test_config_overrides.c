// SPDX-License-Identifier: Apache-2.0
// The words of the command line: which are refused, and that they stand in place of the file's.
#include <criterion/criterion.h>
#include <string.h>

#include "config/parse.h"

static const char file[] = "mode = 'dsr'\n"
			   "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
			   "[backends.w.servers.a]\naddr = '198.51.100.1:80'\n"
			   "[dsr]\ncheck_source = '192.0.2.250'\n"
			   "[log]\nlevel = 'error'\n"
			   "[service]\nuser = 'before'\n";

static struct config *parse(void)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(file, strlen(file), SYNTAX_TOML, "test", &config, &errors);
	cr_assert_eq(code, 0, "%s", errors.count > 0 ? errors.list[0].message : "");
	return config;
}

static void expect_source(const struct config *config, const char *text)
{
	struct ip_addr wanted;
	cr_assert(ip_addr_parse(text, &wanted));
	const struct ip_addr *source = config_check_source(config, ip_addr_is_v4(&wanted));
	cr_assert_not_null(source, "%s", text);
	cr_expect(ip_addr_equal(source, &wanted), "%s", text);
}

Test(config_overrides, there_is_one_mode)
{
	struct config_overrides overrides = {0};
	cr_expect_null(config_overrides_set_mode(&overrides, MODE_PROXY));
	cr_expect_null(config_overrides_set_mode(&overrides, MODE_PROXY), "said twice");
	const char *problem = config_overrides_set_mode(&overrides, MODE_DSR);
	cr_assert_not_null(problem);
	cr_expect_not_null(strstr(problem, "one of --proxy"), "%s", problem);
	cr_expect_eq(overrides.mode, MODE_PROXY);
}

// An address that nobody can be asked from would silently be that of no check at all.
Test(config_overrides, a_check_source_is_an_address_that_a_client_can_have)
{
	static const struct {
		const char *text;
		const char *problem; // NULL: none
	} cases[] = {
		{"192.0.2.250", NULL},
		{"2001:db8::250", NULL},
		{"nobody", "takes an address"},
		{"", "takes an address"},
		{"192.0.2.250:80", "takes an address"},
		{"0.0.0.0", "a client can have"},
		{"127.0.0.1", "a client can have"},
		{"224.0.0.1", "a client can have"},
		{"255.255.255.255", "a client can have"},
		{"::", "a client can have"},
		{"::1", "a client can have"},
		{"fe80::1", "a client can have"},
		{"ff02::1", "a client can have"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_overrides overrides = {0};
		const char *problem = config_overrides_set_check_source(&overrides, cases[i].text);
		if (!cases[i].problem)
			cr_expect_null(problem, "%s: %s", cases[i].text, problem);
		else
			cr_expect(problem && strstr(problem, cases[i].problem), "%s: %s",
				  cases[i].text, problem ? problem : "taken");
	}
}

Test(config_overrides, stand_in_place_of_the_file)
{
	struct config_overrides overrides = {.has_log_level = true, .log_level = LOG_DEBUG};
	struct config *config = parse();
	overrides.user = "after";
	cr_assert_null(config_overrides_set_mode(&overrides, MODE_PASSTHROUGH));
	cr_assert_null(config_overrides_set_check_source(&overrides, "192.0.2.251"));
	cr_assert_null(config_overrides_set_check_source(&overrides, "2001:db8::250"));
	cr_assert_null(config_overrides_set_check_source(&overrides, "2001:db8::251"), "the last");
	cr_assert_eq(config_override(config, &overrides), 0);
	cr_expect_eq(config->mode, MODE_PASSTHROUGH);
	cr_expect_eq(config->log_level, LOG_DEBUG);
	cr_expect_str_eq(config->service_user, "after");
	cr_expect_eq(config->dsr.n_check_sources, 2);
	expect_source(config, "192.0.2.251");
	expect_source(config, "2001:db8::251");
	config_destroy(config);
}

Test(config_overrides, what_is_not_said_stays_as_the_file_says_it)
{
	static const struct config_overrides none;
	struct config *config = parse();
	cr_assert_eq(config_override(config, &none), 0);
	cr_expect_eq(config->mode, MODE_DSR);
	cr_expect_eq(config->log_level, LOG_ERROR);
	cr_expect_str_eq(config->service_user, "before");
	cr_expect_eq(config->dsr.n_check_sources, 1);
	expect_source(config, "192.0.2.250");
	config_destroy(config);
}
