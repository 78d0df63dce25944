// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/digits.h"

#include <inttypes.h>
#include <stdio.h>

enum { GROUP = 3 };

const char *digits_group(uint64_t number, char text[DIGITS_TEXT_MAX])
{
	char digits[DIGITS_TEXT_MAX];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	char *end = text;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % GROUP == 0)
			*end++ = ',';
		*end++ = digits[i];
	}
	*end = '\0';
	return text;
}
