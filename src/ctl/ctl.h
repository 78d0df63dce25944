// SPDX-License-Identifier: Apache-2.0
// What every command of culvertctl gets: how to reach culvert, how to show what it said.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CTL_DEFAULT_SOCKET "/run/culvert/culvert.sock"

// Exit codes, as culvertctl(8) documents them.
enum {
	CTL_OK = 0,
	CTL_NO = 1,          // culvert answered, and the answer is no
	CTL_USAGE = 2,       // bad command line
	CTL_UNREACHABLE = 3, // nobody answered, or not as culvert does
};

struct ctl {
	const char *socket_path; // borrowed
	uint32_t timeout_ms;     // for a whole answer
	bool is_json;            // print what the server said, not a text made of it
	bool has_color;
	unsigned n_columns; // of the terminal that it prints to; 0: none
};
