// SPDX-License-Identifier: Apache-2.0
#pragma once

struct worker;

// When the snapshot says that a backend has gone down since the last look, reset its live flows
// towards their clients, as many per call as there are empty packets to write resets into.
// Called by: the worker, from worker_begin().
void sweep(struct worker *worker);
