// SPDX-License-Identifier: Apache-2.0
// The first stage: empty buffers in, steered packets out. What steering has decided already (not
// culvert's, damaged) ends here. Fragments that come before their first one wait here.
// Called by: the capturing thread, but for init and fini.
#pragma once

#include "culvert/packet/io.h"
#include "packet/fragments.h"
#include "packet/ledger.h"
#include "packet/packet_pool.h"
#include "packet/sample.h"
#include "packet/steer.h"

struct capture {
	const struct io_driver *driver; // borrowed
	struct io *io;                  // borrowed
	struct packet_pool pool;        // owned; all buffers come from and return to here
	struct steering steering;
	struct fragments fragments; // owned
	uint64_t (*now_ns)(void);   // only asked for fragments
	struct ledger ledger;
	struct sample_tap tap;
	uint32_t finished; // bit i: link i will never bring anything again
};

// Receive one burst from `link`. Returns how many packets wait in `out` (room for PACKET_BURST) for
// their workers. *is_idle is cleared when anything was received at all.
uint32_t capture_burst(struct capture *capture, const struct snapshot *snapshot, uint32_t link,
		       struct packet **out, bool *is_idle);

static inline bool capture_is_finished(const struct capture *capture, uint32_t n_links)
{
	return capture->finished == (UINT32_C(1) << n_links) - 1;
}

// Nothing more is captured: what still waits for a first fragment is dropped.
void capture_end(struct capture *capture);

// How long capture may sleep when nothing comes in, in milliseconds; -1 is for ever.
static inline int capture_idle_ms(const struct capture *capture)
{
	return fragments_do_wait(&capture->fragments) ? FRAGMENTS_LOOK_MS : -1;
}

// An empty packet for a worker's own use; NULL when all buffers are out.
struct packet *capture_spare(struct capture *capture);
