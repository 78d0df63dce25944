// SPDX-License-Identifier: Apache-2.0
// What a process needs that holds thousands of connections until it is told to end.
#pragma once

#include <stdint.h>

uint64_t process_now_ns(void); // monotonic

// As many descriptors as this process may have at all; how many that is.
unsigned process_raise_file_limit(void);

// A descriptor that becomes readable when SIGTERM or SIGINT comes, which then do nothing else; -1
// with errno.
int process_open_signals(void);
