// SPDX-License-Identifier: Apache-2.0
// What the readers of both versions of the PROXY header share: a place among the bytes that have
// arrived, and what stopped the reading there.
#pragma once

#include "culvert/net/proxy_header.h"

// The first bytes are those of neither version.
#define HEADER_BAD_START "it begins neither with \"PROXY \" nor with version 2's signature"

struct header_reader {
	const uint8_t *at;  // borrowed: the next byte
	const uint8_t *end; // beyond the last that has arrived
	// Set with the first false that a function below returns.
	enum proxy_header_state state;
	const char *problem; // when bad
};

static inline bool header_reader_is_at_end(const struct header_reader *reader)
{
	return reader->at == reader->end;
}

// Right so far, but there are no more bytes. Always false, as what it is called for.
static inline bool header_reader_starve(struct header_reader *reader)
{
	reader->state = PROXY_HEADER_PARTIAL;
	return false;
}

static inline bool header_reader_refuse(struct header_reader *reader, const char *problem)
{
	reader->state = PROXY_HEADER_BAD;
	reader->problem = problem;
	return false;
}

static inline bool header_reader_take(struct header_reader *reader, uint8_t *byte)
{
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	*byte = *reader->at++;
	return true;
}

// Take exactly these bytes.
static inline bool header_reader_expect(struct header_reader *reader, const void *bytes, size_t len,
					const char *problem)
{
	for (const uint8_t *expected = bytes; len > 0; expected++, len--) {
		uint8_t byte;
		if (!header_reader_take(reader, &byte))
			return false;
		if (byte != *expected)
			return header_reader_refuse(reader, problem);
	}
	return true;
}

// Read a whole header from its first byte on. True when that was possible: *header, zero before,
// is filled, and the reader stands behind the header.
bool proxy_header_read_v1(struct header_reader *reader, struct proxy_header *header);
bool proxy_header_read_v2(struct header_reader *reader, struct proxy_header *header);
