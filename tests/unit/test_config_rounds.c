// SPDX-License-Identifier: Apache-2.0
// A file with errors is told those of its mode in the same round, and what is broken makes no
// others.
#include <criterion/criterion.h>
#include <string.h>

#include "config/parse.h"

#define FRONT "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
#define BACK  "[backends.w.servers.s]\naddr = '198.51.100.1:80'\n"

enum { ANY = -1, N_MODES = 3 }; // ANY: none is given

static const enum mode modes[N_MODES] = {MODE_PROXY, MODE_PASSTHROUGH, MODE_DSR};

static void parse(const char *content, int given, struct config_errors *errors)
{
	struct config *config = NULL;
	enum mode mode = given == ANY ? MODE_PROXY : (enum mode)given;
	const struct config_text text = {content, strlen(content), SYNTAX_TOML, "test"};
	int code = config_parse_for(&text, given == ANY ? NULL : &mode, &config, errors);
	cr_expect_eq(code == 0, config != NULL);
	cr_expect_eq(code == 0, errors->count == 0);
	config_destroy(config);
}

static bool is_told(const struct config_errors *errors, const char *word)
{
	for (size_t i = 0; i < errors->count; i++) {
		if (strstr(errors->list[i].message, word))
			return true;
	}
	return false;
}

Test(config_rounds, the_mode_is_looked_at_in_a_file_that_is_refused)
{
	static const char other_family[] =
		FRONT "[backends.w.servers.s]\naddr = '[2001:db8::1]:80'\nwait = 1\n";
	static const char udp[] = "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nprotocol = 'udp'\n"
				  "backend = 'w'\nwait = 1\n" BACK;
	static const char path[] =
		"mode = 'dsr'\n" FRONT "wait = 1\n[backends.w.servers.s]\naddr = 'unix:/run/s'\n";
	static const char wildcard[] = "[frontends.w]\nlisten_addr = '0.0.0.0:80'\nbackend = 'w'\n"
				       "max_connections = 7\nwait = 1\n" BACK;
	static const struct {
		const char *text;
		int mode;
		size_t n; // findings, the unknown key among them
		const char *word;
	} cases[] = {
		{other_family, MODE_PASSTHROUGH, 2, "does not translate between families"},
		{other_family, MODE_DSR, 2, "does not translate between families"},
		{other_family, MODE_PROXY, 1, "wait"},
		{other_family, ANY, 1, "wait"},
		{udp, MODE_PROXY, 2, "relays tcp only"},
		{udp, ANY, 2, "relays tcp only"}, // as it would run
		{udp, MODE_PASSTHROUGH, 1, "wait"},
		{path, ANY, 2, "is a local socket, to which mode dsr cannot"},
		{path, MODE_PASSTHROUGH, 2, "to which mode passthrough cannot"},
		{path, MODE_PROXY, 1, "wait"}, // what is given wins
		{wildcard, MODE_PASSTHROUGH, 3, "stands for every address"},
		{wildcard, MODE_PASSTHROUGH, 3, "is for mode proxy"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_errors errors = {0};
		parse(cases[i].text, cases[i].mode, &errors);
		cr_expect_eq(errors.count, cases[i].n, "%zu: %zu findings", i, errors.count);
		cr_expect(is_told(&errors, "unknown key \"wait\""), "%zu", i);
		cr_expect(is_told(&errors, cases[i].word), "%zu: %s", i, cases[i].word);
		config_errors_fini(&errors);
	}
}

// Each is one thing wrong, in every mode.
Test(config_rounds, what_is_broken_makes_no_other_findings)
{
	static const char *const texts[] = {
		"mode = 'dsrr'\n" FRONT BACK,
		"mode = []\n" FRONT BACK,
		"[frontends.w]\nlisten_addr = '192.0.2.1'\nbackend = 'w'\n" BACK,
		"[frontends.w]\nlisten_addr = '[2001:db8::1]:0'\nbackend = 'w'\n" BACK,
		"[frontends.w]\nbackend = 'w'\n" BACK,
		"[frontends.w]\nlisten_addr = '192.0.2.1:80'\n" BACK,
		"[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'v'\n" BACK,
		FRONT "[backends.w.servers.s]\naddr = '198.51.100.1'\n",
		FRONT "[backends.w.servers.s]\nweight = 2\n",
		FRONT "[backends.w.servers.s]\naddr = 'unix:'\n",
		FRONT BACK "[backends.w]\nsend_proxy = 'v3'\n",
		"[frontends.w]\nlisten_addr = '[2001:db8::1]:80'\nbackend = 'w'\n"
		"[backends.w.servers.s]\naddr = '[2001:db8::2]:80'\n"
		"[passthrough]\nsnat_addrs = ['192.0.2.3', 'nonsense']\n",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t m = 0; m < N_MODES; m++) {
			struct config_errors errors = {0};
			parse(texts[i], modes[m], &errors);
			cr_expect_eq(errors.count, 1, "%zu findings, the last: %s\n%s",
				     errors.count,
				     errors.count ? errors.list[errors.count - 1].message : "",
				     texts[i]);
			config_errors_fini(&errors);
		}
	}
}

// config_check_mode() says it, and more.
Test(config_rounds, a_good_file_is_not_looked_at_for_its_mode)
{
	struct config_errors errors = {0};
	parse(FRONT "[backends.w.servers.s]\naddr = '[2001:db8::1]:80'\n", MODE_DSR, &errors);
	cr_expect_eq(errors.count, 0);
	config_errors_fini(&errors);
}
