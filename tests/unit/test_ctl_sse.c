// SPDX-License-Identifier: Apache-2.0
#include "ctl/sse.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN_MAX = 1024 };

static char seen[SEEN_MAX]; // "name=data|" for each event

static bool take(void *arg, const char *name, const char *data)
{
	size_t length = strlen(seen);
	snprintf(seen + length, sizeof(seen) - length, "%s=%s|", name, data);
	return arg == NULL;
}

// The same whatever the pieces that it comes in.
static void expect_events(const char *stream, const char *events)
{
	for (size_t piece = 1; piece <= strlen(stream); piece++) {
		struct sse sse = {.take = take};
		*seen = '\0';
		for (size_t at = 0; at < strlen(stream); at += piece) {
			size_t rest = strlen(stream) - at;
			cr_assert(sse_feed(&sse, stream + at, rest < piece ? rest : piece));
		}
		cr_expect_str_eq(seen, events, "in pieces of %zu: %s", piece, seen);
		sse_fini(&sse);
	}
}

Test(ctl_sse, events_have_names_and_data)
{
	expect_events("event: a\ndata: 1\n\ndata:2\n\nevent: b\ndata: 3\n\n", "a=1|message=2|b=3|");
}

Test(ctl_sse, lines_end_in_any_of_three_ways)
{
	expect_events("event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r", "a=1|b=2|");
}

Test(ctl_sse, lines_of_data_are_joined)
{
	expect_events("data: 1\ndata: 2\ndata:\n\n", "message=1\n2\n|");
}

Test(ctl_sse, comments_and_unknown_fields_are_passed_over)
{
	expect_events(": hello\nid: 7\nretry: 9\ndata: 1\nevents: no\n\n", "message=1|");
}

Test(ctl_sse, an_event_without_data_or_without_its_end_is_none)
{
	expect_events("event: a\n\ndata: 1\n", "");
	expect_events("event: a\n\ndata: 1\n\n", "message=1|");
}

Test(ctl_sse, whoever_has_enough_ends_it)
{
	int enough;
	struct sse sse = {.take = take, .arg = &enough};
	*seen = '\0';
	const char *stream = "data: 1\n\ndata: 2\n\n";
	cr_expect_not(sse_feed(&sse, stream, strlen(stream)));
	cr_expect_str_eq(seen, "message=1|");
	sse_fini(&sse);
}

Test(ctl_sse, what_never_ends_is_refused)
{
	enum { PIECE = 1 << 20 };
	struct sse sse = {.take = take};
	char *piece = malloc(PIECE);
	size_t n_taken = 0;
	memset(piece, 'x', PIECE);
	while (n_taken <= SSE_MAX_BYTES / PIECE && sse_feed(&sse, piece, PIECE))
		n_taken++;
	cr_expect_eq(n_taken, SSE_MAX_BYTES / PIECE);
	free(piece);
	sse_fini(&sse);
}
