// SPDX-License-Identifier: Apache-2.0
// How the checks look at this host: files below /proc and /sys, links, routes.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/doctor.h"

bool doctor_has_capability(const struct doctor *doctor, int capability)
{
	return doctor->capabilities >> capability & 1;
}

// ---- files -------------------------------------------------------------------------------------

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	int code = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		n = 0;
	text[n] = '\0';
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return code;
}

__attribute__((format(printf, 3, 0))) static bool make_path(const struct doctor *doctor, char *path,
							    const char *format, va_list args)
{
	size_t used = (size_t)snprintf(path, DOCTOR_PATH_MAX, "%s", doctor->root);
	if (used >= DOCTOR_PATH_MAX)
		return false;
	int n = vsnprintf(path + used, DOCTOR_PATH_MAX - used, format, args);
	return n >= 0 && (size_t)n < DOCTOR_PATH_MAX - used;
}

int doctor_read(const struct doctor *doctor, char *text, size_t size, const char *path, ...)
{
	char full[DOCTOR_PATH_MAX];
	va_list args;
	va_start(args, path);
	bool fits = make_path(doctor, full, path, args);
	va_end(args);
	text[0] = '\0';
	return fits ? read_file(full, text, size) : -ENAMETOOLONG;
}

bool doctor_sysctl(const struct doctor *doctor, long *value, const char *name, ...)
{
	char key[DOCTOR_PATH_MAX];
	char text[32];
	char *end;
	va_list args;
	va_start(args, name);
	vsnprintf(key, sizeof(key), name, args);
	va_end(args);
	if (doctor_read(doctor, text, sizeof(text), "/proc/sys/%s", key))
		return false;
	long number = strtol(text, &end, 10);
	if (end == text)
		return false;
	*value = number;
	return true;
}

long doctor_conf(const struct doctor *doctor, const char *link, const char *key)
{
	long all = 0;
	long own = 0;
	(void)doctor_sysctl(doctor, &all, "net/ipv4/conf/all/%s", key);
	(void)doctor_sysctl(doctor, &own, "net/ipv4/conf/%s/%s", link, key);
	return all > own ? all : own;
}

// ---- the network -------------------------------------------------------------------------------

static void add_link(struct doctor *doctor, const struct link_info *info, bool is_front)
{
	struct doctor_link *link = NULL;
	for (size_t i = 0; i < doctor->n_links; i++) {
		if (doctor->links[i].info.ifindex == info->ifindex)
			link = &doctor->links[i];
	}
	if (!link && doctor->n_links == DOCTOR_MAX_LINKS)
		return;
	if (!link) {
		link = &doctor->links[doctor->n_links++];
		*link = (struct doctor_link){.info = *info};
	}
	link->is_front |= is_front;
	link->is_back |= !is_front;
}

static void find_named_links(struct doctor *doctor)
{
	const struct config_passthrough *passthrough = &doctor->config->passthrough;
	struct link_info info;
	for (size_t i = 0; i < passthrough->n_interfaces; i++) {
		if (netwatch_link_by_name(doctor->netwatch, passthrough->interfaces[i], &info))
			add_link(doctor, &info, true);
	}
}

static void find_front_links(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	if (config->mode != MODE_PROXY && config->passthrough.n_interfaces) {
		find_named_links(doctor);
		return;
	}
	for (size_t i = 0; i < config->n_frontends; i++) {
		unsigned ifindex;
		struct link_info info;
		const struct ip_addr *addr = &config->frontends[i].endpoint.addr;
		if (netwatch_addr_link(doctor->netwatch, addr, &ifindex) &&
		    netwatch_link(doctor->netwatch, ifindex, &info) && !info.is_loopback)
			add_link(doctor, &info, true);
	}
}

static void find_hop(struct doctor *doctor, struct doctor_hop *hop)
{
	struct link_info info;
	struct err err = {0};
	if (!hop->backend || hop->backend->unix_path)
		return;
	if (netwatch_look_up(doctor->netwatch, &hop->backend->endpoint.addr, &hop->hop, &err))
		hop->hop = (struct next_hop){0};
	if (hop->hop.has_route && !hop->hop.is_local &&
	    netwatch_link(doctor->netwatch, hop->hop.ifindex, &info))
		add_link(doctor, &info, false);
}

void doctor_find_network(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	doctor->hops = calloc(config_n_backends(config) + 1, sizeof(*doctor->hops));
	if (!doctor->hops)
		return;
	for (size_t i = 0; i < config->n_pools; i++) {
		for (size_t k = 0; k < config->pools[i].n_backends; k++)
			doctor->hops[doctor->n_hops++] = (struct doctor_hop){
				.backend = &config->pools[i].backends[k],
				.pool = &config->pools[i],
			};
	}
	if (!doctor->netwatch)
		return;
	find_front_links(doctor);
	for (size_t i = 0; i < doctor->n_hops; i++)
		find_hop(doctor, &doctor->hops[i]);
}

bool doctor_is_frontend_addr(const struct doctor *doctor, const struct ip_addr *addr)
{
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		if (ip_addr_equal(&doctor->config->frontends[i].endpoint.addr, addr))
			return true;
	}
	return false;
}

bool doctor_has_family(const struct doctor *doctor, bool is_v4)
{
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		if (ip_addr_is_v4(&doctor->config->frontends[i].endpoint.addr) == is_v4)
			return true;
	}
	return false;
}

// ---- names -------------------------------------------------------------------------------------

const char *doctor_backend_name(const struct doctor_hop *hop, char *text)
{
	char addr[CONFIG_BACKEND_TEXT_MAX];
	snprintf(text, SUBJECT_MAX, "%s/%s %s", hop->pool->name, hop->backend->name,
		 config_backend_format(hop->backend, addr));
	return text;
}

const char *doctor_frontend_name(const struct config_frontend *frontend, char *text)
{
	char addr[ENDPOINT_TEXT_MAX];
	snprintf(text, SUBJECT_MAX, "%s %s", frontend->name,
		 endpoint_format(&frontend->endpoint, addr));
	return text;
}
