// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/err.h"

#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
	if (!err)
		return code;
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return code;
}

int err_sys(struct err *err, int code, const char *format, ...)
{
	if (!err)
		return code;
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);

	size_t used = strlen(err->message);
	char text[128];
	// The GNU strerror_r may return a static string instead of filling the buffer.
	const char *reason = strerror_r(-code, text, sizeof(text));
	snprintf(err->message + used, sizeof(err->message) - used, ": %s", reason);
	return code;
}
