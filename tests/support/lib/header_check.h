// SPDX-License-Identifier: Apache-2.0
// What holds of reading a PROXY header from any bytes whatsoever: the body of the fuzzer and of the
// tests with made-up headers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "culvert/net/proxy_header.h"

// As proxy_header_parse(), from a copy of exactly this length, so that address checkers see every
// byte too many.
enum proxy_header_state header_check_parse(const uint8_t *bytes, size_t len,
					   struct proxy_header *header, size_t *header_len,
					   const char **problem);

// NULL, or the first rule that was broken: bytes that come one after another are right so far until
// they are a header or no header, and stay that; outputs are written when they should be; addresses
// that were read survive being written and read again.
const char *header_check(const uint8_t *bytes, size_t len);
