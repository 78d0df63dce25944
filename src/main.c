// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "culvert/doctor/doctor.h"

enum {
	OPTION_PROXY = 256,
	OPTION_CHECK,
	OPTION_CHECK_BACKENDS,
	OPTION_CHECK_SOURCE,
	OPTION_LOG_LEVEL,
	OPTION_PRINT_FIREWALL,
	OPTION_USER,
};

static const struct option long_options[] = {
	{"proxy", no_argument, NULL, OPTION_PROXY},
	{"passthrough", no_argument, NULL, 'p'},
	{"dsr", no_argument, NULL, 'd'},
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"check-backends", no_argument, NULL, OPTION_CHECK_BACKENDS},
	{"check-source", required_argument, NULL, OPTION_CHECK_SOURCE},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"user", required_argument, NULL, OPTION_USER},
	{"print-firewall", no_argument, NULL, OPTION_PRINT_FIREWALL},
	{"version", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: culvert [--proxy | --passthrough | --dsr] --config=FILE [OPTION...]\n"
	"       culvert doctor --config=FILE [OPTION...]   (see culvert doctor --help)\n"
	"A layer-4 network load balancer.\n"
	"\n"
	"Modes (the flag wins over `mode` in the file; without either it is proxy):\n"
	"      --proxy             relay TCP connections\n"
	"  -p, --passthrough       forward packets, translating addresses both ways\n"
	"  -d, --dsr               forward packets, backends answer clients directly\n"
	"\n"
	"Options:\n"
	"  -c, --config=FILE       configuration, TOML or YAML by its ending (.toml, .yaml, .yml)\n"
	"      --check             say what is wrong with the configuration file, and exit\n"
	"      --check-backends    test whether each backend is ready for dsr, say what mends it,\n"
	"                          and exit\n"
	"      --check-source=ADDR address to test from, which no host has; once for IPv4 and\n"
	"                          once for IPv6; wins over [dsr] check_source\n"
	"      --log-level=LEVEL   error, warn, info or debug; wins over [log] level\n"
	"      --user=NAME         become this user, with only the capabilities that are\n"
	"                          needed; wins over [service] user\n"
	"      --print-firewall    print what iptables/setup.sh needs to know, and exit\n"
	"  -v, --version           print the version, and exit\n"
	"  -h, --help              print this, and exit\n"
	"\n"
	"Exit codes: 0 stopped by SIGTERM or SIGINT, or a check passed; 1 could not start,\n"
	"broke down, or a backend is not ready; 2 bad command line or configuration.\n"
	"See culvert(8) and culvert.toml(5).\n";

// What is opened next gets the lowest number that is free. Were that one of these, a socket would
// get what is logged, and a program be taken for none (io.h).
static bool open_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

static int usage_error(const char *text)
{
	fprintf(stderr, "culvert: %s\nTry `culvert --help'.\n", text);
	return EXIT_CODE_USAGE;
}

// These return an exit code when the program should end at once, else -1.
static int take_override(const char *problem)
{
	return problem ? usage_error(problem) : -1;
}

static int set_log_level(struct app_options *options, const char *name)
{
	options->overrides.has_log_level = true;
	if (log_level_parse(name, &options->overrides.log_level))
		return -1;
	return usage_error("--log-level takes error, warn, info or debug");
}

static int take_option(struct app_options *options, int option)
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
	case OPTION_CHECK:
		options->is_check = true;
		return -1;
	case OPTION_CHECK_BACKENDS:
		options->is_check_backends = true;
		return -1;
	case OPTION_CHECK_SOURCE:
		return take_override(config_overrides_set_check_source(overrides, optarg));
	case OPTION_LOG_LEVEL:
		return set_log_level(options, optarg);
	case OPTION_USER:
		overrides->user = optarg;
		return -1;
	case OPTION_PRINT_FIREWALL:
		options->is_print_firewall = true;
		return -1;
	case 'v':
		printf("culvert %s\n", CULVERT_VERSION);
		return EXIT_CODE_OK;
	case 'h':
		fputs(help_text, stdout);
		return EXIT_CODE_OK;
	default:
		fputs("Try `culvert --help'.\n", stderr);
		return EXIT_CODE_USAGE;
	}
}

int main(int argc, char **argv)
{
	struct app_options options = {0};
	int option;
	if (!open_standard_files()) {
		fputs("culvert: standard input, output or error is closed, and there is no "
		      "/dev/null to take its place\n",
		      stderr);
		return EXIT_CODE_FAILED;
	}
	// A client of the statistics server that has gone away is an error of write(), no more.
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "doctor") == 0)
		return doctor_main(argc - 1, argv + 1);
	while ((option = getopt_long(argc, argv, "pdc:vh", long_options, NULL)) != -1) {
		int code = take_option(&options, option);
		if (code >= 0)
			return code;
	}
	if (optind < argc)
		return usage_error("there are no arguments besides options");
	if (!options.config_path)
		return usage_error("give a configuration file with --config=FILE");
	return app_run(&options);
}
