// SPDX-License-Identifier: Apache-2.0
// Clients that come, talk and go without end, in a thread of its own, while a test disturbs the rig
// that they talk to. They never look at what comes out: it is forgotten.
// Called by: the thread of the test.
#pragma once

#include <pthread.h>

#include "frame.h"
#include "rig.h"

// The next segment of the client of that number, as rig_client_segment() says it.
typedef struct frame_spec (*rig_traffic_spec_fn)(uint32_t number, uint8_t flags);

struct rig_traffic {
	struct rig *rig;
	rig_traffic_spec_fn spec;
	pthread_t thread;
	_Atomic bool is_stopping; // w: the test, r: the source
	uint64_t n_pushed;        // read after the join
};

// Begin. What cannot fail in a test aborts it.
void rig_traffic_start(struct rig_traffic *traffic, struct rig *rig, rig_traffic_spec_fn spec);
// End; the rig's books have what was sent.
void rig_traffic_stop(struct rig_traffic *traffic);
