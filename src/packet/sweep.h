// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

// When the snapshot says that a backend has gone down since the last look, reset its live flows
// towards their clients, as many per call as there are empty packets to write resets into.
// Called by: the worker, from worker_begin().
void sweep(struct worker *worker);

// Is there a packet for another reset? And one for the TCP flow `index`, towards its client.
bool sweep_has_room(const struct worker *worker);
void sweep_reset_client(struct worker *worker, uint32_t index);
