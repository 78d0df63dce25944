// SPDX-License-Identifier: Apache-2.0
#include "ctl/server_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/field.h"
#include "ctl/units.h"

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t room,
							 const char *format, ...)
{
	size_t length = strlen(text);
	if (length > 0 && length + 2 < room) {
		memcpy(text + length, "; ", sizeof("; "));
		length += 2;
	}
	va_list args;
	va_start(args, format);
	vsnprintf(text + length, room - length, format, args);
	va_end(args);
}

double server_weight(const json_t *backend)
{
	double configured = field_number_or(backend, "weight.configured", NAN);
	if (strcmp(field_text_or(backend, "state", "ready"), "ready") == 0)
		return field_number_or(backend, "weight.effective", NAN);
	return field_number_or(backend, "weight.set", configured);
}

const char *server_note(const json_t *backend, char *text, size_t room)
{
	const char *health = field_text_or(backend, "health", "");
	const char *reason = field_text_or(backend, "health_reason", "");
	const char *hop = field_text_or(backend, "hop.state", "ready");
	char set_text[UNITS_TEXT_MAX];
	char configured_text[UNITS_TEXT_MAX];
	char finished_text[UNITS_TEXT_MAX];
	double configured;
	double finished;
	double set;
	double effective;
	*text = '\0';
	if (*reason && strcmp(health, "up") != 0)
		append(text, room, "%s", reason);
	if (strcmp(hop, "no_route") == 0)
		append(text, room, "no route to it");
	else if (strcmp(hop, "ready") != 0)
		append(text, room, "its neighbour does not answer");
	if (strcmp(field_text_or(backend, "state", ""), "removed") == 0 &&
	    field_number(backend, "connections.finished", &finished) && finished > 0)
		append(text, room, "%s finished flow%s", units_whole(finished, finished_text),
		       finished > 1 ? "s linger" : " lingers");
	if (!field_number(backend, "weight.configured", &configured))
		return text;
	if (field_number(backend, "weight.set", &set))
		append(text, room, "weight set to %s by hand, the file says %s",
		       units_whole(set, set_text), units_whole(configured, configured_text));
	else
		set = configured;
	if (field_number(backend, "weight.effective", &effective) && effective > 0 &&
	    effective < set)
		append(text, room, "starting slowly, up to %s", units_whole(set, set_text));
	return text;
}
