// SPDX-License-Identifier: Apache-2.0
// `culvertctl config`: the configuration in force.
#include "ctl/ask.h"
#include "ctl/command.h"

static int show(const struct ctl *ctl, const json_t *answer)
{
	(void)ctl;
	return ask_print_json(answer);
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	(void)args;
	return ask_show(ctl, "/api/v1/config", show);
}

const struct command config_command = {
	.name = "config",
	.summary = "the configuration in force, as JSON",
	.help = "The configuration in force, every default filled in, as JSON. What is a secret is "
		"left out.",
	.run = run,
};
