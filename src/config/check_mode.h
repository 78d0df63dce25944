// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/local_ports.h"
#include "config/report.h"
#include "culvert/config/config.h"

// The parts of config_check_mode(): what the mode asks of the configuration, what DSR asks beyond
// that, and whether the NAT ports keep clear of this host's own.
// In a configuration with errors the first of them, but for what is broken: check_mode_rest().
void check_mode_rest(const struct config *config, enum mode mode, struct report *report);
void check_mode_addresses(const struct config *config, enum mode mode, struct report *report);
void check_mode_dsr(const struct config *config, struct report *report);
void check_mode_nat_ports(const struct config *config, const struct local_ports *ports,
			  struct report *report);
void check_mode_own_ports(const struct config *config, const struct local_ports *ports,
			  struct report *report);
