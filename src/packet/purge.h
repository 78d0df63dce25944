// SPDX-License-Identifier: Apache-2.0
#pragma once

struct worker;

// When the snapshot has frontends or backends that were removed and whose time is over, end all of
// their flows: live connections by a reset towards the client, and a while later; the others at
// once. A part of the table per call.
// Called by: the worker, from worker_begin().
void purge(struct worker *worker);
