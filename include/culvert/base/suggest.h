// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

// The nearest of the names offered so far, for a "did you mean". Zero-initialise but for `wanted`.
// Any thread.
struct suggestion {
	const char *wanted; // borrowed
	const char *best;   // borrowed; NULL: nothing is near
	size_t distance;
};

// Offer one name. Near is: a third of the letters changed at most, and no more than 3. The wanted
// name itself is not near.
void suggest_offer(struct suggestion *suggestion, const char *name);
