// SPDX-License-Identifier: Apache-2.0
// culvertctl: asks a running culvert by its API, and tells it what to do. One file of this folder
// for each command; the command line is in usage.c.
#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/usage.h"

enum { DEFAULT_TIMEOUT_MS = 10000 };

static const char *default_socket(void)
{
	const char *path = getenv("CULVERT_SOCKET");
	return path && *path ? path : CTL_DEFAULT_SOCKET;
}

// By the convention of no-color.org, and for terminals that can.
static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && (!no_color || !*no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

static unsigned terminal_columns(void)
{
	struct winsize size;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
		.socket_path = default_socket(),
		.timeout_ms = DEFAULT_TIMEOUT_MS,
		.has_color = wants_color(),
		.n_columns = terminal_columns(),
	};
	const struct command *command = NULL;
	struct command_args args = {0};
	setlocale(LC_CTYPE, ""); // names may be in any script
	int code = usage_parse(argc, argv, &ctl, &command, &args);
	if (code >= 0)
		return code;
	if (curl_global_init(CURL_GLOBAL_NOTHING)) {
		fputs("culvertctl: libcurl could not be set up\n", stderr);
		return CTL_UNREACHABLE;
	}
	code = command->run(&ctl, &args);
	curl_global_cleanup();
	if (fflush(stdout) || ferror(stdout)) {
		fputs("culvertctl: the output could not be written\n", stderr);
		return code ? code : CTL_NO;
	}
	return code;
}
