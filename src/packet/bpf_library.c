// SPDX-License-Identifier: Apache-2.0
#include "packet/bpf_library.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "culvert/base/log.h"

enum { PRINT_MAX = 16384 };

__attribute__((format(printf, 2, 0))) static int on_print(enum libbpf_print_level level,
							  const char *format, va_list args)
{
	char text[PRINT_MAX];
	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_debug("bpf", "%s", line);
	return 0;
}

struct bpf_object *bpf_library_open(const char *start, const char *end)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "culvert");
	libbpf_set_print(on_print);
	return bpf_object__open_mem(start, (size_t)(end - start), &options);
}
