// SPDX-License-Identifier: Apache-2.0
// Which version it is shows in the first byte.
#include "culvert/net/proxy_header.h"

#include "net/proxy_header_reader.h"

enum proxy_header_state proxy_header_parse(const uint8_t *bytes, size_t len,
					   struct proxy_header *header, size_t *header_len,
					   const char **problem)
{
	struct proxy_header read = {0};
	struct header_reader reader = {.at = bytes};
	if (len == 0)
		return PROXY_HEADER_PARTIAL;
	reader.end = bytes + len;
	bool is_done = bytes[0] == 'P' ? proxy_header_read_v1(&reader, &read)
				       : proxy_header_read_v2(&reader, &read);
	if (is_done) {
		*header = read;
		*header_len = (size_t)(reader.at - bytes);
		return PROXY_HEADER_DONE;
	}
	if (reader.state == PROXY_HEADER_BAD)
		*problem = reader.problem;
	return reader.state;
}
