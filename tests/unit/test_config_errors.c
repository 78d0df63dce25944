// SPDX-License-Identifier: Apache-2.0
// What a bad file is told: each case is a file with one thing wrong, and the one finding it gets.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse.h"

// A frontend and its pool, for cases that are about something else.
#define WEB                                                            \
	"[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n" \
	"[backends.w.servers.s]\naddr = '198.51.100.1:80'\n"
#define POOL     "[backends.w.servers.s]\naddr = '198.51.100.1:80'\n"
#define FRONTEND "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
#define WEB_YAML                                                      \
	"frontends: {w: {listen_addr: '192.0.2.1:80', backend: w}}\n" \
	"backends: {w: {servers: {s: {addr: '198.51.100.1:80'}}}}\n"

struct bad_file {
	const char *text;
	unsigned line;
	unsigned column;
	const char *message;
};

static void assert_refused(const struct bad_file *file, enum config_syntax syntax)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(file->text, strlen(file->text), syntax, "test", &config, &errors);
	cr_expect_lt(code, 0, "accepted:\n%s", file->text);
	cr_expect_null(config);
	cr_expect_eq(errors.count, 1, "%zu findings, the second: %s\n%s", errors.count,
		     errors.count > 1 ? errors.list[1].message : "", file->text);
	if (errors.count > 0) {
		cr_expect_str_eq(errors.list[0].message, file->message, "got:    %s\nwanted: %s",
				 errors.list[0].message, file->message);
		cr_expect_str_eq(errors.list[0].file, "test");
		cr_expect_eq(errors.list[0].line, file->line, "line %u, not %u: %s",
			     errors.list[0].line, file->line, file->message);
		cr_expect_eq(errors.list[0].column, file->column, "column %u, not %u: %s",
			     errors.list[0].column, file->column, file->message);
	}
	config_errors_fini(&errors);
	config_destroy(config);
}

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct bad_file wrong_values[] = {
	{"mode = 'dsrr'\n" WEB, 1, 8,
	 "mode: \"dsrr\" is not known; write \"proxy\", \"passthrough\" or \"dsr\""},
	{"mode = true\n" WEB, 1, 8,
	 "mode: true is not known; write \"proxy\", \"passthrough\" or \"dsr\""},
	{"mode = []\n" WEB, 1, 8,
	 "mode: a list is not known; write \"proxy\", \"passthrough\" or \"dsr\""},
	{"[stats]\nport = 65536\n" WEB, 2, 8,
	 "port: 65536 is out of range; write a whole number from 0 to 65535"},
	{"[stats]\nport = '65536'\n" WEB, 2, 8,
	 "port: \"65536\" is out of range; write a whole number from 0 to 65535"},
	{"[stats]\nport = 'http'\n" WEB, 2, 8,
	 "port: \"http\" is not a number; write a whole number from 0 to 65535"},
	{"[stats]\nport = true\n" WEB, 2, 8,
	 "port: true is not a number; write a whole number from 0 to 65535"},
	{"[stats]\nlisten_addr = '127.0.0.1:80'\n" WEB, 2, 15,
	 "listen_addr: \"127.0.0.1:80\" is not an address; write an IPv4 or IPv6 address, for "
	 "example \"192.0.2.1\""},
	{"[reload]\nmax_disruption = 1.5\n" WEB, 2, 18,
	 "max_disruption: 1.5 is not a share; write a number from 0 to 1, such as 0.25"},
	{"[reload]\nmax_disruption = 'all'\n" WEB, 2, 18,
	 "max_disruption: \"all\" is not a share; write a number from 0 to 1, such as 0.25"},
	{"[api]\nsocket = 'api.sock'\n" WEB, 2, 10,
	 "socket: \"api.sock\" is not a whole path; write \"off\" or a path that begins with "
	 "\"/\""},
	{"[api]\nsocket = false\n" WEB, 2, 10,
	 "socket: false is not a whole path; write \"off\" or a path that begins with \"/\""},
	{"[api]\nsocket = "
	 "'/"
	 "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
	 "90123456789012345678'\n" WEB,
	 2, 10,
	 "socket: "
	 "\"/012345678901234567890123456789012345678901234567890123456789012345678901234...\" is "
	 "too long; write a shorter one"},
	{"[stats]\ntoken = 'too-short'\n" WEB, 2, 9,
	 "token: this is no token; write 16 to 512 letters, digits and signs of -._~+/=, as "
	 "`openssl rand -hex 32` makes them"},
	{"[stats]\ntoken = '0123456789 abcdef'\n" WEB, 2, 9,
	 "token: this is no token; write 16 to 512 letters, digits and signs of -._~+/=, as "
	 "`openssl rand -hex 32` makes them"},
	{"[stats]\nport = 9000\nlisten_addr = '0.0.0.0'\n" WEB, 3, 15,
	 "listen_addr: 0.0.0.0 can be reached from other hosts; set a token (or token_file) that "
	 "they have to send, or listen on 127.0.0.1"},
	{"[stats]\nport = 9000\nlisten_addr = '2001:db8::1'\n" WEB, 3, 15,
	 "listen_addr: 2001:db8::1 can be reached from other hosts; set a token (or token_file) "
	 "that they have to send, or listen on 127.0.0.1"},
	{"[stats]\ntoken = '0123456789abcdef'\ntoken_file = '/etc/token'\n" WEB, 3, 14,
	 "token_file: there is a token already; take one of them out"},
	{"[stats]\ntoken_file = '/nonexistent/token'\n" WEB, 2, 14,
	 "token_file: cannot read /nonexistent/token: No such file or directory"},
	{"[stats]\ntoken_file = '/dev/null'\n" WEB, 2, 14,
	 "token_file: cannot read /dev/null: Invalid argument"},
	{"[stats]\ntoken_file = '/proc/self/comm'\n" WEB, 2, 14,
	 "token_file: /proc/self/comm holds something else; write 16 to 512 letters, digits and "
	 "signs of -._~+/=, as `openssl rand -hex 32` makes them"},
	{"[passthrough]\nworkers = 65\n" WEB, 2, 11,
	 "workers: 65 is out of range; write \"auto\" or a whole number from 0 to 64"},
	{"[passthrough]\nworkers = -1\n" WEB, 2, 11,
	 "workers: -1 is out of range; write \"auto\" or a whole number from 0 to 64"},
	{"[passthrough]\nworkers = '4'\n" WEB, 2, 11,
	 "workers: \"4\" is a string; write the number without quotes"},
	{"[passthrough]\nconnection_tracker_capacity = 0\n" WEB, 2, 31,
	 "connection_tracker_capacity: 0 is out of range; write a whole number from 1 to "
	 "268435456"},
	{"[passthrough]\nconnection_tracker_capacity = 9223372036854775807\n" WEB, 2, 31,
	 "connection_tracker_capacity: 9223372036854775807 is out of range; write a whole number "
	 "from 1 to 268435456"},
	{"[passthrough]\nstats_update_frequency = 0\n" WEB, 2, 26,
	 "stats_update_frequency: 0 is out of range; write seconds from 0.1 to 86400, without "
	 "quotes or a unit"},
	{"[passthrough]\nstats_update_frequency = '5s'\n" WEB, 2, 26,
	 "stats_update_frequency: \"5s\" is not a number; write seconds from 0.1 to 86400, without "
	 "quotes or a unit"},
	{"[passthrough]\nstats_update_frequency = nan\n" WEB, 2, 26,
	 "stats_update_frequency: \"nan\" is not a number; write seconds from 0.1 to 86400, "
	 "without quotes or a unit"},
	{"[timeouts]\nudp = 0\n" WEB, 2, 7,
	 "udp: 0 is out of range; write a whole number from 1 to 2592000"},
	{"[timeouts]\nudp = 1.5\n" WEB, 2, 7,
	 "udp: 1.5 is not whole; write a whole number from 1 to 2592000"},
	{"[timeouts]\nudp = 2000-01-02\n" WEB, 2, 7,
	 "udp: \"2000-01-02\" is not a number; write a whole number from 1 to 2592000"},
	{"[firewall]\nmanage = 'yes'\n" WEB, 2, 10,
	 "manage: \"yes\" is neither true nor false; write true or false, without quotes"},
	{"[firewall]\nmanage = 1\n" WEB, 2, 10,
	 "manage: 1 is neither true nor false; write true or false, without quotes"},
	{"[flow_log]\npath = 'flows.log'\n" WEB, 2, 8,
	 "path: \"flows.log\" is not a whole path; write a path that begins with \"/\""},
	{"[flow_log]\nformat = 'text'\n" WEB, 2, 10,
	 "format: \"text\" is not known; write \"logfmt\" or \"json\""},
	{"[service]\nuser = ''\n" WEB, 2, 8, "user: \"\" is not a name; write the name of a user"},
	{"[log]\nlevel = 'loud'\n" WEB, 2, 9,
	 "level: \"loud\" is not known; write \"error\", \"warn\", \"info\" or \"debug\""},
	{"[backends.w]\nrise = 0\n" WEB, 2, 8,
	 "rise: 0 is out of range; write a whole number from 1 to 1000"},
	{"[backends.w]\nhealth_check_interval = 3601\n" WEB, 2, 25,
	 "health_check_interval: 3601 is out of range; write seconds from 0.1 to 3600, without "
	 "quotes or a unit"},
};

Test(config_errors, values_that_are_not_what_their_key_takes)
{
	for (size_t i = 0; i < N_OF(wrong_values); i++)
		assert_refused(&wrong_values[i], SYNTAX_TOML);
}

// What TOML takes for a number, a time of day or nothing at all.
Test(config_errors, what_lacks_quotes_or_has_a_unit_is_told_so)
{
#define BARE(text)             "[a]\nx = " text "\n"
#define UNQUOTED(column, text) 2, column, text " stands without quotes; write \"" text "\""
	static const struct bad_file files[] = {
		{BARE("192.0.2.1:80"), UNQUOTED(5, "192.0.2.1:80")},
		{BARE("[::1]:80"), UNQUOTED(5, "[::1]:80")},
		{BARE("2001:db8::1 # why"), UNQUOTED(5, "2001:db8::1")},
		{BARE("10.0.0.0/8\r"), UNQUOTED(5, "10.0.0.0/8")},
		{BARE("[10.0.0.1, 10.0.0.2]"), UNQUOTED(6, "10.0.0.1")},
		{BARE("['10.0.0.1',10.0.0.2]"), UNQUOTED(17, "10.0.0.2")},
		{BARE("33768-61000"), UNQUOTED(5, "33768-61000")},
		{BARE("unix:/run/web.sock"), UNQUOTED(5, "unix:/run/web.sock")},
		{BARE("web"), UNQUOTED(5, "web")},
		{BARE("3s"), 2, 5, "3s has a unit; times are in seconds: write 3"},
		{BARE("500ms"), 2, 5, "500ms has a unit; times are in seconds: write 0.5"},
		{BARE("1.5m"), 2, 5, "1.5m has a unit; times are in seconds: write 90"},
		{BARE("Yes"), 2, 5,
		 "Yes is not TOML; write true, or \"Yes\" where a word is wanted"},
		// The parser's own words where nothing better is known.
		{BARE("1.2.3"), 2, 8,
		 "Error while parsing floating-point: expected decimal digit or exponent, saw "
		 "'.'"},
		{BARE("3 4"), 2, 7,
		 "Error while parsing key-value pair: expected a comment or whitespace, saw '4'"},
		{"[a]\na b = 4\n", 2, 3,
		 "Error while parsing key-value pair: expected '=', saw 'b'"},
		{"[a]\nx = ", 2, 5, "Error while parsing key-value pair: encountered end-of-file"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, a_string_that_nobody_closes_is_told_so)
{
#define LINE_ENDS "the line ends within a string; is a closing quote missing?"
	static const struct bad_file files[] = {
		{"[a]\nx = \"10.0.0.1:80\ny = 1\n", 2, 17, LINE_ENDS},
		{"[a]\nx = '10.0.0.1:80 # why\r\ny = 1\n", 2, 23, LINE_ENDS},
		{"[a]\nx = [\"b\", \"c]\n", 2, 14, LINE_ENDS},
		{"[a]\nx = \"b", 2, 7,
		 "the file ends within a string; is a closing quote missing?"},
		{"[a]\nx = \"b\001\"\n", 2, 7,
		 "Error while parsing string: unescaped control characters other than TAB (U+0009) "
		 "are explicitly prohibited"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

// Messages go into the log and into the status that the API tells.
Test(config_errors, what_the_parser_says_of_a_secret_does_not_quote_it)
{
#define NO_TOKEN                                                                             \
	"token: this is no token; write 16 to 512 letters, digits and signs of -._~+/=, as " \
	"`openssl rand -hex 32` makes them, between quotes"
	static const struct bad_file files[] = {
		{"[stats]\ntoken = a0123456789abcdef\n", 2, 9, NO_TOKEN},
		{"[stats]\n\"token\"=912345678901234567890123\n", 2, 9, NO_TOKEN},
		{"stats = {port = 9000, token = 0xdeadbeefdeadbeefz}\n", 1, 31, NO_TOKEN},
		{"stats.token = [2026-01-01-0123456789]\n", 1, 15, NO_TOKEN},
		{"[stats]\ntoken_file = /a\n", 2, 14, "/a stands without quotes; write \"/a\""},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, endpoints)
{
#define ENDPOINT(text) "[frontends.w]\nbackend = 'w'\nlisten_addr = " text "\n" POOL
#define EXAMPLES       "; write ADDRESS:PORT, for example \"192.0.2.10:80\" or \"[2001:db8::10]:80\""
	static const struct bad_file files[] = {
		{ENDPOINT("'10.0.0.300:80'"), 3, 15,
		 "listen_addr: \"10.0.0.300:80\" is not an address" EXAMPLES},
		{ENDPOINT("'localhost:80'"), 3, 15,
		 "listen_addr: \"localhost:80\" is not an address" EXAMPLES},
		{ENDPOINT("''"), 3, 15, "listen_addr: \"\" is not an address" EXAMPLES},
		{ENDPOINT("80"), 3, 15, "listen_addr: 80 is not an address" EXAMPLES},
		{ENDPOINT("{}"), 3, 15, "listen_addr: a table is not an address" EXAMPLES},
		{ENDPOINT("'192.0.2.1'"), 3, 15,
		 "listen_addr: \"192.0.2.1\" has no port; write ADDRESS:PORT"},
		{ENDPOINT("'2001:db8::1'"), 3, 15,
		 "listen_addr: \"2001:db8::1\" has no port; write [ADDRESS]:PORT"},
		{ENDPOINT("'192.0.2.1:0'"), 3, 15,
		 "listen_addr: \"192.0.2.1:0\" has a bad port; write a port from 1 to 65535 behind "
		 "the address"},
		{ENDPOINT("'192.0.2.1:65536'"), 3, 15,
		 "listen_addr: \"192.0.2.1:65536\" has a bad port; write a port from 1 to 65535 "
		 "behind the address"},
		{ENDPOINT("'[2001:db8::1]:http'"), 3, 15,
		 "listen_addr: \"[2001:db8::1]:http\" has a bad port; write a port from 1 to 65535 "
		 "behind the address"},
		{ENDPOINT("'224.0.0.1:80'"), 3, 15,
		 "listen_addr: 224.0.0.1:80 is a multicast or reserved address; write an address "
		 "of one host"},
		{FRONTEND "[backends.w.servers.s]\naddr = '0.0.0.0:80'\n", 5, 8,
		 "addr: nothing can be sent to 0.0.0.0:80; write the address of one host"},
		{FRONTEND "[backends.w.servers.s]\naddr = '[ff02::1]:80'\n", 5, 8,
		 "addr: nothing can be sent to [ff02::1]:80; write the address of one host"},
		{ENDPOINT("'[fe80::1]:80'"), 3, 15,
		 "listen_addr: [fe80::1]:80 is another host on each link; write an address that "
		 "its network routes"},
		{ENDPOINT("'[fe80::1%eth0]:80'"), 3, 15,
		 "listen_addr: \"[fe80::1%eth0]:80\" is not an address" EXAMPLES},
		{FRONTEND "[backends.w.servers.s]\naddr = '[febf::1]:80'\n", 5, 8,
		 "addr: [febf::1]:80 is another host on each link; write an address that its "
		 "network routes"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, keys_and_names)
{
	static const struct bad_file files[] = {
		{"mod = 'dsr'\n" WEB, 1, 1, "unknown key \"mod\"; did you mean \"mode\"?"},
		{"port = 80\n" WEB, 1, 1, "unknown key \"port\"; it belongs in the section stats"},
		{"[log]\ncolour = 'red'\n" WEB, 2, 1,
		 "unknown key \"colour\" in log; the keys here are level, format, output"},
		{WEB "wieght = 1\n", 6, 1,
		 "unknown key \"wieght\" in backends.w.servers.s; did you mean \"weight\"?"},
		{"\"a\\u0007\" = 1\n" WEB, 1, 1,
		 "unknown key \"a\\x07\"; the keys here are mode, frontends, backends, "
		 "proxy, passthrough, dsr, timeouts, firewall, reload, stats, api, log, flow_log, "
		 "service"},
		{"[frontends.w]\nbackend = 'w'\n" POOL, 1, 12,
		 "frontends.w has no listen_addr; add that key"},
		{"[frontends.w]\nlisten_addr = '192.0.2.1:80'\n" POOL, 1, 12,
		 "frontends.w has no backend; add that key"},
		{FRONTEND "[backends.w.servers.s]\nweight = 2\n", 4, 21,
		 "backends.w.servers.s has no addr; add that key"},
		{"stats = 80\n" WEB, 1, 9, "stats: this is a number; write a section with keys"},
		{"frontends = []\n" POOL, 1, 13,
		 "frontends: this is a list; write a table of names, one section for each"},
		{FRONTEND "[backends.w.servers]\ns = '198.51.100.1:80'\n", 5, 5,
		 "s: this is a string; write a section with keys"},
		{"[frontends.\"\"]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n" POOL, 1, 12,
		 "the name \"\" is empty; use 1 to 64 letters, digits and signs"},
		{"[frontends.\"a\\nb\"]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n" POOL, 1, 12,
		 "the name \"a\\x0ab\" has a character that is not printable ASCII; use 1 to 64 "
		 "letters, digits and signs"},
		{"[frontends.\"\\u0085\"]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n" POOL, 1,
		 12,
		 "the name \"\\xc2\\x85\" has a character that is not printable ASCII; use 1 to 64 "
		 "letters, digits and signs"},
		{"[frontends."
		 "a23456789b123456789c123456789d123456789e123456789f123456789g12345]\n"
		 "listen_addr = '192.0.2.1:80'\nbackend = 'w'\n" POOL,
		 1, 12,
		 "the name \"a23456789b123456789c123456789d123456789e123456789f123456789g12345\" "
		 "is too long; use 1 to 64 letters, digits and signs"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, frontends_and_pools)
{
#define PAIR(one, two) \
	"[frontends]\na = {backend = 'w', " one "}\nb = {backend = 'w', " two "}\n" POOL
	static const struct bad_file files[] = {
		{POOL, 1, 1,
		 "there are no frontends; add a section frontends.NAME with listen_addr and "
		 "backend"},
		{"[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'web'\n"
		 "[backends.wbe.servers.s]\naddr = '198.51.100.1:80'\n",
		 3, 11, "backend: there is no pool \"web\"; did you mean \"wbe\"?"},
		{FRONTEND, 3, 11,
		 "backend: there is no pool \"w\"; define it in a section backends.w"},
		{"[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = []\n" POOL, 3, 11,
		 "backend: a list is not a name; write the name of a table"},
		{PAIR("listen_addr = '192.0.2.1:80'", "listen_addr = '192.0.2.1:80'"), 3, 35,
		 "listen_addr: 192.0.2.1:80 (tcp) overlaps 192.0.2.1:80 of frontend \"a\" in line "
		 "2; give one of them another address or port"},
		{PAIR("listen_addr = '192.0.2.1:80'", "listen_addr = '0.0.0.0:80'"), 3, 35,
		 "listen_addr: 0.0.0.0:80 (tcp) overlaps 192.0.2.1:80 of frontend \"a\" in line 2; "
		 "give one of them another address or port"},
		{PAIR("listen_addr = '[::]:80'", "listen_addr = '[2001:db8::1]:80'"), 3, 35,
		 "listen_addr: [2001:db8::1]:80 (tcp) overlaps [::]:80 of frontend \"a\" in line "
		 "2; give one of them another address or port"},
		{PAIR("listen_addr = '192.0.2.1:80'",
		      "protocol = 'udp', listen_addr = '192.0.2.1:80'"),
		 3, 16,
		 "backend: pool \"w\" serves tcp for frontend \"a\" (line 2), so it cannot serve "
		 "udp here; define two pools, one for each protocol"},
		{FRONTEND "[backends.w]\n", 4, 11,
		 "pool \"w\" has no backends; add a section backends.w.servers.NAME with addr"},
		{WEB "[backends.w.servers.t]\naddr = '198.51.100.1:80'\n", 7, 8,
		 "addr: 198.51.100.1:80 is already backend \"s\" of this pool (line 5); take one "
		 "out, or raise its weight"},
		{"[backends.w]\nhealth_check_timeout = 4\n" WEB, 2, 24,
		 "health_check_timeout: 4 s is longer than the health_check_interval of 3 s; write "
		 "a shorter timeout or a longer interval"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, passthrough)
{
#define SECTION(text) "[passthrough]\n" text "\n" WEB
#define RANGE         "; write FIRST-LAST from 1024 to 65535, for example \"33768-61000\""
	static const struct bad_file files[] = {
		{SECTION("nat_ports = '1023-65535'"), 2, 13,
		 "nat_ports: \"1023-65535\" is out of range" RANGE},
		{SECTION("nat_ports = '2000-99999999999999999999'"), 2, 13,
		 "nat_ports: \"2000-99999999999999999999\" is out of range" RANGE},
		{SECTION("nat_ports = '5000-4000'"), 2, 13,
		 "nat_ports: \"5000-4000\" ends before it begins" RANGE},
		{SECTION("nat_ports = '4000-'"), 2, 13,
		 "nat_ports: \"4000-\" is not a range of ports" RANGE},
		{SECTION("nat_ports = 4000"), 2, 13,
		 "nat_ports: 4000 is not a range of ports" RANGE},
		{SECTION("workers = 3\nnat_ports = '4000-4001'"), 3, 13,
		 "nat_ports: 4000-4001 are fewer than the 3 workers, each of which needs ports of "
		 "its own; write a wider range"},
		{SECTION("maglev_table_size = 65536"), 2, 21,
		 "maglev_table_size: 65536 is not a prime; write 65537, the next that is"},
		{SECTION("maglev_table_size = 1"), 2, 21,
		 "maglev_table_size: 1 is out of range; write a whole number from 2 to 8388593"},
		{SECTION("maglev_table_size = 2") "[backends.w.servers]\nt.addr = "
						  "'198.51.100.2:80'\n",
		 2, 21,
		 "maglev_table_size: 2 has no room for the 2 backends of pool \"w\"; write a prime "
		 "above 100 times that number"},
		{SECTION("snat_addrs = '203.0.113.1'"), 2, 14,
		 "snat_addrs: this is a string; write a list, as in [\"...\"]"},
		{SECTION("snat_addrs = ['203.0.113.1',\n'203.0.113.1']"), 3, 1,
		 "snat_addrs: 203.0.113.1 is already in line 2; take one out"},
		{SECTION("snat_addrs = ['::']"), 2, 15,
		 "snat_addrs: :: is no source address; write addresses that this host has, or "
		 "leave snat_addrs out"},
		{SECTION("snat_addrs = ['fe80::1']"), 2, 15,
		 "snat_addrs: fe80::1 is no source address; write addresses that this host has, or "
		 "leave snat_addrs out"},
		{SECTION("snat_addrs = ['eth0']"), 2, 15,
		 "snat_addrs: \"eth0\" is not an address; write an IPv4 or IPv6 address, for "
		 "example \"192.0.2.1\""},
		{SECTION("interfaces = ['eth0', 'eth0']"), 2, 23,
		 "interfaces: \"eth0\" is already in line 2; take one out"},
		{SECTION("interfaces = ['sixteen_letters_']"), 2, 15,
		 "interfaces: \"sixteen_letters_\" is not the name of a network interface; write a "
		 "name that `ip link` lists"},
		{SECTION("interfaces = ['../x']"), 2, 15,
		 "interfaces: \"../x\" is not the name of a network interface; write a name that "
		 "`ip link` lists"},
		{SECTION("interfaces = ['a','b','c','d','e','f','g','h','i','j','k','l','m','n',"
			 "'o','p','q']"),
		 2, 79, "interfaces: more than 16; take some out"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, what_is_no_toml)
{
#define BEYOND "a letter beyond ASCII; such letters may stand in comments only"
	static const struct bad_file files[] = {
		{"", 0, 0, "the file is empty; config.example.toml shows what belongs in it"},
		{" \r\n\t\n", 0, 0,
		 "the file is empty; config.example.toml shows what belongs in it"},
		{"# nothing but a comment\n", 1, 1,
		 "there are no frontends; add a section frontends.NAME with listen_addr and "
		 "backend"},
		{"mode = 'dsr'\nmode = 'dsr'\n", 2, 8,
		 "Error while parsing key-value pair: cannot redefine existing string 'mode'"},
		{"a = 1\n[!]\n", 2, 1, "not TOML; look at the name or the value in this line"},
		{"a = 'x' # \xc3\xb6\nb = '''\n#\xc3\xb6", 3, 2, BEYOND},
		{"a = \"\" # \xc3\xb6\nb = \"x\\\"#\xc3\xb6\"\n", 2, 10, BEYOND},
		{"a = 1\n\xc3\xb6 = 1\n", 2, 1, BEYOND},
		{"a = \"\"\"x\\\"\"\"\"\"\nb = \xc3\xb6\n", 2, 5, BEYOND},
		{"x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x."
		 "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x = 1\n",
		 1, 130, "too many dots in one line; nest less"},
		{"a.a.a.a.a.a.a.a.a.a = 1\n", 1, 17, "nested too deeply for a configuration"},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_TOML);
}

Test(config_errors, what_is_no_yaml)
{
	static const struct bad_file files[] = {
		{"# nothing but a comment\n", 0, 0,
		 "the file says nothing; config.example.toml shows what belongs in a "
		 "configuration"},
		{"- a\n", 1, 1,
		 "the file is no table of sections; config.example.toml shows what belongs in a "
		 "configuration"},
		{"mode: 'dsr\n", 2, 1,
		 "while scanning a quoted scalar: found unexpected end of stream"},
		{"mode: dsr\n" WEB_YAML "mode: dsr\n", 4, 1,
		 "the key \"mode\" is already in line 1; keep one of them"},
		{WEB_YAML "frontends: {x: {}}\n", 3, 1,
		 "the key \"frontends\" is already in line 1; keep one of them"},
		{"stats: {port: 1,\n port: 2}\n" WEB_YAML, 2, 2,
		 "the key \"port\" is already in line 1; keep one of them"},
		{WEB_YAML "[a]: 1\n", 3, 1, "a list as a key; write a name"},
		{WEB_YAML "mode: \"a\\0b\"\n", 3, 7, "zero byte in a string; take it out"},
		{"a: 1\n---\na: 1\n", 2, 1, "a second document; one file holds one configuration"},
		{"a: [[[[[[[[[]]]]]]]]]\n", 1, 12, "nested too deeply for a configuration"},
		{"mode: *x\n", 1, 7, "found undefined alias"},
		{"mode:\n" WEB_YAML, 1, 6,
		 "mode has no value; write \"proxy\", \"passthrough\" or \"dsr\""},
		{"firewall: {manage: yes}\n" WEB_YAML, 1, 20,
		 "manage: \"yes\" is neither true nor false; write true or false, without quotes"},
		{"frontends:\nbackends: {w: {servers: {s: {addr: '198.51.100.1:80'}}}}\n", 1, 11,
		 "frontends: this is empty; write a table of names, one section for each"},
		{"log: {level: {}}\n" WEB_YAML, 1, 14,
		 "level: a table is not known; write \"error\", \"warn\", \"info\" or \"debug\""},
	};
	for (size_t i = 0; i < N_OF(files); i++)
		assert_refused(&files[i], SYNTAX_YAML);
}
