// SPDX-License-Identifier: Apache-2.0
// The keys of proxy mode and of DSR mode: what they take, what they are told when they are wrong,
// and what is refused in which mode.
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/check_mode.h"
#include "config/parse.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

// A frontend and its pool.
#define FRONT    "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
#define BACK     "[backends.w.servers.s]\naddr = '198.51.100.1:80'\n"
#define WEB      FRONT BACK
#define PATH_50  "/a23456789/b23456789/c23456789/d23456789/e23456789"
#define PATH_107 PATH_50 PATH_50 "/f23456"

struct finding {
	const char *text;
	unsigned line;
	unsigned column;
	const char *message; // NULL: nothing is wrong
};

static struct config *parse(const char *text, struct config_errors *errors)
{
	struct config *config = NULL;
	int code = config_parse(text, strlen(text), SYNTAX_TOML, "test", &config, errors);
	cr_expect_eq(code == 0, config != NULL);
	cr_expect_eq(code == 0, errors->count == 0);
	return config;
}

static struct config *parse_good(const char *text)
{
	struct config_errors errors = {0};
	struct config *config = parse(text, &errors);
	cr_assert_not_null(config, "%s\n%s", errors.count > 0 ? errors.list[0].message : "", text);
	return config;
}

static void expect_finding(const struct config_errors *errors, const struct finding *finding)
{
	size_t n_wanted = finding->message ? 1 : 0;
	cr_expect_eq(errors->count, n_wanted, "%zu findings, the last: %s\n%s", errors->count,
		     errors->count > 0 ? errors->list[errors->count - 1].message : "",
		     finding->text);
	if (errors->count == 0 || n_wanted == 0)
		return;
	const struct err *err = &errors->list[0];
	cr_expect_str_eq(err->message, finding->message, "got:    %s\nwanted: %s", err->message,
			 finding->message);
	cr_expect_eq(err->line, finding->line, "line %u: %s", err->line, finding->message);
	cr_expect_eq(err->column, finding->column, "column %u: %s", err->column, finding->message);
}

static void expect_load(const struct finding *findings, size_t n_findings)
{
	for (size_t i = 0; i < n_findings; i++) {
		struct config_errors errors = {0};
		config_destroy(parse(findings[i].text, &errors));
		expect_finding(&errors, &findings[i]);
		config_errors_fini(&errors);
	}
}

static void expect_mode(const struct finding *findings, size_t n_findings, enum mode mode)
{
	for (size_t i = 0; i < n_findings; i++) {
		struct config_errors errors = {0};
		struct config *config = parse_good(findings[i].text);
		int code = config_check_mode(config, mode, &errors);
		cr_expect_eq(code, findings[i].message ? -EINVAL : 0);
		expect_finding(&errors, &findings[i]);
		config_errors_fini(&errors);
		config_destroy(config);
	}
}

Test(config_modes, schedulers_have_names)
{
	static const struct {
		const char *name;
		enum scheduler_kind kind;
	} cases[] = {
		{"maglev", SCHEDULER_MAGLEV},
		{"round-robin", SCHEDULER_ROUND_ROBIN},
		{"weighted-round-robin", SCHEDULER_WEIGHTED_ROUND_ROBIN},
		{"least-connections", SCHEDULER_LEAST_CONNECTIONS},
		{"random", SCHEDULER_RANDOM_TWO},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		char text[256];
		snprintf(text, sizeof(text), BACK FRONT "scheduler = '%s'\n", cases[i].name);
		struct config *config = parse_good(text);
		cr_expect_eq(config->frontends[0].scheduler, cases[i].kind, "%s", cases[i].name);
		config_destroy(config);
	}
}

Test(config_modes, words_and_numbers_of_mss_clamp_and_method)
{
	static const struct {
		const char *text;
		enum dsr_method method;
		int mss_clamp;
	} cases[] = {
		{"[dsr]\n" WEB, DSR_NAT, MSS_CLAMP_AUTO},
		{"[dsr]\nmss_clamp = 'off'\n" WEB, DSR_NAT, MSS_CLAMP_OFF},
		{"[dsr]\nmethod = 'l2'\nmss_clamp = 'auto'\n" WEB, DSR_L2, MSS_CLAMP_AUTO},
		{"[dsr]\nmethod = 'ipip'\nmss_clamp = 88\n" WEB, DSR_IPIP, 88},
		{"[dsr]\nmethod = 'ipip'\nmss_clamp = 65495\n" WEB, DSR_IPIP, 65495},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct config *config = parse_good(cases[i].text);
		cr_expect_eq(config->dsr.method, cases[i].method, "%s", cases[i].text);
		cr_expect_eq(config->dsr.mss_clamp, cases[i].mss_clamp, "%s", cases[i].text);
		config_destroy(config);
	}
}

Test(config_modes, a_local_socket_is_a_path_and_no_endpoint)
{
	static const struct endpoint nowhere;
	struct config *config = parse_good(FRONT "[backends.w.servers]\n"
						 "a.addr = 'unix:" PATH_107 "'\n"
						 "b.addr = 'unix:@web'\n"
						 "c.addr = '198.51.100.1:80'\n");
	const struct config_backend *backends = config->pools[0].backends;
	char text[CONFIG_BACKEND_TEXT_MAX];
	cr_expect_eq(strlen(PATH_107), CONFIG_UNIX_PATH_MAX);
	cr_expect_str_eq(backends[0].unix_path, PATH_107);
	cr_expect_str_eq(config_backend_format(&backends[0], text), "unix:" PATH_107);
	cr_expect(endpoint_equal(&backends[0].endpoint, &nowhere));
	cr_expect_str_eq(backends[1].unix_path, "@web");
	cr_expect_null(backends[2].unix_path);
	cr_expect_eq(backends[2].endpoint.proto, IPPROTO_TCP);
	cr_expect_str_eq(config_backend_format(&backends[2], text), "198.51.100.1:80");
	config_destroy(config);
}

#define PROXY(text) "[proxy]\n" text "\n" WEB

static const struct finding wrong_proxy_values[] = {
	{PROXY("threads = 0"), 2, 11,
	 "threads: 0 is out of range; write \"auto\" or a whole number from 1 to 64"},
	{PROXY("connect_timeout = 0.009"), 2, 19,
	 "connect_timeout: 0.009 is out of range; write seconds from 0.01 to 3600, without quotes "
	 "or a unit"},
	{PROXY("client_timeout = 2592000.1"), 2, 18,
	 "client_timeout: 2592000.1 is out of range; write seconds from 0.1 to 2592000, without "
	 "quotes or a unit"},
	{PROXY("idle_timeout = 4294967.296"), 2, 16,
	 "idle_timeout: 4294967.296 is out of range; write seconds from 0.1 to 2592000, without "
	 "quotes or a unit"},
	{PROXY("header_timeout = 0"), 2, 18,
	 "header_timeout: 0 is out of range; write seconds from 0.1 to 3600, without quotes or a "
	 "unit"},
	{PROXY("drain_timeout = -1"), 2, 17,
	 "drain_timeout: -1 is out of range; write seconds from 0 to 86400, without quotes or a "
	 "unit"},
	{PROXY("retries = 17"), 2, 11,
	 "retries: 17 is out of range; write a whole number from 0 to 16"},
	{PROXY("max_connections = 10000001"), 2, 19,
	 "max_connections: 10000001 is out of range; write a whole number from 0 to 10000000"},
	{PROXY("on_full = 'drop'"), 2, 11,
	 "on_full: \"drop\" is not known; write \"wait\" or \"refuse\""},
	{PROXY("tcp_keepalive = 0.5"), 2, 17,
	 "tcp_keepalive: 0.5 is not whole; write a whole number from 0 to 32767"},
	{PROXY("splice = 1"), 2, 10,
	 "splice: 1 is neither true nor false; write true or false, without quotes"},
	{"[dsr]\nmss_clamp = 87\n" WEB, 2, 13,
	 "mss_clamp: 87 is out of range; write \"auto\", \"off\" or a whole number from 88 to "
	 "65495"},
	{"[dsr]\nmss_clamp = 1400\nmethod = 'l2'\n" WEB, 2, 13,
	 "mss_clamp: 1400 is for method \"ipip\", which makes packets longer, and not for \"l2\"; "
	 "take it out, or choose that method"},
	{"[dsr]\ncheck_source = '2001:db8::1'\n" WEB, 0, 0, NULL},
	{"[dsr]\ncheck_source = ['192.0.2.250', '2001:db8::1']\n" WEB, 0, 0, NULL},
	{"[dsr]\ncheck_source = ['192.0.2.250', '192.0.2.251']\n" WEB, 2, 32,
	 "check_source: 192.0.2.251 is of the same family as 192.0.2.250; write one address of "
	 "each family"},
	{"[dsr]\ncheck_source = ['192.0.2.250', 'ff02::1']\n" WEB, 2, 32,
	 "check_source: ff02::1 is no address that a client can have; write one of a network that "
	 "this host is in, which no host has"},
	{"[dsr]\ncheck_source = 'fe80::1'\n" WEB, 2, 16,
	 "check_source: fe80::1 is no address that a client can have; write one of a network that "
	 "this host is in, which no host has"},
	{"[dsr]\ncheck_source = '224.0.0.1'\n" WEB, 2, 16,
	 "check_source: 224.0.0.1 is no address that a client can have; write one of a network "
	 "that this host is in, which no host has"},
	{"[dsr]\ncheck_source = '10.0.0.0/24'\n" WEB, 2, 16,
	 "check_source: \"10.0.0.0/24\" is not an address; write an IPv4 or IPv6 address, for "
	 "example \"192.0.2.1\""},
	{"[dsr]\ncheck_source = '192.0.2.1'\n" WEB, 2, 16,
	 "check_source: 192.0.2.1 is the address of frontend \"w\" (line 4); write one that no "
	 "host has"},
	{"[dsr]\nmethod = 'gre'\n" WEB, 2, 10,
	 "method: \"gre\" is not known; write \"nat\", \"l2\" or \"ipip\""},
	{BACK FRONT "scheduler = 'rr'\n", 6, 13,
	 "scheduler: \"rr\" is not known; write \"maglev\", \"round-robin\", "
	 "\"weighted-round-robin\", \"least-connections\" or \"random\""},
	{BACK FRONT "scheduler = 'random'\nhash = 'source-ip'\n", 7, 8,
	 "hash: only the scheduler \"maglev\" picks by a hash; take it out, or choose that "
	 "scheduler"},
	{WEB "[backends.w]\nsend_proxy = 'v3'\n", 7, 14,
	 "send_proxy: \"v3\" is not known; write \"none\", \"v1\" or \"v2\""},
};

Test(config_modes, proxy_values_that_are_not_what_their_key_takes)
{
	expect_load(wrong_proxy_values, N_OF(wrong_proxy_values));
}

Test(config_modes, paths_of_local_sockets)
{
#define UNIX(text) FRONT "[backends.w.servers]\ns.addr = " text "\n"
#define FORMS      "; write \"unix:/PATH\", or \"unix:@NAME\" for an abstract one"
	static const struct finding findings[] = {
		{UNIX("'unix:'"), 5, 10, "addr: \"unix:\" is not the path of a socket" FORMS},
		{UNIX("'unix:/'"), 5, 10, "addr: \"unix:/\" is not the path of a socket" FORMS},
		{UNIX("'unix:@'"), 5, 10, "addr: \"unix:@\" is not the path of a socket" FORMS},
		{UNIX("'unix:run/web.sock'"), 5, 10,
		 "addr: \"unix:run/web.sock\" is not the path of a socket" FORMS},
		{UNIX("'/run/web.sock'"), 5, 10,
		 "addr: \"/run/web.sock\" is not an address; write \"unix:\" before the path of a "
		 "socket"},
		{UNIX("\"unix:/run/\\tweb\""), 5, 10,
		 "addr: \"unix:/run/\\x09web\" has a character that is not printable ASCII; write "
		 "a path of letters, digits and signs"},
		{UNIX("'unix:" PATH_107 "g'"), 5, 10,
		 "addr: \"unix:/a23456789/b23456789/c23456789/d23456789/e23456789/a23456789/"
		 "b23456789/...\" is longer than the kernel takes; write a path of at most 107 "
		 "bytes"},
		{UNIX("'unix:/a'\nt.addr = '198.51.100.1:80'\nu.addr = 'unix:/b'\n"
		      "v.addr = 'unix:/a'"),
		 8, 10,
		 "addr: unix:/a is already backend \"s\" of this pool (line 5); take one out, or "
		 "raise its weight"},
		{"[frontends.w]\nlisten_addr = 'unix:/a'\nbackend = 'w'\n" BACK, 2, 15,
		 "listen_addr: \"unix:/a\" is not an address; write ADDRESS:PORT, for example "
		 "\"192.0.2.10:80\" or \"[2001:db8::10]:80\""},
	};
	expect_load(findings, N_OF(findings));
}

Test(config_modes, networks_to_accept_a_header_from)
{
#define ACCEPT(text) BACK FRONT "accept_proxy = [" text "]\n"
#define NETWORK      "; write ADDRESS/BITS, for example \"10.0.0.0/8\" or \"2001:db8::/32\""
	static const struct finding findings[] = {
		{ACCEPT("'10.0.0.0/33'"), 6, 17,
		 "accept_proxy: \"10.0.0.0/33\" is not a network" NETWORK},
		{ACCEPT("'10.0.0.0/'"), 6, 17,
		 "accept_proxy: \"10.0.0.0/\" is not a network" NETWORK},
		{ACCEPT("'proxy'"), 6, 17, "accept_proxy: \"proxy\" is not a network" NETWORK},
		{ACCEPT("''"), 6, 17, "accept_proxy: \"\" is not a network" NETWORK},
		{ACCEPT("[]"), 6, 17, "accept_proxy: a list is not a network" NETWORK},
		{ACCEPT("'10.0.0.1/99999999999999999999'"), 6, 17,
		 "accept_proxy: \"10.0.0.1/99999999999999999999\" is not a network" NETWORK},
		{ACCEPT("'192.0.2.129/25'"), 6, 17,
		 "accept_proxy: \"192.0.2.129/25\" has bits set behind its prefix; write "
		 "\"192.0.2.128/25\", or the address alone"},
		{ACCEPT("'192.0.2.1/0'"), 6, 17,
		 "accept_proxy: \"192.0.2.1/0\" has bits set behind its prefix; write "
		 "\"0.0.0.0/0\", or the address alone"},
		{ACCEPT("'2001:db8::1/33'"), 6, 17,
		 "accept_proxy: \"2001:db8::1/33\" has bits set behind its prefix; write "
		 "\"2001:db8::/33\", or the address alone"},
		{ACCEPT("'10.0.0.1', '10.0.0.0/8',\n'::/0', '10.0.0.1/32'"), 7, 9,
		 "accept_proxy: 10.0.0.1/32 is already in line 6; take one out"},
		{BACK FRONT "accept_proxy = '10.0.0.0/8'\n", 6, 16,
		 "accept_proxy: this is a string; write a list, as in [\"...\"]"},
	};
	expect_load(findings, N_OF(findings));
}

Test(config_modes, addresses_to_connect_from)
{
#define SOURCES(text) "[proxy]\nsource_addrs = [" text "]\n"
#define SIX           "[backends.w.servers.six]\naddr = '[2001:db8::1]:80'\n"
	static const struct finding findings[] = {
		{SOURCES("'203.0.113.1', '2001:db8::2'") WEB SIX, 0, 0, NULL},
		{SOURCES("'0.0.0.0'") WEB, 2, 17,
		 "source_addrs: 0.0.0.0 is no source address; write addresses that this host has, "
		 "or leave source_addrs out"},
		{SOURCES("'ff02::1'") WEB SIX, 2, 17,
		 "source_addrs: ff02::1 is no source address; write addresses that this host has, "
		 "or leave source_addrs out"},
		{SOURCES("'203.0.113.1', '203.0.113.2',\n'203.0.113.1'") WEB, 3, 1,
		 "source_addrs: 203.0.113.1 is already in line 2; take one out"},
		{SOURCES("'203.0.113.1', '2001:db8::2'") WEB, 2, 32,
		 "source_addrs: 2001:db8::2 is IPv6, and no backend is reached over that; take it "
		 "out"},
		{SOURCES("'203.0.113.1'") UNIX("'unix:/run/web.sock'"), 2, 17,
		 "source_addrs: 203.0.113.1 is IPv4, and no backend is reached over that; take it "
		 "out"},
		// A backend whose address cannot be read may be of any family.
		{SOURCES("'2001:db8::2'") WEB "[backends.w.servers.t]\naddr = '[2001:db8::1]'\n", 9,
		 8,
		 "addr: \"[2001:db8::1]\" is not an address; write ADDRESS:PORT, for example "
		 "\"192.0.2.10:80\" or \"[2001:db8::10]:80\""},
	};
	expect_load(findings, N_OF(findings));
}

#define IN_MODE(key, mode)                                                                        \
	key " is for mode proxy, and mode " mode " would ignore it; take it out, or choose mode " \
	    "proxy"
#define ACCEPT_PROXY(mode) IN_MODE("accept_proxy of frontend \"w\"", mode)
#define MAX(mode)          IN_MODE("max_connections of frontend \"w\"", mode)
#define SEND_PROXY(mode)   IN_MODE("send_proxy of pool \"w\"", mode)
#define SOCKET(mode)                                                                    \
	"addr: unix:/run/web.sock of pool \"w\" is a local socket, to which mode " mode \
	" cannot send packets; write ADDRESS:PORT, or choose mode proxy"

Test(config_modes, packet_modes_refuse_what_only_proxy_mode_heeds)
{
	static const struct {
		const char *text;
		unsigned line;
		unsigned column;
		const char *messages[2];
	} cases[] = {
		{ACCEPT("'10.0.0.0/8'"), 6, 16, {ACCEPT_PROXY("passthrough"), ACCEPT_PROXY("dsr")}},
		{BACK FRONT "max_connections = 1\n", 6, 19, {MAX("passthrough"), MAX("dsr")}},
		{FRONT "[backends.w]\nsend_proxy = 'v1'\nservers.s.addr = '198.51.100.1:80'\n",
		 5,
		 14,
		 {SEND_PROXY("passthrough"), SEND_PROXY("dsr")}},
		{UNIX("'unix:/run/web.sock'"), 5, 10, {SOCKET("passthrough"), SOCKET("dsr")}},
		{ACCEPT("") "max_connections = 0\n[backends.w]\nsend_proxy = 'none'\n",
		 0,
		 0,
		 {NULL, NULL}},
		{PROXY("on_full = 'refuse'\nsource_addrs = ['203.0.113.1']"), 0, 0, {NULL, NULL}},
	};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct finding finding = {cases[i].text, cases[i].line, cases[i].column, NULL};
		expect_mode(&finding, 1, MODE_PROXY);
		finding.message = cases[i].messages[0];
		expect_mode(&finding, 1, MODE_PASSTHROUGH);
		finding.message = cases[i].messages[1];
		expect_mode(&finding, 1, MODE_DSR);
	}
}

Test(config_modes, proxy_mode_refuses_a_circle)
{
#define LISTEN(addr) "[frontends.w]\nlisten_addr = '" addr "'\nbackend = 'w'\n"
#define SERVE(addr)  "[backends.w.servers.s]\naddr = '" addr "'\n"
	static const struct finding findings[] = {
		{LISTEN("192.0.2.1:80") SERVE("192.0.2.1:80"), 5, 8,
		 "addr: 192.0.2.1:80 is where frontend \"w\" (line 2) listens itself; write the "
		 "address of a backend"},
		{LISTEN("0.0.0.0:80") SERVE("127.0.0.2:80"), 5, 8,
		 "addr: 127.0.0.2:80 is where frontend \"w\" (line 2) listens itself; write the "
		 "address of a backend"},
		{LISTEN("[::]:80") SERVE("[::1]:80"), 5, 8,
		 "addr: [::1]:80 is where frontend \"w\" (line 2) listens itself; write the "
		 "address of a backend"},
		{LISTEN("[::]:80") SERVE("127.0.0.1:80"), 0, 0, NULL},
		{LISTEN("0.0.0.0:80") SERVE("[::1]:80"), 0, 0, NULL},
		{LISTEN("0.0.0.0:80") SERVE("192.0.2.1:80"), 0, 0, NULL},
		{LISTEN("192.0.2.1:80") SERVE("192.0.2.1:81"), 0, 0, NULL},
		{LISTEN("192.0.2.1:80") SERVE("192.0.2.2:80"), 0, 0, NULL},
		{LISTEN("0.0.0.0:80") SERVE("unix:/run/web.sock"), 0, 0, NULL},
	};
	expect_mode(findings, N_OF(findings), MODE_PROXY);
}

Test(config_modes, dsr_leaves_ports_and_addresses_to_the_backend)
{
#define DSR(method) "dsr.method = '" method "'\n"
#define LEAVES(names)                                                                           \
	"and method \"" names "\" does not change the port of a packet; let the backend serve " \
	"port 80, or choose method \"nat\""
	static const struct finding findings[] = {
		{DSR("l2") LISTEN("192.0.2.1:80") SERVE("198.51.100.1:80"), 0, 0, NULL},
		{DSR("ipip") LISTEN("192.0.2.1:80") SERVE("198.51.100.1:80"), 0, 0, NULL},
		{DSR("nat") LISTEN("192.0.2.1:80") SERVE("198.51.100.1:8080"), 0, 0, NULL},
		{DSR("l2") LISTEN("192.0.2.1:80") SERVE("198.51.100.1:8080"), 6, 8,
		 "addr: 198.51.100.1:8080 has another port than frontend \"w\" (line 3), " LEAVES(
			 "l2")},
		{DSR("ipip") LISTEN("192.0.2.1:80") SERVE("198.51.100.1:8080"), 6, 8,
		 "addr: 198.51.100.1:8080 has another port than frontend \"w\" (line 3), " LEAVES(
			 "ipip")},
		{DSR("l2") LISTEN("192.0.2.1:80") SERVE("192.0.2.1:80"), 6, 8,
		 "addr: 192.0.2.1:80 has the virtual address of frontend \"w\" (line 3), and "
		 "method \"l2\" finds a backend by an address of its own; write that one"},
		{DSR("ipip") LISTEN("192.0.2.1:80") SERVE("192.0.2.1:8080"), 6, 8,
		 "addr: 192.0.2.1:8080 has the virtual address of frontend \"w\" (line 3), and "
		 "method \"ipip\" finds a backend by an address of its own; write that one"},
		{DSR("l2") LISTEN("192.0.2.1:80")
			 SERVE("198.51.100.1:80") "[frontends.x]\nlisten_addr = "
						  "'192.0.2.2:81'\nbackend = 'w'\n",
		 6, 8,
		 "addr: 198.51.100.1:80 has another port than frontend \"x\" (line 8), and method "
		 "\"l2\" does not change the port of a packet; let the backend serve port 81, or "
		 "choose method \"nat\""},
		{DSR("l2") LISTEN("192.0.2.1:80")
			 SERVE("198.51.100.1:80") "[frontends.x]\nlisten_addr = "
						  "'192.0.2.2:80'\nbackend = 'w'\n",
		 0, 0, NULL},
		{"dsr.method = 'l2'\npassthrough.nat_ports = '1024-65535'\n"
		 "passthrough.workers = 0\nfirewall.manage = false\n" WEB,
		 0, 0, NULL},
	};
	expect_mode(findings, N_OF(findings), MODE_DSR);
}

Test(config_modes, dsr_nat_gives_each_backend_endpoint_one_frontend)
{
#define OTHER(addr, pool) "[frontends.x]\nlisten_addr = '" addr "'\nbackend = '" pool "'\n"
#define POOL_X(addr)      "[backends.x.servers.s]\naddr = '" addr "'\n"
	static const struct finding findings[] = {
		{WEB OTHER("192.0.2.2:80", "w"), 7, 15,
		 "frontend \"x\" shares pool \"w\" with frontend \"w\" (line 2), and with method "
		 "\"nat\" a backend cannot tell for which of two it answers; write a pool with "
		 "other ports for one of them, or choose method \"l2\" or \"ipip\""},
		{WEB OTHER("192.0.2.2:80", "x") POOL_X("198.51.100.1:80"), 10, 8,
		 "addr: 198.51.100.1:80 serves frontend \"w\" already (line 5), and with method "
		 "\"nat\" a backend cannot tell for which of two it answers; give it another port "
		 "here, or choose method \"l2\" or \"ipip\""},
		{WEB OTHER("192.0.2.2:80", "x") POOL_X("198.51.100.1:81"), 0, 0, NULL},
		{WEB OTHER("192.0.2.2:80", "x") "protocol = 'udp'\n" POOL_X("198.51.100.1:80"), 0,
		 0, NULL},
		{WEB POOL_X("198.51.100.1:80"), 0, 0, NULL}, // which no frontend uses
	};
	expect_mode(findings, N_OF(findings), MODE_DSR);
}

Test(config_modes, dsr_with_require_ready_needs_a_source_to_check_from)
{
#define READY "[dsr]\nrequire_ready = true\n"
	static const struct finding findings[] = {
		{READY WEB, 0, 0,
		 "require_ready: there is no IPv4 check_source, so no backend of frontend \"w\" "
		 "could be checked and none would be used; write it in the section dsr: an address "
		 "of the clients' network that no host has"},
		{READY "check_source = '2001:db8::250'\n" WEB, 0, 0,
		 "require_ready: there is no IPv4 check_source, so no backend of frontend \"w\" "
		 "could be checked and none would be used; write it in the section dsr: an address "
		 "of the clients' network that no host has"},
		{READY "check_source = '192.0.2.250'\n" WEB, 0, 0, NULL},
		{WEB, 0, 0, NULL},
	};
	static const struct finding elsewhere = {READY WEB, 0, 0, NULL};
	expect_mode(findings, N_OF(findings), MODE_DSR);
	expect_mode(&elsewhere, 1, MODE_PASSTHROUGH);
}

Test(config_modes, a_panic_does_not_use_who_is_not_ready)
{
#define PANIC "[backends.w]\npanic_threshold = 50\n"
	static const struct finding findings[] = {
		{READY "check_source = '192.0.2.250'\n" PANIC WEB, 4, 11,
		 "panic_threshold of pool \"w\" would use backends that have not passed the "
		 "readiness check, and dsr.require_ready forbids that; take one of them out"},
		{PANIC WEB, 0, 0, NULL},
	};
	static const struct finding elsewhere = {READY PANIC WEB, 0, 0, NULL};
	expect_mode(findings, N_OF(findings), MODE_DSR);
	expect_mode(&elsewhere, 1, MODE_PASSTHROUGH);
}

Test(config_modes, mss_clamp_of_passthrough_is_not_for_dsr)
{
#define CLAMP "[passthrough]\nmss_clamp = "
#define ALONE                                                                                    \
	"mss_clamp: that of the section passthrough is for that mode alone, and mode dsr would " \
	"ignore it; take it out (the section dsr has a key of that name, for method \"ipip\")"
	static const struct finding findings[] = {
		{CLAMP "1300\n" WEB, 2, 13, ALONE},
		{CLAMP "'off'\n" WEB, 2, 13, ALONE},
		{CLAMP "'auto'\n" WEB, 0, 0, NULL},
	};
	static const struct finding elsewhere = {CLAMP "1300\n" WEB, 0, 0, NULL};
	expect_mode(findings, N_OF(findings), MODE_DSR);
	expect_mode(&elsewhere, 1, MODE_PASSTHROUGH);
}
