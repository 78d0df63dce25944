// SPDX-License-Identifier: Apache-2.0
// A worker's answers to what control asks about its flows: culvert/flow/query.h.
// Called by: the worker, between batches.
#pragma once

struct worker;

// Look at the next piece of the table, if anything has been asked.
void query_answer(struct worker *worker);
