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
	char what[ERR_MESSAGE_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);

	char text[128];
	// The GNU strerror_r may return a static string instead of filling the buffer.
	return err_set(err, code, "%s: %s", what, strerror_r(-code, text, sizeof(text)));
}
