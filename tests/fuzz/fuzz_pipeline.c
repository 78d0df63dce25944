// SPDX-License-Identifier: Apache-2.0
// Any frames, in any order, with time and backends moving: see tests/support/lib/barrage.h.
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/barrage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = barrage_run(data, size);
	if (wrong) {
		fprintf(stderr, "fuzz_pipeline: %s\n", wrong);
		abort();
	}
	return 0;
}
