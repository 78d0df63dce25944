// SPDX-License-Identifier: Apache-2.0
#include "ctl/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sse_fini(struct sse *sse)
{
	free(sse->line);
	free(sse->data);
}

// Keeps a zero byte behind.
static bool append(char **text, size_t *used, const char *bytes, size_t length)
{
	if (length > SSE_MAX_BYTES - *used)
		return false;
	char *grown = realloc(*text, *used + length + 1);
	if (!grown)
		return false;
	memcpy(grown + *used, bytes, length);
	*text = grown;
	*used += length;
	grown[*used] = '\0';
	return true;
}

static bool end_event(struct sse *sse)
{
	bool goes_on = true;
	if (sse->n_data > 0) {
		sse->data[sse->n_data - 1] = '\0'; // the last newline is not of the data
		goes_on = sse->take(sse->arg, *sse->name ? sse->name : "message", sse->data);
	}
	sse->n_data = 0;
	*sse->name = '\0';
	return goes_on;
}

static bool end_line(struct sse *sse)
{
	char *line = sse->line;
	size_t length = sse->n_line;
	sse->n_line = 0;
	if (length == 0)
		return end_event(sse);
	size_t n_field = strcspn(line, ":");
	const char *value = line[n_field] ? line + n_field + 1 : line + n_field;
	value += *value == ' ';
	if (n_field == strlen("event") && memcmp(line, "event", n_field) == 0)
		snprintf(sse->name, sizeof(sse->name), "%s", value);
	else if (n_field == strlen("data") && memcmp(line, "data", n_field) == 0)
		return append(&sse->data, &sse->n_data, value, strlen(value)) &&
		       append(&sse->data, &sse->n_data, "\n", 1);
	return true; // a comment, or a field that nobody here needs
}

bool sse_feed(struct sse *sse, const char *bytes, size_t length)
{
	const char *end = bytes + length;
	while (bytes < end) {
		// A line ends with CR, LF or both.
		if (sse->is_after_cr && *bytes == '\n') {
			sse->is_after_cr = false;
			bytes++;
			continue;
		}
		const char *stop = bytes;
		while (stop < end && *stop != '\r' && *stop != '\n')
			stop++;
		sse->is_after_cr = false;
		if (!append(&sse->line, &sse->n_line, bytes, (size_t)(stop - bytes)))
			return false;
		if (stop == end)
			return true;
		sse->is_after_cr = *stop == '\r';
		if (!end_line(sse))
			return false;
		bytes = stop + 1;
	}
	return true;
}
