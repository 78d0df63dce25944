// SPDX-License-Identifier: Apache-2.0
// Rules change while packets come in: none of those that both the old rules and the new ones keep
// away reaches the kernel in between, where it would be answered by a reset.
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/lib/netns.h"
#include "culvert/control/firewall.h"
#include "lib/firewall_lab.h"

enum { N_UPDATES = 60, N_ADDED = 8, N_SLOW_RULES = 500 };

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint;
	cr_assert(endpoint_parse(text, &endpoint), "%s", text);
	endpoint.proto = IPPROTO_UDP;
	return endpoint;
}

static struct sockaddr_in sockaddr_of(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = endpoint.port_be,
		.sin_addr.s_addr = ip_addr_v4_be(&endpoint.addr),
	};
}

static int bound(int fd, const char *text)
{
	struct sockaddr_in addr = sockaddr_of(text);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", text);
	return fd;
}

// ---- a peer that sends without a pause ----------------------------------------------------------

struct flood {
	int client;  // from 10.9.0.2:5000, to the frontend
	int backend; // from 10.9.0.2:8080, to a NAT port
	_Atomic uint64_t n_sent;
	_Atomic bool is_over;
	pthread_t thread;
};

static void *send_on(void *arg)
{
	struct flood *flood = arg;
	struct sockaddr_in frontend = sockaddr_of("10.9.0.1:53");
	struct sockaddr_in local = sockaddr_of("10.9.0.1:40005");
	while (!atomic_load(&flood->is_over)) {
		(void)!sendto(flood->client, "x", 1, 0, (struct sockaddr *)&frontend,
			      sizeof(frontend));
		(void)!sendto(flood->backend, "x", 1, 0, (struct sockaddr *)&local, sizeof(local));
		atomic_fetch_add(&flood->n_sent, 2);
	}
	return NULL;
}

static void start_flood(struct flood *flood, pid_t peer)
{
	int type = SOCK_DGRAM | SOCK_CLOEXEC;
	flood->client = bound(netns_peer_socket(peer, AF_INET, type, 0), "10.9.0.2:5000");
	flood->backend = bound(netns_peer_socket(peer, AF_INET, type, 0), "10.9.0.2:8080");
	cr_assert_eq(pthread_create(&flood->thread, NULL, send_on, flood), 0);
	while (atomic_load(&flood->n_sent) < 1000)
		usleep(1000);
}

static void stop_flood(struct flood *flood)
{
	atomic_store(&flood->is_over, true);
	pthread_join(flood->thread, NULL);
	close(flood->client);
	close(flood->backend);
}

// ---- what comes through -------------------------------------------------------------------------

struct door {
	int frontend;
	int local;
};

static struct door open_door(void)
{
	int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	return (struct door){
		.frontend = bound(socket(AF_INET, type, 0), "10.9.0.1:53"),
		.local = bound(socket(AF_INET, type, 0), "10.9.0.1:40005"),
	};
}

static unsigned count_at(int fd)
{
	char byte;
	unsigned n = 0;
	while (recv(fd, &byte, sizeof(byte), 0) >= 0)
		n++;
	close(fd);
	return n;
}

// ---- the plans ----------------------------------------------------------------------------------

struct lab {
	struct firewall_lab base;
	struct endpoint backends[N_ADDED + 1];
	struct firewall_plan plan; // of both, to begin with for one family
	struct firewall *firewall;
	struct flood flood;
	struct door door;
};

static void begin(struct lab *lab)
{
	pid_t peer = firewall_lab_enter();
	firewall_lab_plan(&lab->base);
	for (unsigned i = 0; i <= N_ADDED; i++) {
		lab->backends[i] = lab->base.backends[0];
		lab->backends[i].port_be = htons((uint16_t)(8080 + i));
	}
	lab->plan = lab->base.plan;
	lab->plan.backends = lab->backends;
	lab->plan.n_frontends = lab->plan.n_backends = lab->plan.n_snat_addrs = 1;
	lab->firewall = firewall_lab_open(&lab->plan);
	lab->door = open_door();
	start_flood(&lab->flood, peer);
}

// Rules of somebody else, of the same priority, which a packet meets between those that come last
// and those that were there before: so that it is on its way for long enough to be seen.
static void put_in_between(void)
{
	cr_assert(netns_run("{ echo 'table netdev slow'; echo 'delete table netdev slow'; "
			    "echo 'table netdev slow { chain ingress { type filter hook ingress "
			    "device \"va\" priority -500;'; yes 'meta length > 9000 counter' | "
			    "head -n %d; echo '}'; echo '}'; } | nft -f -",
			    N_SLOW_RULES));
}

static void update(struct lab *lab)
{
	struct err err = {0};
	put_in_between();
	cr_assert_eq(firewall_update(lab->firewall, &lab->plan, &err), 0, "%s", err.message);
}

static void end(struct lab *lab)
{
	stop_flood(&lab->flood);
	firewall_close(lab->firewall);
	cr_expect_eq(count_at(lab->door.frontend), 0, "of clients");
	cr_expect_eq(count_at(lab->door.local), 0, "of backends");
}

Test(firewall_update, nothing_slips_through_while_backends_come_and_go, .timeout = 120)
{
	static struct lab lab;
	begin(&lab);
	for (unsigned i = 0; i < N_UPDATES; i++) {
		lab.plan.n_backends = i % 2 ? 1 : 1 + N_ADDED;
		update(&lab);
	}
	end(&lab);
}

// With a family that had no rules so far.
Test(firewall_update, nothing_slips_through_while_another_family_comes_and_goes, .timeout = 120)
{
	static struct lab lab;
	begin(&lab);
	lab.backends[1] = lab.base.backends[1];
	for (unsigned i = 0; i < N_UPDATES; i++) {
		bool has_both = i % 2 == 0;
		lab.plan.n_frontends = lab.plan.n_backends = lab.plan.n_snat_addrs =
			has_both ? 2 : 1;
		update(&lab);
	}
	end(&lab);
}

// With another range of NAT ports, so that rules are others.
Test(firewall_update, nothing_slips_through_while_all_rules_are_replaced, .timeout = 120)
{
	static struct lab lab;
	begin(&lab);
	for (unsigned i = 0; i < N_UPDATES; i++) {
		lab.plan.nat_port_max = i % 2 ? 40010 : 40011;
		update(&lab);
	}
	end(&lab);
}
