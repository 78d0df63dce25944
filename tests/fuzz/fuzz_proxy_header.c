// SPDX-License-Identifier: Apache-2.0
// Any bytes as the beginning of a connection, arriving in parts: see
// tests/support/lib/header_check.h.
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/header_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = header_check(data, size);
	if (wrong) {
		fprintf(stderr, "fuzz_proxy_header: %s\n", wrong);
		abort();
	}
	return 0;
}
