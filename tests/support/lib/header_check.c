// SPDX-License-Identifier: Apache-2.0
#include "header_check.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

// Long headers are looked at in steps beyond this length.
enum { EACH_LENGTH_TO = 320, STEP = 61, UNTOUCHED = 0x5a };

struct outcome {
	enum proxy_header_state state;
	struct proxy_header header;
	size_t header_len;
	const char *problem;
};

enum proxy_header_state header_check_parse(const uint8_t *bytes, size_t len,
					   struct proxy_header *header, size_t *header_len,
					   const char **problem)
{
	uint8_t *exact = malloc(len ? len : 1);
	if (!exact)
		abort();
	memcpy(exact, bytes, len);
	enum proxy_header_state state = proxy_header_parse(exact, len, header, header_len, problem);
	free(exact);
	return state;
}

static void parse(const uint8_t *bytes, size_t len, struct outcome *outcome)
{
	memset(outcome, UNTOUCHED, sizeof(*outcome));
	outcome->state = header_check_parse(bytes, len, &outcome->header, &outcome->header_len,
					    &outcome->problem);
}

static bool is_untouched(const void *output, size_t size)
{
	const uint8_t *at = output;
	for (size_t i = 0; i < size; i++) {
		if (at[i] != UNTOUCHED)
			return false;
	}
	return true;
}

static const char *check_outputs(const struct outcome *outcome, size_t len)
{
	bool is_done = outcome->state == PROXY_HEADER_DONE;
	bool is_bad = outcome->state == PROXY_HEADER_BAD;
	if (!is_done && (!is_untouched(&outcome->header.src, 2 * sizeof(struct endpoint)) ||
			 !is_untouched(&outcome->header_len, sizeof(outcome->header_len))))
		return "a header that is not there was filled in";
	if (is_bad == is_untouched(&outcome->problem, sizeof(outcome->problem)))
		return "a problem without a bad header, or a bad header without a problem";
	if (is_bad && !outcome->problem[0])
		return "the problem has no words";
	if (is_done && (outcome->header_len == 0 || outcome->header_len > len ||
			outcome->header_len > PROXY_HEADER_READ_MAX))
		return "the header's length is not within what there is";
	if (outcome->state == PROXY_HEADER_PARTIAL && len >= PROXY_HEADER_READ_MAX)
		return "more bytes are asked for than are ever read";
	return NULL;
}

static bool is_same_header(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->has_addrs == b->has_addrs && endpoint_equal(&a->src, &b->src) &&
	       endpoint_equal(&a->dst, &b->dst);
}

static const char *check_addrs(const struct proxy_header *header)
{
	static const struct endpoint none;
	if (!header->has_addrs)
		return endpoint_equal(&header->src, &none) && endpoint_equal(&header->dst, &none)
			       ? NULL
			       : "addresses where there are none";
	if (header->src.proto != IPPROTO_TCP || header->dst.proto != IPPROTO_TCP ||
	    header->src.zero || header->dst.zero)
		return "an endpoint is not one of TCP";

	uint8_t out[PROXY_HEADER_V1_MAX];
	struct outcome again;
	size_t len = proxy_header_write_v1(&header->src, &header->dst, (char *)out);
	parse(out, len, &again);
	if (again.state != PROXY_HEADER_DONE || again.header_len != len ||
	    !is_same_header(&again.header, header))
		return "what version 1 wrote is not what was read";
	len = proxy_header_write_v2(&header->src, &header->dst, out);
	parse(out, len, &again);
	if (again.state != PROXY_HEADER_DONE || again.header_len != len ||
	    !is_same_header(&again.header, header))
		return "what version 2 wrote is not what was read";
	return NULL;
}

// `part` has the first `len` bytes of `whole`.
static const char *check_part(const struct outcome *part, size_t len, const struct outcome *whole)
{
	if (part->state == PROXY_HEADER_PARTIAL)
		return whole->state == PROXY_HEADER_DONE && whole->header_len <= len
			       ? "a whole header is taken for a part"
			       : NULL;
	if (part->state != whole->state)
		return "a verdict did not last";
	if (part->state == PROXY_HEADER_BAD)
		return part->problem == whole->problem ? NULL : "the problem has changed";
	return part->header_len == whole->header_len &&
			       is_same_header(&part->header, &whole->header)
		       ? NULL
		       : "the header has changed";
}

const char *header_check(const uint8_t *bytes, size_t len)
{
	struct outcome whole;
	bool is_decided = false;
	parse(bytes, len, &whole);
	const char *wrong = check_outputs(&whole, len);
	if (!wrong && whole.state == PROXY_HEADER_DONE)
		wrong = check_addrs(&whole.header);
	for (size_t n = 0; n < len && !wrong; n += n < EACH_LENGTH_TO ? 1 : STEP) {
		struct outcome part;
		parse(bytes, n, &part);
		wrong = check_outputs(&part, n);
		if (!wrong)
			wrong = check_part(&part, n, &whole);
		if (!wrong && is_decided && part.state == PROXY_HEADER_PARTIAL)
			wrong = "more bytes are asked for after the verdict";
		is_decided |= part.state != PROXY_HEADER_PARTIAL;
	}
	return wrong;
}
