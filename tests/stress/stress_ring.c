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
	static const struct ring_stress shapes[] = {{1, 1, 0}, {1, 64, 0}, {2, 16, 0}, {4, 4, 0}};
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct ring_stress stress = shapes[i];
		stress.n_items = n_items;
		const char *wrong = ring_stress_run(&stress);
		printf("stress_ring: %u producers, rings of %u: %s\n", stress.n_producers,
		       stress.ring_size, wrong ? wrong : "ok");
		if (wrong)
			return 1;
	}
	return 0;
}
