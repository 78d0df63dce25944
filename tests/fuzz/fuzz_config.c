// SPDX-License-Identifier: Apache-2.0
// Any bytes as a configuration file: the first one picks the syntax, and the mode that is looked at
// in a file with errors. A file that loads has to stand the checks of every mode as well.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "config/check_mode.h"
#include "config/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum mode modes[] = {MODE_PROXY, MODE_PASSTHROUGH, MODE_DSR};

static void check_modes(const struct config *config, struct config_errors *errors)
{
	static const struct local_ports ports = {.min = 32768, .max = 60999};
	struct report report = {.errors = errors, .path = config->path};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		check_mode_addresses(config, modes[i], &report);
	check_mode_dsr(config, &report);
	check_mode_nat_ports(config, &ports, &report);
	report_finish(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return -1;
	const struct config_text text = {
		.text = (const char *)data + 1,
		.length = size - 1,
		.syntax = data[0] & 1 ? SYNTAX_YAML : SYNTAX_TOML,
		.path = "fuzz",
	};
	unsigned mode = data[0] >> 1 & 3;
	struct config *config = NULL;
	struct config_errors errors = {0};
	int code = config_parse_for(&text, mode < 3 ? &modes[mode] : NULL, &config, &errors);
	if ((code == 0) != (config != NULL) || (code != 0) != (errors.count > 0))
		abort();
	if (config)
		check_modes(config, &errors);
	config_destroy(config);
	config_errors_fini(&errors);
	return 0;
}
