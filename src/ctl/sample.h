// SPDX-License-Identifier: Apache-2.0
// A capture of dropped packets, from culvert into a file.
#pragma once

#include <stdint.h>

#include "ctl/ctl.h"

struct sample {
	const char *reason; // a name of the drop ledger
	const char *file;   // "-": standard output
	long n_packets;     // at most
	long duration_s;    // at most
};

// The file appears when it is whole, or not at all. Says how many packets are in it. Returns an
// exit code.
int sample_take(const struct ctl *ctl, const struct sample *sample);
