// SPDX-License-Identifier: Apache-2.0
// What a good file becomes: values, defaults, and both syntaxes alike. Run from the root of the
// repository, where the files are.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse.h"
#include "config/schema.h"

#define DATA "tests/unit/data/config/"

static struct config *load(const char *path)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_load(path, &config, &errors);
	for (size_t i = 0; i < errors.count; i++)
		cr_log_error("%s:%u:%u: %s", path, errors.list[i].line, errors.list[i].column,
			     errors.list[i].message);
	cr_assert_eq(code, 0);
	cr_assert_eq(errors.count, 0);
	return config;
}

static struct config *parse(const char *text, enum config_syntax syntax)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse(text, strlen(text), syntax, "test", &config, &errors);
	cr_assert_eq(code, 0, "%s", errors.count > 0 ? errors.list[0].message : "");
	return config;
}

static void dump_pool(FILE *out, const struct config_pool *pool)
{
	char text[CONFIG_BACKEND_TEXT_MAX];
	fprintf(out,
		"pool %s check %d every %u within %u rise %u fall %u down %d send %d proto %u\n",
		pool->name, (int)pool->health_check, pool->health_check_interval_ms,
		pool->health_check_timeout_ms, pool->rise, pool->fall, (int)pool->on_backend_down,
		(int)pool->send_proxy, pool->proto);
	for (size_t i = 0; i < pool->n_backends; i++) {
		const struct config_backend *backend = &pool->backends[i];
		fprintf(out, "  %s %s proto %u weight %u\n", backend->name,
			config_backend_format(backend, text), backend->endpoint.proto,
			backend->weight);
	}
}

static void dump_frontend(FILE *out, const struct config_frontend *frontend)
{
	char text[ENDPOINT_TEXT_MAX];
	fprintf(out, "frontend %s %s proto %u pool %zu hash %d scheduler %d max %u\n",
		frontend->name, endpoint_format(&frontend->endpoint, text),
		frontend->endpoint.proto, frontend->pool, (int)frontend->hash,
		(int)frontend->scheduler, frontend->max_connections);
	for (size_t i = 0; i < frontend->n_accept_proxy; i++)
		fprintf(out, "  accept %s/%u\n",
			ip_addr_format(&frontend->accept_proxy[i].addr, text),
			frontend->accept_proxy[i].prefix_len);
}

static void dump_proxy(FILE *out, const struct config_proxy *proxy)
{
	char text[IP_ADDR_TEXT_MAX];
	fprintf(out,
		"proxy threads %d connect %u client %u idle %u header %u drain %u retries %u "
		"max %u full %d keepalive %u fast %d pin %d splice %d\n",
		proxy->threads, proxy->connect_timeout_ms, proxy->client_timeout_ms,
		proxy->idle_timeout_ms, proxy->header_timeout_ms, proxy->drain_timeout_ms,
		proxy->retries, proxy->max_connections, (int)proxy->on_full, proxy->tcp_keepalive_s,
		proxy->tcp_fast_open, proxy->pin_threads, proxy->splice);
	for (size_t i = 0; i < proxy->n_source_addrs; i++)
		fprintf(out, "source %s\n", ip_addr_format(&proxy->source_addrs[i], text));
}

static void dump_passthrough(FILE *out, const struct config_passthrough *passthrough)
{
	char text[IP_ADDR_TEXT_MAX];
	fprintf(out,
		"workers %d poll %u capacity %u frequency %u ports %u-%u maglev %u\nclamp %d "
		"io %d fast %d\n",
		passthrough->workers, passthrough->busy_poll_us,
		passthrough->connection_tracker_capacity, passthrough->stats_update_frequency_ms,
		passthrough->nat_port_min, passthrough->nat_port_max,
		passthrough->maglev_table_size, passthrough->mss_clamp, passthrough->io,
		passthrough->fast_path);
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++)
		fprintf(out, "snat %s\n", ip_addr_format(&passthrough->snat_addrs[i], text));
	for (size_t i = 0; i < passthrough->n_interfaces; i++)
		fprintf(out, "interface %s\n", passthrough->interfaces[i]);
}

// All that a configuration says, but for its path and places, as text to compare and to free.
static char *dump(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	char addr[ENDPOINT_TEXT_MAX];
	FILE *out = open_memstream(&text, &size);
	fprintf(out, "mode %s %s\n", mode_name(config->mode), config->has_mode ? "said" : "");
	for (size_t i = 0; i < config->n_frontends; i++)
		dump_frontend(out, &config->frontends[i]);
	for (size_t i = 0; i < config->n_pools; i++)
		dump_pool(out, &config->pools[i]);
	dump_proxy(out, &config->proxy);
	dump_passthrough(out, &config->passthrough);
	fprintf(out, "dsr method %d ready %d mss %d source", (int)config->dsr.method,
		config->dsr.require_ready, config->dsr.mss_clamp);
	for (size_t i = 0; i < config->dsr.n_check_sources; i++)
		fprintf(out, " %s", ip_addr_format(&config->dsr.check_sources[i], addr));
	fputs("\n", out);
	const struct config_timeouts *t = &config->timeouts;
	fprintf(out, "timeouts %u %u %u %u %u %u %u %u\n", t->tcp_syn, t->tcp_handshake,
		t->tcp_established, t->tcp_closing, t->tcp_time_wait, t->tcp_reset,
		t->udp_unreplied, t->udp);
	fprintf(out, "manage %d stats %s %u log %d\n", config->firewall_manage,
		ip_addr_format(&config->stats_listen_addr, addr), config->stats_port,
		(int)config->log_level);
	fclose(out);
	return text;
}

static void assert_dump(const struct config *config, const char *expected)
{
	char *text = dump(config);
	cr_assert_str_eq(text, expected);
	free(text);
}

#define PROXY_DEFAULTS                                                                \
	"proxy threads -1 connect 5000 client 300000 idle 3600000 header 3000 drain " \
	"30000 retries 2 max 0 full 0 keepalive 60 fast 0 pin 1 splice 1\n"
#define DSR_DEFAULTS "dsr method 0 ready 0 mss -1 source\n"

static const char minimal_toml[] = "frontends.f.listen_addr = '192.0.2.1:80'\n"
				   "frontends.f.backend = 'p'\n"
				   "backends.p.servers.s.addr = '198.51.100.1:80'\n";
static const char minimal_dump[] =
	"mode proxy \n"
	"frontend f 192.0.2.1:80 proto 6 pool 0 hash 0 scheduler 0 max 0\n"
	"pool p check 0 every 3000 within 2000 rise 1 fall 3 down 0 send 0 proto 6\n"
	"  s 198.51.100.1:80 proto 6 weight 1\n" PROXY_DEFAULTS
	"workers -1 poll 50 capacity 1048576 frequency 5000 ports 33768-61000 maglev 65537\n"
	"clamp -1 io 0 fast 0\n" DSR_DEFAULTS "timeouts 120 60 7440 240 120 10 30 300\n"
	"manage 1 stats 127.0.0.1 0 log 2\n";

Test(config, fills_in_every_default)
{
	struct config *config = parse(minimal_toml, SYNTAX_TOML);
	assert_dump(config, minimal_dump);
	config_destroy(config);
}

Test(config, reads_every_key)
{
	struct config *config = load(DATA "full.toml");
	assert_dump(config,
		    "mode passthrough said\n"
		    "frontend web 192.0.2.10:80 proto 6 pool 0 hash 1 scheduler 0 max 0\n"
		    "frontend dns 192.0.2.10:53 proto 17 pool 1 hash 0 scheduler 3 max 0\n"
		    "frontend six [2001:db8::10]:443 proto 6 pool 2 hash 0 scheduler 2 max 500\n"
		    "  accept 10.0.0.0/104\n"
		    "  accept fd00::/16\n"
		    "  accept 192.0.2.7/128\n"
		    "pool web check 0 every 500 within 250 rise 2 fall 5 down 1 send 0 proto 6\n"
		    "  zulu 198.51.100.11:8000 proto 6 weight 0\n"
		    "  alpha 198.51.100.12:8000 proto 6 weight 1000\n"
		    "pool dns check 3 every 3000 within 2000 rise 1 fall 3 down 0 send 0 proto 17\n"
		    "  one 198.51.100.21:53 proto 17 weight 1\n"
		    "pool six check 0 every 1000 within 1000 rise 1 fall 3 down 0 send 2 proto 6\n"
		    "  one [2001:db8:1::1]:8443 proto 6 weight 1\n"
		    "  two unix:/run/web.sock proto 0 weight 1\n"
		    "  three unix:@web proto 0 weight 1\n"
		    "proxy threads 64 connect 10 client 2592000000 idle 100 header 1500 drain 0 "
		    "retries 16 max 10000000 full 1 keepalive 0 fast 1 pin 0 splice 0\n"
		    "source 203.0.113.3\n"
		    "source 2001:db8::3\n"
		    "workers 4 poll 0 capacity 20000 frequency 2500 ports 1024-65535 maglev 1009\n"
		    "clamp 1300 io 1 fast 2\n"
		    "snat 203.0.113.1\n"
		    "snat 203.0.113.2\n"
		    "interface eth0\n"
		    "interface eth1\n"
		    "dsr method 2 ready 1 mss 1400 source 192.0.2.250 2001:db8::250\n"
		    "timeouts 1 2 3 4 5 6 7 8\n"
		    "manage 0 stats ::1 7000 log 3\n");
	config_destroy(config);
}

Test(config, both_syntaxes_give_equal_configurations)
{
	struct config *toml = load(DATA "full.toml");
	struct config *yaml = load(DATA "full.yaml");
	char *expected = dump(toml);
	assert_dump(yaml, expected);
	free(expected);
	config_destroy(toml);
	config_destroy(yaml);
}

Test(config, remembers_where_things_are_said)
{
	struct config *config = load(DATA "full.toml");
	cr_assert_str_eq(config->path, DATA "full.toml");
	cr_assert_eq(config->frontends[1].line, 9);
	cr_assert_eq(config->frontends[1].column, 15);
	cr_assert_eq(config->pools[1].line, 31);
	cr_assert_eq(config->pools[1].column, 11);
	cr_assert_eq(config->pools[0].backends[1].line, 29);
	cr_assert_eq(config->pools[0].backends[1].column, 26);
	cr_assert_eq(config->passthrough.nat_ports_line, 62);
	cr_assert_eq(config->passthrough.nat_ports_column, 13);
	config_destroy(config);
}

Test(config, reads_files_of_convey_unchanged)
{
	struct config *config = load(DATA "convey.toml");
	assert_dump(config,
		    "mode proxy \n"
		    "frontend tcp_3000 192.0.2.10:3000 proto 6 pool 0 hash 0 scheduler 0 max 0\n"
		    "pool tcp_3000_out check 0 every 3000 within 2000 rise 1 fall 3 down 0 "
		    "send 0 proto 6\n"
		    "  server1 198.51.100.11:3000 proto 6 weight 1\n"
		    "  server2 198.51.100.12:3000 proto 6 weight 20\n" PROXY_DEFAULTS
		    "workers 4 poll 50 capacity 20000 frequency 5000 ports 33768-61000 maglev "
		    "65537\nclamp -1 io 0 fast 0\n" DSR_DEFAULTS
		    "timeouts 120 60 7440 240 120 10 30 300\n"
		    "manage 1 stats 127.0.0.1 7000 log 2\n");
	config_destroy(config);
}

Test(config, takes_numbers_and_names_as_each_syntax_writes_them)
{
	static const struct {
		const char *text;
		enum config_syntax syntax;
	} files[] = {
		{"[frontends]\nf = {listen_addr = \"192.0.2.1:80\", backend = \"p\"}\n"
		 "[backends.p]\nrise = 0x1\nhealth_check_interval = 3.0\nfall = +3\n"
		 "[backends.p.servers.s]\naddr = '198.51.100.1:80'\n"
		 "[passthrough]\nconnection_tracker_capacity = 1_048_576\n",
		 SYNTAX_TOML},
		{"\xef\xbb\xbf# byte order mark\r\n[stats]\r\nport = 0\r\n[log]\r\n"
		 "[frontends.f]\r\nlisten_addr = '192.0.2.1:80'\r\nbackend = 'p'\r\n"
		 "[backends.p.servers.s]\r\naddr = '198.51.100.1:80'\r\n",
		 SYNTAX_TOML},
		{"frontends: {f: {listen_addr: '192.0.2.1:80', backend: p}}\n"
		 "backends: {p: {servers: {s: {addr: '198.51.100.1:80', weight: +1}}}}\n"
		 "stats:\nlog: ~\nfirewall: {manage: True}\npassthrough: {interfaces: []}\n",
		 SYNTAX_YAML},
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct config *config = parse(files[i].text, files[i].syntax);
		assert_dump(config, minimal_dump);
		config_destroy(config);
	}
}

Test(config, aliases_repeat_what_their_anchors_say)
{
	struct config *config = parse("frontends:\n"
				      "  1: {listen_addr: '192.0.2.1:80', backend: 1}\n"
				      "  2: {listen_addr: '192.0.2.1:81', backend: 2}\n"
				      "backends:\n"
				      "  1: &p\n"
				      "    servers: {s: {addr: '198.51.100.1:80'}}\n"
				      "  2: *p\n",
				      SYNTAX_YAML);
	cr_assert_eq(config->n_pools, 2);
	cr_assert_eq(config->frontends[1].pool, 1);
	cr_assert(endpoint_equal(&config->pools[0].backends[0].endpoint,
				 &config->pools[1].backends[0].endpoint));
	config_destroy(config);
}

Test(config, an_explicit_check_of_a_udp_pool_stays)
{
	struct config *config = parse("[frontends.f]\nlisten_addr = '192.0.2.1:53'\n"
				      "backend = 'p'\nprotocol = 'udp'\n"
				      "[backends.p]\nhealth_check = 'tcp'\n"
				      "servers.s.addr = '198.51.100.1:53'\n",
				      SYNTAX_TOML);
	cr_assert_eq(config->pools[0].health_check, HEALTH_TCP);
	cr_assert_eq(config->pools[0].proto, IPPROTO_UDP);
	config_destroy(config);
}

Test(config, one_port_serves_both_protocols_and_both_families)
{
	struct config *config = parse("[frontends]\n"
				      "a = {listen_addr = '0.0.0.0:53', backend = 'p'}\n"
				      "b = {listen_addr = '[::]:53', backend = 'p'}\n"
				      "c = {listen_addr = '0.0.0.0:54', backend = 'p'}\n"
				      "d = {listen_addr = '0.0.0.0:53', backend = 'q', "
				      "protocol = 'udp'}\n"
				      "[backends.p.servers]\ns.addr = '198.51.100.1:53'\n"
				      "[backends.q.servers]\ns.addr = '198.51.100.1:53'\n",
				      SYNTAX_TOML);
	cr_assert_eq(config->n_frontends, 4);
	config_destroy(config);
}

Test(config, keeps_the_order_of_many_entries)
{
	enum { N_BACKENDS = 3000 };
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	fprintf(out, "frontends.f.listen_addr = '192.0.2.1:80'\nfrontends.f.backend = 'p'\n");
	for (int i = 0; i < N_BACKENDS; i++)
		fprintf(out, "backends.p.servers.s%d.addr = '198.51.100.1:%d'\n", i, 60000 - i);
	fclose(out);
	struct config *config = parse(text, SYNTAX_TOML);
	free(text);
	cr_assert_eq(config->pools[0].n_backends, N_BACKENDS);
	for (int i = 0; i < N_BACKENDS; i++)
		cr_assert_eq(ntohs(config->pools[0].backends[i].endpoint.port_be), 60000 - i);
	config_destroy(config);
}

Test(config, the_example_loads_and_shows_the_defaults)
{
	struct config *config = load("config.example.toml");
	assert_dump(config,
		    "mode passthrough said\n"
		    "frontend web 192.0.2.10:80 proto 6 pool 0 hash 0 scheduler 0 max 0\n"
		    "frontend api 192.0.2.10:8080 proto 6 pool 1 hash 0 scheduler 0 max 0\n"
		    "frontend dns 192.0.2.10:53 proto 17 pool 2 hash 0 scheduler 0 max 0\n"
		    "pool web check 0 every 3000 within 2000 rise 1 fall 3 down 0 send 0 proto 6\n"
		    "  web1 198.51.100.11:8000 proto 6 weight 1\n"
		    "  web2 198.51.100.12:8000 proto 6 weight 1\n"
		    "pool api check 1 every 3000 within 2000 rise 1 fall 3 down 0 send 0 proto 6\n"
		    "  api1 198.51.100.21:9000 proto 6 weight 1\n"
		    "pool dns check 2 every 3000 within 2000 rise 1 fall 3 down 0 send 0 proto 17\n"
		    "  dns1 198.51.100.31:53 proto 17 weight 1\n" PROXY_DEFAULTS
		    "workers -1 poll 50 capacity 1048576 frequency 5000 ports 33768-61000 maglev "
		    "65537\n"
		    "clamp -1 io 0 fast 0\n"
		    "dsr method 0 ready 0 mss -1 source 192.0.2.250\n"
		    "timeouts 120 60 7440 240 120 10 30 300\n"
		    "manage 1 stats 127.0.0.1 0 log 2\n");
	config_destroy(config);
}

static char *read_text(const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file, "%s", path);
	cr_assert_gt(getdelim(&text, &size, '\0', file), 0);
	fclose(file);
	return text;
}

static void assert_keys_shown(const struct schema_table *table, const char *path, const char *text,
			      const char *before, const char *behind)
{
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct schema_key *key = &table->keys[i];
		char line[128];
		if (key->table) {
			assert_keys_shown(key->table, path, text, before, behind);
			continue;
		}
		char comment[129]; // a key that would not do in the example itself
		snprintf(line, sizeof(line), "\n%s%s%s", before, key->name, behind);
		snprintf(comment, sizeof(comment), "\n#%s", line + 1);
		cr_assert(strstr(text, line) || strstr(text, comment), "%s does not show %s", path,
			  key->name);
	}
}

Test(config, the_example_and_the_manual_show_every_key)
{
	char *example = read_text("config.example.toml");
	char *manual = read_text("man/culvert.toml.5");
	assert_keys_shown(&schema_root, "config.example.toml", example, "", " = ");
	assert_keys_shown(&schema_root, "man/culvert.toml.5", manual, ".B ", "\n");
	free(example);
	free(manual);
}
