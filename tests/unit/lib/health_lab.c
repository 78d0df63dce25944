// SPDX-License-Identifier: Apache-2.0
#include "health_lab.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { GIVE_UP_S = 20 };

static void on_change(void *arg, size_t backend, bool is_up, const char *reason)
{
	struct health_lab *lab = arg;
	lab->n_changes++;
	lab->changed = backend;
	lab->is_up = is_up;
	snprintf(lab->reason, sizeof(lab->reason), "%s", reason);
	if (lab->is_stopping) {
		health_stop(lab->health);
		lab->health = NULL;
	}
}

void health_lab_init(struct health_lab *lab)
{
	static char name[] = "backend";
	*lab = (struct health_lab){0};
	for (size_t i = 0; i < HEALTH_LAB_BACKENDS; i++)
		lab->backends[i] = (struct config_backend){.name = name, .weight = 1};
	lab->pool = (struct config_pool){.name = name,
					 .backends = lab->backends,
					 .health_check_interval_ms = 10,
					 .health_check_timeout_ms = 5000,
					 .rise = 1,
					 .fall = 3};
	lab->config = (struct config){.pools = &lab->pool, .n_pools = 1};
	lab->base = event_base_new();
	cr_assert(lab->base);
}

void health_lab_add(struct health_lab *lab, const char *addr, uint16_t port)
{
	struct endpoint *endpoint = &lab->backends[lab->pool.n_backends++].endpoint;
	endpoint->port_be = htons(port);
	endpoint->proto = IPPROTO_TCP;
	cr_assert(ip_addr_parse(addr, &endpoint->addr));
}

void health_lab_start(struct health_lab *lab)
{
	cr_assert_eq(health_start(&lab->health, lab->base, &lab->config, on_change, lab, &lab->err),
		     0, "%s", lab->err.message);
}

void health_lab_fini(struct health_lab *lab)
{
	health_stop(lab->health);
	event_base_free(lab->base);
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

void health_lab_await(struct health_lab *lab, unsigned n)
{
	bool is_late = false;
	struct event *limit = evtimer_new(lab->base, give_up, &is_late);
	struct timeval patience = {.tv_sec = GIVE_UP_S};
	evtimer_add(limit, &patience);
	while (lab->n_changes < n && !is_late)
		event_base_loop(lab->base, EVLOOP_ONCE);
	event_free(limit);
	cr_assert_not(is_late, "%u changes of %u; the last: %s", lab->n_changes, n, lab->reason);
}

void health_lab_run_for_ms(struct health_lab *lab, unsigned ms)
{
	bool is_over = false;
	struct event *limit = evtimer_new(lab->base, give_up, &is_over);
	struct timeval duration = {.tv_sec = 0, .tv_usec = (suseconds_t)ms * 1000};
	evtimer_add(limit, &duration);
	while (!is_over)
		event_base_loop(lab->base, EVLOOP_ONCE);
	event_free(limit);
}

int health_lab_listen(uint16_t *port, int backlog)
{
	int on = 1;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(*port)};
	socklen_t size = sizeof(addr);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
	cr_assert_eq(listen(fd, backlog), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

int health_lab_connect(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
	return fd;
}
