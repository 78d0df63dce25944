// SPDX-License-Identifier: Apache-2.0
#include "ctl/usage.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/base/suggest.h"

enum {
	OPTION_SOCKET = 256,
	OPTION_TIMEOUT,
	OPTION_JSON,
	OPTION_NO_COLOR,
	OPTION_OF_COMMAND, // this and those above it, by their places
	HELP_INDENT = 26,
	COMMAND_INDENT = 37,
	MAX_TIMEOUT_S = 3600,
	MS_PER_S = 1000,
	PROGRAM_MAX = 64,
};

static const struct option global_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"json", no_argument, NULL, OPTION_JSON},
	{"no-color", no_argument, NULL, OPTION_NO_COLOR},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
};
enum { N_GLOBAL_OPTIONS = sizeof(global_options) / sizeof(*global_options) };

static const struct command *const look_commands[] = {
	&status_command, &servers_command, &stats_command,   &flows_command,  &drops_command,
	&events_command, &top_command,     &explain_command, &config_command, NULL,
};
static const struct command *const change_commands[] = {
	&drain_command,  &maint_command, &ready_command, &weight_command,
	&reload_command, &check_command, NULL,
};

static const char global_help[] =
	"      --socket=PATH       where culvert listens; default " CTL_DEFAULT_SOCKET ",\n"
	"                          or what CULVERT_SOCKET says\n"
	"      --timeout=SECONDS   how long to wait for an answer; default 10\n"
	"      --json              print what culvert answered, as JSON\n"
	"      --no-color          no colours; they are only for terminals anyway\n"
	"  -h, --help              print this, or help for the command, and exit\n"
	"  -v, --version           print the version, and exit\n";

static void print_commands(FILE *out, const char *heading, const struct command *const *list)
{
	fprintf(out, "\n%s\n", heading);
	for (; *list; list++) {
		char words[PROGRAM_MAX];
		const char *arguments = (*list)->arguments;
		snprintf(words, sizeof(words), "%s%s%s", (*list)->name, arguments ? " " : "",
			 arguments ? arguments : "");
		fprintf(out, "  %-*s%s\n", COMMAND_INDENT - 2, words, (*list)->summary);
	}
}

static void print_help(FILE *out)
{
	fputs("Usage: culvertctl [OPTION...] COMMAND [ARGUMENT...]\n"
	      "Asks a running culvert how it is, and tells it what to do.\n",
	      out);
	print_commands(out, "To look:", look_commands);
	print_commands(out, "To change:", change_commands);
	fprintf(out, "\nOptions, before or after the command:\n%s", global_help);
	fputs("\nExit codes: 0 done; 1 the answer is no (refused, not found, not ready); 2 bad "
	      "command\n"
	      "line; 3 culvert was not reached. See culvertctl(8).\n",
	      out);
}

static void print_command_help(const struct command *command)
{
	printf("Usage: culvertctl %s%s%s%s\n", command->name,
	       command->n_options ? " [OPTION...]" : "", command->arguments ? " " : "",
	       command->arguments ? command->arguments : "");
	printf("%s\n", command->help ? command->help : command->summary);
	if (command->n_options > 0)
		puts("\nOptions:");
	for (size_t i = 0; i < command->n_options; i++) {
		const struct command_option *option = &command->options[i];
		char words[PROGRAM_MAX];
		snprintf(words, sizeof(words), "--%s%s%s", option->name, option->value ? "=" : "",
			 option->value ? option->value : "");
		printf("      %-*s  %s\n", HELP_INDENT - 8, words, option->help);
	}
	printf("\nOptions of every command:\n%s", global_help);
}

int usage_error(const struct command *command, const char *format, ...)
{
	va_list args;
	fputs("culvertctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry `culvertctl %s%s--help'.\n", command ? command->name : "",
		command ? " " : "");
	return CTL_USAGE;
}

bool usage_parse_number(const char *text, long min, long max, long *number)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (end == text || *end || errno || value < min || value > max)
		return false;
	*number = value;
	return true;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; look_commands[i]; i++) {
		if (strcmp(look_commands[i]->name, name) == 0)
			return look_commands[i];
	}
	for (size_t i = 0; change_commands[i]; i++) {
		if (strcmp(change_commands[i]->name, name) == 0)
			return change_commands[i];
	}
	return NULL;
}

// Returns an exit code when the program should end, else -1.
static int take_global(struct ctl *ctl, const struct command *command, int option)
{
	long seconds;
	switch (option) {
	case OPTION_SOCKET:
		ctl->socket_path = optarg;
		return -1;
	case OPTION_TIMEOUT:
		if (!optarg || !usage_parse_number(optarg, 1, MAX_TIMEOUT_S, &seconds))
			return usage_error(command, "--timeout takes seconds, 1 to %d",
					   MAX_TIMEOUT_S);
		ctl->timeout_ms = (uint32_t)seconds * MS_PER_S;
		return -1;
	case OPTION_JSON:
		ctl->is_json = true;
		return -1;
	case OPTION_NO_COLOR:
		ctl->has_color = false;
		return -1;
	case 'h':
		if (command)
			print_command_help(command);
		else
			print_help(stdout);
		return CTL_OK;
	case 'v':
		puts("culvertctl " CULVERT_VERSION);
		return CTL_OK;
	default: // getopt has said what is wrong
		fprintf(stderr, "Try `culvertctl %s%s--help'.\n", command ? command->name : "",
			command ? " " : "");
		return CTL_USAGE;
	}
}

static int parse_global(int argc, char **argv, struct ctl *ctl)
{
	struct option options[N_GLOBAL_OPTIONS + 1] = {0};
	memcpy(options, global_options, sizeof(global_options));
	int option;
	while ((option = getopt_long(argc, argv, "+hv", options, NULL)) != -1) {
		int code = take_global(ctl, NULL, option);
		if (code >= 0)
			return code;
	}
	return -1;
}

static int parse_options(int argc, char **argv, struct ctl *ctl, const struct command *command,
			 struct command_args *args)
{
	struct option options[N_GLOBAL_OPTIONS + COMMAND_MAX_OPTIONS + 1] = {0};
	memcpy(options, global_options, sizeof(global_options));
	for (size_t i = 0; i < command->n_options; i++)
		options[N_GLOBAL_OPTIONS + i] = (struct option){
			.name = command->options[i].name,
			.has_arg = command->options[i].value ? required_argument : no_argument,
			.val = OPTION_OF_COMMAND + (int)i,
		};
	int option;
	optind = 0; // begin anew, with another vector
	while ((option = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
		if (option >= OPTION_OF_COMMAND) {
			args->values[option - OPTION_OF_COMMAND] = optarg ? optarg : "";
			continue;
		}
		int code = take_global(ctl, command, option);
		if (code >= 0)
			return code;
	}
	return -1;
}

static int take_arguments(int argc, char **argv, const struct command *command,
			  struct command_args *args)
{
	args->n_arguments = (size_t)(argc - optind);
	if (args->n_arguments > command->max_arguments && command->max_arguments == 0)
		return usage_error(command, "%s takes no argument", command->name);
	if (args->n_arguments > command->max_arguments ||
	    args->n_arguments < command->min_arguments)
		return usage_error(command, "%s takes %s", command->name, command->arguments);
	for (size_t i = 0; i < args->n_arguments; i++)
		args->arguments[i] = argv[optind + (int)i];
	return -1;
}

static int unknown_command(const char *name)
{
	struct suggestion near = {.wanted = name};
	for (size_t i = 0; look_commands[i]; i++)
		suggest_offer(&near, look_commands[i]->name);
	for (size_t i = 0; change_commands[i]; i++)
		suggest_offer(&near, change_commands[i]->name);
	if (near.best)
		return usage_error(NULL, "there is no command \"%s\"; did you mean \"%s\"?", name,
				   near.best);
	return usage_error(NULL, "there is no command \"%s\"", name);
}

// `culvertctl help [COMMAND]', as many programs have it.
static int help_on(const char *name)
{
	const struct command *command = name ? find_command(name) : NULL;
	if (name && !command)
		return unknown_command(name);
	if (command)
		print_command_help(command);
	else
		print_help(stdout);
	return CTL_OK;
}

int usage_parse(int argc, char **argv, struct ctl *ctl, const struct command **command,
		struct command_args *args)
{
	static char program[PROGRAM_MAX];
	int code = parse_global(argc, argv, ctl);
	if (code >= 0)
		return code;
	const char *name = optind < argc ? argv[optind] : NULL;
	if (!name) {
		print_help(stderr);
		return CTL_USAGE;
	}
	if (strcmp(name, "help") == 0)
		return help_on(argv[optind + 1]);
	*command = find_command(name);
	if (!*command)
		return unknown_command(name);
	snprintf(program, sizeof(program), "culvertctl %s", name);
	argc -= optind;
	argv += optind;
	argv[0] = program; // what getopt begins its messages with
	code = parse_options(argc, argv, ctl, *command, args);
	return code >= 0 ? code : take_arguments(argc, argv, *command, args);
}
