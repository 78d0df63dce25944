// SPDX-License-Identifier: Apache-2.0
// The command: options, the checks one after another, the report.
#include "culvert/doctor/doctor.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "app.h"
#include "culvert/base/event_loop.h"
#include "culvert/base/log.h"
#include "culvert/control/instance.h"
#include "doctor/checks.h"

enum { OPTION_PROXY = 256, OPTION_JSON, OPTION_ALL, OPTION_CHECK_SOURCE };

static const struct option long_options[] = {
	{"proxy", no_argument, NULL, OPTION_PROXY},
	{"passthrough", no_argument, NULL, 'p'},
	{"dsr", no_argument, NULL, 'd'},
	{"config", required_argument, NULL, 'c'},
	{"check-source", required_argument, NULL, OPTION_CHECK_SOURCE},
	{"json", no_argument, NULL, OPTION_JSON},
	{"all", no_argument, NULL, OPTION_ALL},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: culvert doctor [--proxy | --passthrough | --dsr] --config=FILE [OPTION...]\n"
	"Look at this host, its network and the backends for what would keep culvert from\n"
	"working, and say what mends it. Nothing is changed. What it sends: one health check to\n"
	"each backend, ARP requests or neighbour solicitations for it, and in mode dsr the\n"
	"readiness check.\n"
	"\n"
	"      --proxy, -p, --passthrough, -d, --dsr\n"
	"                          the mode to look at; wins over `mode` in the file\n"
	"  -c, --config=FILE       configuration, TOML or YAML\n"
	"      --check-source=ADDR dsr: address to test from, which no host has; once for IPv4\n"
	"                          and once for IPv6; wins over [dsr] check_source\n"
	"      --all               a line for each thing looked at, where else \"(and 2 more)\"\n"
	"                          sums up\n"
	"      --json              the report as JSON, always with everything\n"
	"  -h, --help              print this, and exit\n"
	"\n"
	"Exit codes: 0 nothing is wrong, or there are warnings only; 1 there is an error; 2 bad\n"
	"command line or configuration. See culvert(8).\n";

struct options {
	const char *config_path;
	struct config_overrides overrides;
	bool is_json;
	struct findings_style style;
};

// ---- the command line --------------------------------------------------------------------------

static int usage_error(const char *text)
{
	fprintf(stderr, "culvert doctor: %s\nTry `culvert doctor --help'.\n", text);
	return EXIT_CODE_USAGE;
}

// These return an exit code when the program should end at once, else -1.
static int take_override(const char *problem)
{
	return problem ? usage_error(problem) : -1;
}

static int take_option(struct options *options, int option)
{
	struct config_overrides *overrides = &options->overrides;
	switch (option) {
	case OPTION_PROXY:
		return take_override(config_overrides_set_mode(overrides, MODE_PROXY));
	case 'p':
		return take_override(config_overrides_set_mode(overrides, MODE_PASSTHROUGH));
	case 'd':
		return take_override(config_overrides_set_mode(overrides, MODE_DSR));
	case 'c':
		options->config_path = optarg;
		return -1;
	case OPTION_CHECK_SOURCE:
		return take_override(config_overrides_set_check_source(overrides, optarg));
	case OPTION_JSON:
		options->is_json = true;
		return -1;
	case OPTION_ALL:
		options->style.is_verbose = true;
		return -1;
	case 'h':
		fputs(help_text, stdout);
		return EXIT_CODE_OK;
	default:
		fputs("Try `culvert doctor --help'.\n", stderr);
		return EXIT_CODE_USAGE;
	}
}

static int parse(struct options *options, int argc, char **argv)
{
	int option;
	while ((option = getopt_long(argc, argv, "pdc:h", long_options, NULL)) != -1) {
		int code = take_option(options, option);
		if (code >= 0)
			return code;
	}
	if (optind < argc)
		return usage_error("there are no arguments besides options");
	if (!options->config_path)
		return usage_error("give a configuration file with --config=FILE");
	return -1;
}

static void print_errors(const struct config_errors *errors, const char *path)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct err *e = &errors->list[i];
		if (e->line)
			fprintf(stderr, "%s:%u:%u: %s\n", path, e->line, e->column, e->message);
		else
			fprintf(stderr, "%s: %s\n", path, e->message);
	}
}

static int load(const struct options *options, struct config **config)
{
	const struct config_overrides *overrides = &options->overrides;
	struct config_errors errors = {0};
	int code = config_load_for(options->config_path,
				   overrides->has_mode ? &overrides->mode : NULL, config, &errors);
	print_errors(&errors, options->config_path);
	config_errors_fini(&errors);
	if (code)
		return code;
	return config_override(*config, overrides);
}

// ---- looking -----------------------------------------------------------------------------------

static uint64_t own_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

// As culvert does when it starts: checks of many backends need descriptors.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void on_network_change(void *arg)
{
	(void)arg; // who waits for something looks by himself
}

static int open_doctor(struct doctor *doctor)
{
	struct err err = {0};
	doctor->base = event_loop_create();
	if (!doctor->base)
		return -ENOMEM;
	doctor->check = "network";
	if (netwatch_create(&doctor->netwatch, doctor->base, on_network_change, doctor, &err))
		doctor_say(doctor, STATUS_SKIPPED, "", "%s", err.message);
	doctor->capabilities = own_capabilities();
	doctor->holder = instance_holder();
	doctor_find_network(doctor);
	return 0;
}

static void close_doctor(struct doctor *doctor)
{
	netwatch_destroy(doctor->netwatch);
	if (doctor->base)
		event_base_free(doctor->base);
	free(doctor->hops);
	findings_fini(&doctor->findings);
}

static void show_progress(const char *what)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s", what);
}

static void look(struct doctor *doctor)
{
	char line[64];
	for (size_t i = 0; i < n_doctor_checks; i++) {
		const struct doctor_check *check = &doctor_checks[i];
		if (!(check->modes & 1U << doctor->config->mode))
			continue;
		snprintf(line, sizeof(line), "looking at %s ...", check->name);
		show_progress(line);
		doctor->check = check->name;
		check->run(doctor);
	}
	show_progress("");
}

static int show(const struct doctor *doctor, const struct options *options)
{
	const struct findings *findings = &doctor->findings;
	const struct config *config = doctor->config;
	if (!options->is_json)
		findings_print(findings, options->style, stdout);
	else if (findings_print_json(findings, config->path, mode_name(config->mode), stdout))
		return EXIT_CODE_FAILED;
	bool is_well = findings_count(findings, STATUS_ERROR) == 0 && !findings->is_incomplete;
	return fflush(stdout) == 0 && is_well ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int doctor_main(int argc, char **argv)
{
	struct options options = {.style = {.is_coloured = isatty(STDOUT_FILENO)}};
	struct config *config = NULL;
	int code = parse(&options, argc, argv);
	if (code >= 0)
		return code;
	if (load(&options, &config))
		return EXIT_CODE_USAGE;
	struct doctor doctor = {
		.config = config,
		.root = "",
		.clock = adjtimex,
		.ask_for_programs = kernel_ask_for_programs,
	};
	log_set_level(LOG_ERROR); // the report says it
	raise_descriptor_limit();
	code = EXIT_CODE_FAILED;
	if (open_doctor(&doctor) == 0) {
		look(&doctor);
		code = show(&doctor, &options);
	} else {
		fputs("culvert doctor: not enough memory\n", stderr);
	}
	close_doctor(&doctor);
	config_destroy(config);
	return code;
}
