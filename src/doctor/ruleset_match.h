// SPDX-License-Identifier: Apache-2.0
// Does an expression of a rule hold for a packet? Not always can that be said.
#pragma once

#include <jansson.h>

#include "doctor/ruleset.h"

enum answer { ANSWER_NO, ANSWER_MAYBE, ANSWER_YES };

// Elements of a named set of the rule's table, borrowed; NULL: there is none.
typedef const json_t *(*find_set_fn)(const void *arg, const char *name);

struct match_context {
	const struct ruleset_packet *packet;
	find_set_fn find_set;
	const void *arg;
};

// `match` is the value of "match" in libnftables-json(5).
enum answer ruleset_match(const struct match_context *context, const json_t *match);
// `left` is the same as there, `right` a value that it is compared with.
enum answer ruleset_compare(const struct match_context *context, const json_t *left,
			    const json_t *right);
