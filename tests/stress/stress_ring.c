// SPDX-License-Identifier: Apache-2.0
// The rings and their doorbell, for longer than a unit test may take and under thread sanitizers.
// Usage: stress_ring [items per producer]. Exit status 0 when all is well.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/ring_stress.h"

int main(int argc, char **argv)
{
	unsigned long n_items = 300000;
	if (argc > 1) {
		char *end;
		errno = 0;
		n_items = strtoul(argv[1], &end, 10);
		if (errno || *end || n_items == 0) {
			fprintf(stderr, "usage: %s [items per producer]\n", argv[0]);
			return 2;
		}
	}
	const char *wrong = ring_stress_run(n_items);
	printf("stress_ring: %s\n", wrong ? wrong : "ok");
	return wrong ? 1 : 0;
}
