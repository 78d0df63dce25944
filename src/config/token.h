// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>

enum { TOKEN_MIN = 16, TOKEN_MAX = 512 };

#define TOKEN_ADVICE \
	"16 to 512 letters, digits and signs of -._~+/=, as `openssl rand -hex 32` makes them"

// What an Authorization header can carry (RFC 6750 section 2.1), and long enough not to be guessed.
bool token_is_good(const char *text);
