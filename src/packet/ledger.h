// SPDX-License-Identifier: Apache-2.0
// What one thread has seen end: summed over the threads, received equals the sum of the verdicts.
#pragma once

#include "culvert/base/counter.h"
#include "culvert/flow/verdict.h"

struct ledger { // w: the thread it belongs to, r: any
	counter_t received;
	counter_t generated;
	counter_t verdicts[N_VERDICTS];
};
