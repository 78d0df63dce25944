// SPDX-License-Identifier: Apache-2.0
#include "dsr_bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns.h"

enum { PATIENCE_S = 20, COMMAND_MAX = 768, BACKLOG = 256 };

// The library of tests does without the test framework, which reports this as a crash.
static void require(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "dsr_bench: failed: %s\n", what);
	abort();
}

static void ignore_change(void *arg)
{
	(void)arg;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint = {0};
	require(endpoint_parse(text, &endpoint), text);
	endpoint.proto = IPPROTO_TCP;
	return endpoint;
}

static void set_up_links(struct dsr_bench *bench)
{
	bench->peer = netns_peer_start();
	require(bench->peer > 0, "a second namespace");
	require(netns_run("ip link add va type veth peer name vb netns %d", bench->peer), "veth");
	require(netns_run("ip addr add 10.9.0.2/24 dev va && ip addr add 10.9.0.1/32 dev va && "
			  "ip link set va up && ip addr add fd09::2/64 dev va nodad && "
			  "ip addr add fd09::1/128 dev va nodad preferred_lft 0"),
		"addresses");
	dsr_bench_on_backend(bench, "ip addr add 10.9.0.101/24 dev vb && ip link set vb up && "
				    "ip addr add fd09::101/64 dev vb nodad");
}

static void listen_on_backend(struct dsr_bench *bench)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	bench->listener = netns_peer_socket(bench->peer, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(bind(bench->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	require(listen(bench->listener, BACKLOG) == 0, "listen");
}

static void fill_config(struct dsr_bench *bench)
{
	static char name[] = "web";
	bench->backends[0] = (struct config_backend){
		.name = name,
		.endpoint = endpoint_of("10.9.0.101:80"),
		.weight = 1,
	};
	bench->pools[0] = (struct config_pool){
		.name = name,
		.backends = bench->backends,
		.n_backends = 1,
		.health_check = HEALTH_TCP,
		.proto = IPPROTO_TCP,
	};
	bench->frontends[0] = (struct config_frontend){
		.name = name,
		.endpoint = endpoint_of("10.9.0.1:80"),
	};
	bench->config = (struct config){
		.frontends = bench->frontends,
		.n_frontends = 1,
		.pools = bench->pools,
		.n_pools = 1,
		.dsr = {.method = DSR_NAT},
	};
	require(ip_addr_parse("10.9.0.200", &bench->check_sources[0]), "parse");
	bench->config.dsr.check_sources = bench->check_sources;
	bench->config.dsr.n_check_sources = 1;
}

bool dsr_bench_init(struct dsr_bench *bench)
{
	struct err err = {0};
	*bench = (struct dsr_bench){.listener = -1};
	if (!netns_enter())
		return false;
	set_up_links(bench);
	listen_on_backend(bench);
	fill_config(bench);
	bench->base = event_base_new();
	require(bench->base, "an event base");
	int code = netwatch_create(&bench->netwatch, bench->base, ignore_change, NULL, &err);
	require(code == 0, err.message);
	return true;
}

void dsr_bench_fini(struct dsr_bench *bench)
{
	netwatch_destroy(bench->netwatch);
	event_base_free(bench->base);
	close(bench->listener);
}

void dsr_bench_on_backend(const struct dsr_bench *bench, const char *format, ...)
{
	char command[COMMAND_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	require(netns_run("nsenter -t %d -n sh -ec \"%s\"", bench->peer, command), command);
}

void dsr_bench_switch_to_v6(struct dsr_bench *bench)
{
	bench->backends[0].endpoint = endpoint_of("[fd09::101]:80");
	bench->frontends[0].endpoint = endpoint_of("[fd09::1]:80");
	require(ip_addr_parse("fd09::200", &bench->check_sources[0]), "parse");
}

void dsr_bench_set_nat(const struct dsr_bench *bench, const char *vip, unsigned port)
{
	bool is_v4 = !strchr(vip, ':');
	const char *ip = is_v4 ? "ip" : "ip6";
	const char *net = is_v4 ? "10.9.0." : "fd09::";
	dsr_bench_on_backend(bench,
			     "nft 'table netdev dsr {}; delete table netdev dsr; "
			     "table netdev dsr { chain egress { "
			     "type filter hook egress device vb priority 0; "
			     "%s saddr %s101 tcp sport 80 %s daddr != %s2 "
			     "%s saddr set %s tcp sport set %u; }; }'",
			     ip, net, ip, net, ip, vip, port);
}

static void note(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

bool dsr_bench_await(const struct dsr_bench *bench, const unsigned *counter, unsigned wanted)
{
	bool is_late = false;
	struct event *limit = evtimer_new(bench->base, note, &is_late);
	struct timeval patience = {.tv_sec = PATIENCE_S};
	evtimer_add(limit, &patience);
	while (*counter < wanted && !is_late)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
	return *counter == wanted;
}

void dsr_bench_run_ms(const struct dsr_bench *bench, unsigned ms)
{
	bool is_over = false;
	struct event *limit = evtimer_new(bench->base, note, &is_over);
	struct timeval duration = {.tv_sec = (time_t)(ms / 1000),
				   .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	evtimer_add(limit, &duration);
	while (!is_over)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(limit);
}
