// SPDX-License-Identifier: Apache-2.0
// What clients' connections tell about a backend, in the packet modes: looked at from time to time,
// judged with care, since a backend that is wrongly taken for dead does more harm than one that is
// found dead a little later.
// Pure. Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/flow/opens.h"

enum open_verdict {
	OPENS_WELL,    // or nothing can be said
	OPENS_REFUSED, // as many in a row as it takes
	OPENS_SILENT,  // as many without an answer, and nothing else from the backend
};

struct open_rules {
	uint32_t fall;       // at least 1
	uint64_t silence_ns; // for how long nothing at all has to be heard
	bool hears_answers;  // false: backends answer past us, and silence means nothing
};

// Zero-initialise, and again when the backend has been down or is another.
struct open_watch {
	struct opens last;
	uint64_t n_refused; // in a row
	uint64_t since_ns;  // when somebody began to wait, or 0
	uint64_t n_asked;   // before that
	bool is_begun;
};

// Look at the sums as they are now. A refusal between two answers does not count, nor one in the
// same look as an answer. A verdict is given once; then it takes as much again.
enum open_verdict open_watch_look(struct open_watch *watch, const struct open_rules *rules,
				  const struct opens *now, uint64_t now_ns);

// Nothing was counted from the last look until then, and so there was none.
void open_watch_skip(struct open_watch *watch, uint64_t until_ns);

// Has the last look seen other sums than the one before it, or been the first? `before`: the watch
// as it was then.
bool open_watch_has_moved(const struct open_watch *watch, const struct open_watch *before);
// May time alone bring a verdict?
bool open_watch_is_waiting(const struct open_watch *watch, const struct open_rules *rules);
