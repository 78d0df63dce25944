// SPDX-License-Identifier: Apache-2.0
#include "frame_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notation.h"

enum { LINE_MAX_LEN = 500 };

uint8_t *text_frame_cut(const struct text_frame *frame, uint32_t len)
{
	uint8_t *bytes = malloc(len ? len : 1);
	if (!bytes)
		abort();
	memcpy(bytes, frame->bytes, len);
	return bytes;
}

struct text_frame frame_from_text(const char *text)
{
	static uint8_t buffer[FRAME_MAX];
	static const struct mac_addr macs[2];
	struct names names = {0};
	struct notation notation;
	struct notation_source source = {.default_ttl = 64, .link_macs = macs};
	char why[200];
	char line[LINE_MAX_LEN];
	snprintf(line, sizeof(line), "front %s", text);
	if (notation_parse(line, &names, &source, &notation, why, sizeof(why))) {
		fprintf(stderr, "%s: %s\n", text, why);
		abort();
	}
	struct text_frame frame = {.bytes = buffer};
	frame.len = frame_build(&notation.spec, buffer, &frame.vnet);
	frame.bytes = text_frame_cut(&frame, frame.len);
	return frame;
}

void text_frame_fini(struct text_frame *frame)
{
	free(frame->bytes);
	frame->bytes = NULL;
}
