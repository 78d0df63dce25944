// SPDX-License-Identifier: Apache-2.0
// From a command line to a running mode. This file and the mode's own (packet_mode.c) are the only
// ones that know everybody.
#include "app.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "check_backends.h"
#include "culvert/base/log.h"
#include "packet_mode.h"
#include "privileges.h"
#include "proxy_mode.h"

static void print_errors(const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct err *e = &errors->list[i];
		if (e->file && e->line)
			fprintf(stderr, "%s:%u:%u: %s\n", e->file, e->line, e->column, e->message);
		else if (e->file)
			fprintf(stderr, "%s: %s\n", e->file, e->message);
		else
			fprintf(stderr, "culvert: %s\n", e->message);
	}
}

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "tcp" : "udp";
}

static void print_reply_rule(const struct config_passthrough *passthrough,
			     const struct endpoint *backend, const char *snat)
{
	char addr[IP_ADDR_TEXT_MAX];
	printf("reply %s %s %u %s %u %u\n", proto_name(backend->proto),
	       ip_addr_format(&backend->addr, addr), ntohs(backend->port_be), snat,
	       passthrough->nat_port_min, passthrough->nat_port_max);
}

// For each source address of the backend's family; without any, it is the route's.
static void print_reply_rules(const struct config_passthrough *passthrough,
			      const struct endpoint *backend)
{
	char snat[IP_ADDR_TEXT_MAX];
	bool has_any = false;
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		const struct ip_addr *addr = &passthrough->snat_addrs[i];
		if (ip_addr_is_v4(addr) != ip_addr_is_v4(&backend->addr))
			continue;
		print_reply_rule(passthrough, backend, ip_addr_format(addr, snat));
		has_any = true;
	}
	if (!has_any)
		print_reply_rule(passthrough, backend, "any");
}

// One line per rule, for iptables/setup.sh.
static void print_firewall(const struct config *config)
{
	for (size_t i = 0; i < config->n_frontends; i++) {
		const struct endpoint *endpoint = &config->frontends[i].endpoint;
		char addr[IP_ADDR_TEXT_MAX];
		printf("frontend %s %s %u\n", proto_name(endpoint->proto),
		       ip_addr_format(&endpoint->addr, addr), ntohs(endpoint->port_be));
	}
	for (size_t i = 0; i < config->n_pools && config->mode != MODE_DSR; i++) {
		const struct config_pool *pool = &config->pools[i];
		for (size_t j = 0; j < pool->n_backends; j++) {
			if (!pool->backends[j].unix_path) // no packets come from there
				print_reply_rules(&config->passthrough,
						  &pool->backends[j].endpoint);
		}
	}
}

static int enter_privileges(const struct config *config)
{
	struct err err = {0};
	if (!config->service_user || !privileges_enter(config->service_user, config, &err))
		return 0;
	log_error("culvert", "cannot start: %s", err.message);
	return -1;
}

static int run_mode(struct config *config)
{
	if (config->mode == MODE_PROXY)
		proxy_mode_clear_way(config);
	if (enter_privileges(config))
		return EXIT_CODE_FAILED;
	if (config->mode == MODE_PROXY ? proxy_mode_run(config) : packet_mode_run(config))
		return EXIT_CODE_FAILED;
	log_info("culvert", "stopped");
	return EXIT_CODE_OK;
}

static int check_backends(const struct config *config)
{
	if (config->mode == MODE_DSR)
		return check_backends_run(config);
	fprintf(stderr,
		"culvert: --check-backends is for mode dsr, and this is mode %s; give --dsr, or "
		"set mode = \"dsr\"\n",
		mode_name(config->mode));
	return EXIT_CODE_USAGE;
}

static int open_log(const struct config *config)
{
	struct err err = {0};
	struct log_settings settings = {
		.level = config->log_level,
		.format = config->log_format,
		.output = config->log_output,
	};
	int code = log_open(&settings, &err);
	if (code)
		fprintf(stderr, "culvert: [log] output: %s\n", err.message);
	return code;
}

static int run(const struct app_options *options, struct config *config)
{
	if (options->is_print_firewall) {
		print_firewall(config);
		return EXIT_CODE_OK;
	}
	struct config_errors errors = {0};
	if (config_check_mode(config, config->mode, &errors)) {
		print_errors(&errors);
		config_errors_fini(&errors);
		return EXIT_CODE_USAGE;
	}
	if (options->is_check) {
		printf("%s: ok (%s mode)\n", config->path, mode_name(config->mode));
		return EXIT_CODE_OK;
	}
	if (open_log(config))
		return EXIT_CODE_FAILED;
	if (options->is_check_backends)
		return check_backends(config);
	return run_mode(config);
}

int app_run(const struct app_options *options)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	const struct config_overrides *overrides = &options->overrides;
	if (config_load_for(options->config_path, overrides->has_mode ? &overrides->mode : NULL,
			    &config, &errors)) {
		print_errors(&errors);
		config_errors_fini(&errors);
		return EXIT_CODE_USAGE;
	}
	int code = EXIT_CODE_FAILED;
	if (config_override(config, &options->overrides) == 0)
		code = run(options, config);
	else
		fputs("culvert: not enough memory\n", stderr);
	config_unref(config);
	return code;
}
