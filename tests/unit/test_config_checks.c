// SPDX-License-Identifier: Apache-2.0
// What depends on the mode and on the ports of this host, and what the order, number and size of
// findings and files do.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/check_mode.h"
#include "config/parse.h"
#include "culvert/base/suggest.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct config *parse(const char *text)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, strlen(text), SYNTAX_TOML, "test", &config, &errors);
	cr_assert_eq(code, 0, "%s", errors.count > 0 ? errors.list[0].message : "");
	return config;
}

static void assert_finding(const struct config_errors *errors, size_t index, unsigned line,
			   unsigned column, const char *message)
{
	cr_assert_lt(index, errors->count, "missing: %s", message);
	const struct err *err = &errors->list[index];
	cr_expect_str_eq(err->message, message, "got:    %s\nwanted: %s", err->message, message);
	cr_expect_eq(err->line, line, "line %u: %s", err->line, message);
	cr_expect_eq(err->column, column, "column %u: %s", err->column, message);
}

static void assert_mode(const char *text, enum mode mode, unsigned line, unsigned column,
			const char *message)
{
	struct config *config = parse(text);
	struct config_errors errors = {0};
	int code = config_check_mode(config, mode, &errors);
	cr_expect_eq(code, message ? -EINVAL : 0);
	cr_expect_eq(errors.count, message ? 1 : 0, "%zu findings: %s", errors.count,
		     errors.count > 0 ? errors.list[0].message : "");
	if (message)
		assert_finding(&errors, 0, line, column, message);
	config_errors_fini(&errors);
	config_destroy(config);
}

#define FRONTEND(addr) "[frontends.w]\nbackend = 'w'\nlisten_addr = '" addr "'\n"
#define BACKEND(addr)  "[backends.w.servers.s]\naddr = '" addr "'\n"

Test(config_mode, wildcard_frontends_are_for_proxy_alone)
{
	static const char text[] = FRONTEND("0.0.0.0:80") BACKEND("198.51.100.1:80");
	assert_mode(text, MODE_PROXY, 0, 0, NULL);
	assert_mode(text, MODE_PASSTHROUGH, 3, 15,
		    "listen_addr: 0.0.0.0:80 stands for every address, and mode passthrough would "
		    "capture what this host itself sends and receives; write the virtual address "
		    "that clients connect to, for example \"192.0.2.10:80\"");
	assert_mode(text, MODE_DSR, 3, 15,
		    "listen_addr: 0.0.0.0:80 stands for every address, and mode dsr would "
		    "capture what this host itself sends and receives; write the virtual address "
		    "that clients connect to, for example \"192.0.2.10:80\"");
}

Test(config_mode, ipv6_is_for_proxy_alone)
{
	static const char front[] = FRONTEND("[2001:db8::1]:80") BACKEND("198.51.100.1:80");
	static const char back[] = FRONTEND("192.0.2.1:80") BACKEND("[2001:db8::1]:80");
	static const char snat[] = FRONTEND("192.0.2.1:80")
		BACKEND("198.51.100.1:80") "[passthrough]\nsnat_addrs = ['2001:db8::1']\n";
	assert_mode(front, MODE_PROXY, 0, 0, NULL);
	assert_mode(back, MODE_PROXY, 0, 0, NULL);
	assert_mode(front, MODE_PASSTHROUGH, 3, 15,
		    "frontend \"w\" listens at [2001:db8::1]:80, and addr 198.51.100.1:80 of its "
		    "pool \"w\" (line 5) is IPv4: mode passthrough does not translate between "
		    "families; give each family a frontend and a pool of its own, or choose mode "
		    "proxy");
	assert_mode(back, MODE_DSR, 3, 15,
		    "frontend \"w\" listens at 192.0.2.1:80, and addr [2001:db8::1]:80 of its pool "
		    "\"w\" (line 5) is IPv6: mode dsr does not translate between families; give "
		    "each family a frontend and a pool of its own, or choose mode proxy");
	assert_mode(snat, MODE_PASSTHROUGH, 3, 15,
		    "frontend \"w\" listens at 192.0.2.1:80, and snat_addrs has no IPv4 address to "
		    "speak to its backends from; add one");
	assert_mode(snat, MODE_DSR, 0, 0, NULL);
}

Test(config_mode, udp_frontends_are_for_the_packet_modes_alone)
{
	static const char text[] =
		FRONTEND("192.0.2.1:53") "protocol = 'udp'\n" BACKEND("198.51.100.1:53");
	assert_mode(text, MODE_PASSTHROUGH, 0, 0, NULL);
	assert_mode(text, MODE_DSR, 0, 0, NULL);
	assert_mode(
		text, MODE_PROXY, 3, 15,
		"frontend \"w\" is udp, and mode proxy relays tcp only; choose mode passthrough "
		"or dsr, or take the frontend out");
}

Test(config_mode, nat_ports_are_checked_when_nobody_else_keeps_them)
{
	// Port 1024 is in no host's range of local ports that leaves the default alone.
	static const char text[] = FRONTEND("192.0.2.1:80")
		BACKEND("198.51.100.1:80") "[passthrough]\nworkers = 0\nnat_ports = '1024-1024'\n"
					   "[firewall]\nmanage = false\n";
	struct local_ports ports;
	struct err err = {0};
	cr_assert_eq(local_ports_read(&ports, &err), 0, "%s", err.message);
	if (ports.min <= 1024)
		cr_skip_test("the range of local ports of this host begins at %u", ports.min);
	assert_mode(text, MODE_PASSTHROUGH, 0, 0, NULL);
}

Test(config_mode, nat_ports_among_local_ports_are_told_how_to_be_reserved)
{
	static const struct {
		const char *range;
		const char *reserved;
		const char *message;
	} hosts[] = {
		{"32768\t60999\n", "\n",
		 "nat_ports: 40000-50000 overlap 32768-60999, from which this host takes the ports "
		 "of its own connections (net.ipv4.ip_local_port_range), and nothing reserves "
		 "them; run `sysctl -w net.ipv4.ip_local_reserved_ports=\"40000-50000\"`, or let "
		 "culvert do so by manage = true in the section firewall"},
		{"50000\t50000\n", "8080,40000-49999\n",
		 "nat_ports: 40000-50000 overlap 50000-50000, from which this host takes the ports "
		 "of its own connections (net.ipv4.ip_local_port_range), and nothing reserves "
		 "them; run `sysctl -w net.ipv4.ip_local_reserved_ports=\"$(sysctl -n "
		 "net.ipv4.ip_local_reserved_ports),40000-50000\"`, or let culvert do so by manage "
		 "= true in the section firewall"},
		{"32768\t60999\n", "8080,40000-50000\n", NULL},
		{"50001\t60999\n", "\n", NULL},
		{"32768\t39999\n", "", NULL},
	};
	struct config *config = parse(FRONTEND("192.0.2.1:80") BACKEND("198.51.100.1:80") //
				      "[passthrough]\nnat_ports = '40000-50000'\n");
	for (size_t i = 0; i < N_OF(hosts); i++) {
		struct local_ports ports;
		struct config_errors errors = {0};
		struct report report = {.errors = &errors, .path = "test"};
		cr_assert_eq(local_ports_parse(&ports, hosts[i].range, hosts[i].reserved, NULL), 0);
		check_mode_nat_ports(config, &ports, &report);
		cr_expect_eq(errors.count, hosts[i].message ? 1 : 0);
		if (hosts[i].message)
			assert_finding(&errors, 0, 7, 13, hosts[i].message);
		config_errors_fini(&errors);
	}
	config_destroy(config);
}

Test(config_mode, nat_ports_leave_this_host_ports_of_its_own)
{
	static const struct {
		const char *range;
		const char *reserved;
		const char *message; // NULL: enough is left
	} hosts[] = {
		{"39000\t60999\n", "\n", NULL},
		{"32768\t60999\n", "40000-50000\n", NULL},
		{"40000\t50000\n", "\n",
		 "nat_ports: 40000-50000 leave this host 0 ports for connections of its own, "
		 "health checks among them; it needs 256 at least: take fewer of 40000-50000 "
		 "(net.ipv4.ip_local_port_range), or widen that range, as by `sysctl -w "
		 "net.ipv4.ip_local_port_range=\"10240 65535\"`"},
		{"39900\t50155\n", "50001-50155\n",
		 "nat_ports: 40000-50000 leave this host 100 ports for connections of its own, "
		 "health checks among them; it needs 256 at least: take fewer of 39900-50155 "
		 "(net.ipv4.ip_local_port_range), or widen that range, as by "
		 "`sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"`"},
	};
	struct config *config = parse(FRONTEND("192.0.2.1:80") BACKEND("198.51.100.1:80") //
				      "[passthrough]\nnat_ports = '40000-50000'\n");
	for (size_t i = 0; i < N_OF(hosts); i++) {
		struct local_ports ports;
		struct config_errors errors = {0};
		struct report report = {.errors = &errors, .path = "test"};
		cr_assert_eq(local_ports_parse(&ports, hosts[i].range, hosts[i].reserved, NULL), 0);
		check_mode_own_ports(config, &ports, &report);
		cr_expect_eq(errors.count, hosts[i].message ? 1 : 0);
		if (hosts[i].message)
			assert_finding(&errors, 0, 7, 13, hosts[i].message);
		config_errors_fini(&errors);
	}
	config_destroy(config);
}

Test(local_ports, takes_the_texts_of_proc)
{
	struct local_ports ports;
	cr_assert_eq(local_ports_parse(&ports, "1024\t65535\n", "1-2,4,65535\n", NULL), 0);
	cr_assert_eq(ports.min, 1024);
	cr_assert_eq(ports.max, 65535);
	cr_assert(ports.has_reserved);
	cr_assert_eq(ports.reserved[0], 0x16);
	cr_assert(!local_ports_overlap(&ports, 65535, 65535));
	cr_assert(local_ports_overlap(&ports, 65534, 65535));
}

Test(local_ports, refuses_other_texts_and_leaves_the_output)
{
	static const char *const texts[][2] = {
		{"", ""},           {"1024\n", ""},       {"1024 65536", ""},
		{"1024-65535", ""}, {"1024 65535 1", ""}, {"1024 65535", "x"},
		{"1 2", "5-"},      {"1 2", "70000"},
	};
	struct local_ports ports = {.min = 7};
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct err err = {0};
		cr_expect_eq(local_ports_parse(&ports, texts[i][0], texts[i][1], &err), -EINVAL);
		cr_expect_neq(err.message[0], '\0');
		cr_expect_eq(ports.min, 7);
	}
}

Test(config_report, all_findings_come_in_the_order_of_the_file)
{
	static const char text[] = "mode = 'x'\n"
				   "[backends.w.servers.s]\naddr = '198.51.100.1:80'\nwieght = 1\n"
				   "[frontends.w]\nlisten_addr = '192.0.2.1:80'\nbackend = 'v'\n"
				   "[frontends.x]\nlisten_addr = '192.0.2.1:80'\nbackend = 'w'\n"
				   "[passthrough]\nnat_ports = '1-2'\n";
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, strlen(text), SYNTAX_TOML, "test", &config, &errors);
	cr_assert_eq(code, -EINVAL);
	static const unsigned lines[] = {1, 4, 7, 9, 12};
	cr_assert_eq(errors.count, N_OF(lines));
	for (size_t i = 0; i < N_OF(lines); i++)
		cr_expect_eq(errors.list[i].line, lines[i], "%zu: %s", i, errors.list[i].message);
	config_errors_fini(&errors);
}

// A text built by a loop, for config_parse().
static void assert_refused(const char *begin, const char *each, int n_times, const char *end,
			   enum config_syntax syntax, const char *message)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	fputs(begin, out);
	for (int i = 0; i < n_times; i++) {
		for (const char *c = each; *c; c++) {
			if (*c == '@')
				fprintf(out, "%d", i);
			else
				fputc(*c, out);
		}
	}
	fputs(end, out);
	fclose(out);
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, size, syntax, "test", &config, &errors);
	cr_expect_eq(code, -EINVAL);
	cr_expect_leq(errors.count, REPORT_MAX_FINDINGS + 1);
	bool is_found = false;
	for (size_t i = 0; i < errors.count; i++)
		is_found = is_found || strcmp(errors.list[i].message, message) == 0;
	cr_expect(is_found, "not among %zu findings: %s; the first: %s", errors.count, message,
		  errors.count > 0 ? errors.list[0].message : "");
	config_errors_fini(&errors);
	free(text);
}

Test(config_limits, a_hundred_findings_are_enough)
{
	assert_refused("", "x@ = 1\n", 5000, "", SYNTAX_TOML,
		       "there are more errors; mend the 100 above first");
	assert_refused("", "x@: 1\n", 5000, "", SYNTAX_YAML,
		       "there are more errors; mend the 100 above first");
}

#define YAML_FRONTENDS "frontends: {w: {listen_addr: '192.0.2.1:80', backend: p0}}\n"
#define YAML_ADDR      "{addr: '198.51.100.1:80'}"

Test(config_limits, files_made_to_hurt_are_refused_soon)
{
	assert_refused("a: ", "[", 100000, "", SYNTAX_YAML,
		       "nested too deeply for a configuration");
	assert_refused("a = ", "[", 100000, "", SYNTAX_TOML,
		       "Error while parsing value: exceeded maximum nested value depth of 8 "
		       "(TOML_MAX_NESTED_VALUES)");
	assert_refused("", "a.", 100000, "a = 1\n", SYNTAX_TOML,
		       "too many dots in one line; nest less");
	assert_refused("a:\n", "- \n", 300000, "", SYNTAX_YAML,
		       "more values than any configuration needs; split the file");
	assert_refused("a = [\n", "1,\n", 300000, "]", SYNTAX_TOML,
		       "more values than any configuration needs; split the file");
	assert_refused("a:\n", "- &x@ 1\n", 2000, "", SYNTAX_YAML,
		       "too many anchors; write the values out");
	assert_refused("frontends: &f\n  w: *f\n", "", 0, "", SYNTAX_YAML,
		       "unknown key \"w\" in frontends.w; the keys here are listen_addr, backend, "
		       "protocol, hash, scheduler, max_connections, accept_proxy");
	assert_refused(YAML_FRONTENDS "stats: &many {", "x@: 1,", 10000, "}\nbackends: {p0: *many}",
		       SYNTAX_YAML, "there are more errors; mend the 100 above first");
	assert_refused(YAML_FRONTENDS "backends:\n  p: &p {servers: {s: " YAML_ADDR "}}\n",
		       "  p@: *p\n", 20000, "", SYNTAX_YAML,
		       "backends: more than 16384; take some out");
}

Test(config_limits, aliases_cannot_multiply_without_end)
{
	// A few are fine; 2000 backends by 2000 pools are not.
	assert_refused(YAML_FRONTENDS "backends:\n  p: {servers: &s {a: " YAML_ADDR "}}\n",
		       "  p@: {servers: *s, x: 1}\n", 30, "", SYNTAX_YAML,
		       "unknown key \"x\" in backends.p29; the keys here are health_check, "
		       "health_check_interval, health_check_timeout, health_check_port, "
		       "health_check_method, health_check_path, health_check_host, "
		       "health_check_status, health_check_body, health_check_send, "
		       "health_check_expect, rise, fall, passive_checks, slow_start, "
		       "panic_threshold, on_backend_down, send_proxy, servers");
	char *servers = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&servers, &size);
	fputs(YAML_FRONTENDS "backends:\n  p:\n    servers: &s\n", out);
	for (int i = 0; i < 2000; i++)
		fprintf(out, "      s%d: {addr: '198.51.100.1:%d'}\n", i, i + 1);
	fclose(out);
	assert_refused(servers, "  p@: {servers: *s}\n", 2000, "", SYNTAX_YAML,
		       "aliases repeat too many values; write fewer");
	free(servers);
}

Test(suggest, offers_what_is_near)
{
	static const struct {
		const char *wanted;
		const char *best;
	} cases[] = {
		{"listen_adr", "listen_addr"},
		{"protocl", "protocol"},
		{"porotcol", "protocol"},
		{"bakcend", "backend"},
		{"backends", "backend"},
		{"hash", NULL},
		{"h", NULL},
		{"timeout", NULL},
		{"", NULL},
	};
	static const char *const names[] = {"listen_addr", "backend", "protocol", "hash"};
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct suggestion near = {.wanted = cases[i].wanted};
		for (size_t j = 0; j < N_OF(names); j++)
			suggest_offer(&near, names[j]);
		if (cases[i].best)
			cr_expect_str_eq(near.best ? near.best : "", cases[i].best, "%s",
					 cases[i].wanted);
		else
			cr_expect_null(near.best, "%s: %s", cases[i].wanted, near.best);
	}
}

static void assert_load(const char *path, int code, const char *message)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	cr_expect_eq(config_load(path, &config, &errors), code, "%s", path);
	cr_expect_null(config);
	cr_assert_eq(errors.count, 1, "%s", path);
	cr_expect_str_eq(errors.list[0].message, message, "got: %s", errors.list[0].message);
	cr_expect_eq(errors.list[0].file, path);
	config_errors_fini(&errors);
}

static void write_file(const char *path, const void *bytes, size_t n_bytes, size_t n_times)
{
	FILE *file = fopen(path, "we");
	cr_assert_not_null(file);
	for (size_t i = 0; i < n_times; i++)
		cr_assert_eq(fwrite(bytes, 1, n_bytes, file), n_bytes);
	fclose(file);
}

Test(config_files, what_cannot_be_read_is_told_why)
{
	char dir[] = "/tmp/culvert-config-XXXXXX";
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(mkdir("dir.toml", 0700), 0);
	cr_assert_eq(mkfifo("fifo.yaml", 0600), 0);
	write_file("empty.yml", "", 0, 1);
	write_file("zero.TOML", "mode = 1\n\0", 10, 1);
	write_file("large.toml", "# comment\n", 10, 420000);
	write_file("junk.yaml", "\x80\x81", 2, 1);
	write_file("junk.toml",
		   "\x7f"
		   "ELF\x02\x01\x01\xff",
		   8, 1);

	write_file("x.conf", "", 0, 1);
	write_file("dir.toml/x", "", 0, 1);

	assert_load("missing.toml", -ENOENT, "cannot open the file: No such file or directory");
	assert_load("missing", -ENOENT, "cannot open the file: No such file or directory");
	assert_load("dir.toml", -EISDIR, "this is a directory; name a file in it");
	assert_load("fifo.yaml", -EINVAL,
		    "this is not a regular file; write the configuration to one");
	assert_load("empty.yml", -EINVAL,
		    "the file is empty; config.example.toml shows what belongs in it");
	assert_load("zero.TOML", -EINVAL,
		    "zero byte: this is no text file; write the configuration in UTF-8");
	assert_load("large.toml", -EFBIG,
		    "the file is larger than 4 MiB; this is no configuration");
	assert_load("x.conf", -EINVAL,
		    "the name says neither TOML nor YAML; let it end in .toml, .yaml or .yml");
	assert_load("dir.toml/x", -EINVAL,
		    "the name says neither TOML nor YAML; let it end in .toml, .yaml or .yml");
	assert_load("junk.toml", -EINVAL,
		    "a letter beyond ASCII; such letters may stand in comments only");
	assert_load("junk.yaml", -EINVAL, "invalid leading UTF-8 octet");

	static const char *const files[] = {"fifo.yaml", "empty.yml", "zero.TOML", "large.toml",
					    "junk.yaml", "junk.toml", "x.conf",    "dir.toml/x"};
	for (size_t i = 0; i < N_OF(files); i++)
		unlink(files[i]);
	rmdir("dir.toml");
	rmdir(dir);
}

Test(config_files, an_empty_result_can_be_destroyed)
{
	struct config_errors errors = {0};
	config_destroy(NULL);
	config_errors_fini(&errors);
	cr_assert_null(errors.list);
}

Test(config_mode, room_for_reloads_holds_the_file_itself)
{
	static const struct {
		const char *text;
		const char *message;
	} files[] = {
		{"[reload]\nmax_backends = 1\n" FRONTEND("192.0.2.1:80")
			 BACKEND("198.51.100.1:80") "[backends.w.servers.t]\n"
						    "addr = '198.51.100.2:80'\n",
		 "max_backends: there is room for 1 backends, and the file has 2; write at least "
		 "twice as many, or 0"},
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct config *config = NULL;
		struct config_errors errors = {0};
		cr_assert_lt(config_parse(files[i].text, strlen(files[i].text), SYNTAX_TOML,
					  "a.toml", &config, &errors),
			     0);
		cr_assert_eq(errors.count, 1);
		cr_expect_str_eq(errors.list[0].message, files[i].message);
		cr_expect_eq(errors.list[0].line, 2);
		config_errors_fini(&errors);
	}
}
