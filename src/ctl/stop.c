// SPDX-License-Identifier: Apache-2.0
#include "ctl/stop.h"

#include <signal.h>

static volatile sig_atomic_t is_wanted; // a handler has nothing else to write to

static void on_signal(int number)
{
	(void)number;
	is_wanted = 1;
}

void stop_catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal}; // without SA_RESTART: waiting ends
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

bool stop_is_wanted(void)
{
	return is_wanted;
}
