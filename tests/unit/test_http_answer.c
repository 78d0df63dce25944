// SPDX-License-Identifier: Apache-2.0
// Answers of HTTP as they come in, whole and byte by byte: what is known when, and what is refused.
#include "control/http_answer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer_case {
	const char *what;
	const char *bytes;
	const char *text; // looked for; NULL: nothing
	enum http_progress progress;
	bool is_ended; // the connection ends behind the bytes
	unsigned status;
	bool has_text;
	const char *problem;
};

static const struct answer_case cases[] = {
	{"a status alone", "HTTP/1.1 200 OK\r\n\r\n", NULL, HTTP_WHOLE, false, 200, false, NULL},
	{"without a reason", "HTTP/1.0 503\r\n\r\n", NULL, HTTP_WHOLE, false, 503, false, NULL},
	{"bare line feeds", "HTTP/1.1 204 x\nA: b\n\n", NULL, HTTP_WHOLE, false, 204, false, NULL},
	{"half a header", "HTTP/1.1 200 OK\r\nA: b\r\n", NULL, HTTP_MORE, false, 200, false, NULL},
	{"ended in it", "HTTP/1.1 200 OK\r\nA: b\r\n", NULL, HTTP_BAD, true, 200, false,
	 "the connection ended within the answer's header"},
	{"ended before it", "", NULL, HTTP_BAD, true, 0, false,
	 "the connection ended without an answer"},
	{"another protocol", "SSH-2.0-x\r\n", NULL, HTTP_BAD, false, 0, false,
	 "the answer is not HTTP/1"},
	{"a status of two digits", "HTTP/1.1 20 OK\r\n", NULL, HTTP_BAD, false, 0, false,
	 "the answer is not HTTP/1"},
	{"a status with a letter", "HTTP/1.1 2x0 OK\r\n", NULL, HTTP_BAD, false, 0, false,
	 "the answer is not HTTP/1"},
	{"an interim answer first",
	 "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 no\r\n\r\n", NULL, HTTP_WHOLE,
	 false, 500, false, NULL},
	{"a text", "HTTP/1.1 200 OK\r\n\r\nall is well", "is w", HTTP_WHOLE, false, 200, true,
	 NULL},
	{"a text that may come yet", "HTTP/1.1 200 OK\r\n\r\nall is", "is w", HTTP_MORE, false, 200,
	 false, NULL},
	{"no text to the end of the connection", "HTTP/1.1 200 OK\r\n\r\nall", "is w", HTTP_WHOLE,
	 true, 200, false, NULL},
	{"no text in the length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall", "is w",
	 HTTP_WHOLE, false, 200, false, NULL},
	{"text behind the length", "HTTP/1.1 200 OK\r\ncontent-length:3 \r\n\r\nallwell", "well",
	 HTTP_WHOLE, false, 200, false, NULL},
	{"less than the length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall", "is w",
	 HTTP_BAD, true, 200, false, "the connection ended within the answer's body"},
	{"an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "x", HTTP_WHOLE, false,
	 200, false, NULL},
	{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "x", HTTP_BAD,
	 false, 200, false, "the answer's Content-Length is not a number"},
	{"text over two chunks",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nwe\r\nB\r\nll and good\r\n",
	 "well", HTTP_WHOLE, false, 200, true, NULL},
	{"chunks without it",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n0\r\n\r\n", "well",
	 HTTP_WHOLE, false, 200, false, NULL},
	{"sizes of chunks are not the body",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n1\r\ne\r\n0\r\n\r\n", "1",
	 HTTP_WHOLE, false, 200, false, NULL},
	{"a chunk that does not end",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwell\r\n", "ll", HTTP_BAD,
	 false, 200, false, "the answer's chunks are malformed"},
	{"a size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a",
	 HTTP_BAD, false, 200, false, "the answer's chunks are malformed"},
	{"204 has no body", "HTTP/1.1 204 No Content\r\n\r\nwell", "well", HTTP_WHOLE, false, 204,
	 false, NULL},
};

static void check(const struct answer_case *c, size_t step)
{
	struct http_answer answer;
	enum http_progress progress = HTTP_MORE;
	size_t n = strlen(c->bytes);
	http_answer_init(&answer, c->text, false);
	for (size_t at = 0; at < n && progress == HTTP_MORE; at += step)
		progress = http_answer_feed(&answer, c->bytes + at, n - at < step ? n - at : step);
	if (progress == HTTP_MORE && c->is_ended)
		progress = http_answer_end(&answer);
	cr_expect_eq(progress, c->progress, "%s in steps of %zu: %d", c->what, step, progress);
	cr_expect_eq(answer.status, c->status, "%s: %u", c->what, answer.status);
	cr_expect_eq(answer.has_text, c->has_text, "%s", c->what);
	if (c->problem)
		cr_expect_str_eq(answer.problem, c->problem, "%s", c->what);
}

Test(http_answer, is_understood_however_it_is_cut)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(&cases[i], 1);
		check(&cases[i], 7);
		check(&cases[i], 100000);
	}
}

Test(http_answer, to_head_has_no_body)
{
	struct http_answer answer;
	const char *bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
	http_answer_init(&answer, NULL, true);
	cr_expect_eq(http_answer_feed(&answer, bytes, strlen(bytes)), HTTP_WHOLE);
	cr_expect_eq(answer.step, HTTP_OVER);
}

// Feed `bytes` again and again, and return how many times until the answer is no longer HTTP_MORE.
static unsigned feed_on(struct http_answer *answer, const char *bytes, enum http_progress *progress)
{
	unsigned n = 0;
	do {
		*progress = http_answer_feed(answer, bytes, strlen(bytes));
		n++;
	} while (*progress == HTTP_MORE && n < 1000000);
	return n;
}

Test(http_answer, a_header_without_end_is_refused)
{
	struct http_answer answer;
	enum http_progress progress;
	const char *lines[] = {"A: 34567\r\n", "0123456789"};
	for (int i = 0; i < 2; i++) {
		http_answer_init(&answer, NULL, false);
		const char *begin = "HTTP/1.1 200 OK\r\n";
		http_answer_feed(&answer, begin, strlen(begin));
		cr_expect_leq(feed_on(&answer, lines[i], &progress), HTTP_HEADER_MAX / 10 + 1);
		cr_expect_eq(progress, HTTP_BAD);
		cr_expect_str_eq(answer.problem, "the answer's header is longer than 16 KiB");
	}
}

Test(http_answer, interim_answers_without_end_are_refused)
{
	struct http_answer answer;
	enum http_progress progress;
	http_answer_init(&answer, NULL, false);
	feed_on(&answer, "HTTP/1.1 100 Continue\r\n\r\n", &progress);
	cr_expect_eq(progress, HTTP_BAD);
}

Test(http_answer, a_body_without_end_is_looked_at_up_to_its_limit)
{
	struct http_answer answer;
	enum http_progress progress;
	const char *begin = "HTTP/1.1 200 OK\r\n\r\n";
	http_answer_init(&answer, "well", false);
	http_answer_feed(&answer, begin, strlen(begin));
	cr_expect_eq(feed_on(&answer, "12345678", &progress), HTTP_BODY_MAX / 8);
	cr_expect_eq(progress, HTTP_WHOLE);
	cr_expect(answer.is_cut);
	cr_expect_not(answer.has_text);
}

Test(http_answer, chunks_without_end_are_looked_at_up_to_the_limit)
{
	struct http_answer answer;
	enum http_progress progress;
	const char *begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	http_answer_init(&answer, "well", false);
	http_answer_feed(&answer, begin, strlen(begin));
	cr_expect_eq(feed_on(&answer, "1\r\nw\r\n", &progress), HTTP_BODY_MAX);
	cr_expect(answer.is_cut);
	http_answer_init(&answer, "well", false);
	http_answer_feed(&answer, begin, strlen(begin));
	cr_expect_leq(feed_on(&answer, "1;aaaaaa", &progress), HTTP_CHUNK_LINE_MAX / 8 + 1);
	cr_expect_eq(progress, HTTP_BAD);
}

// The text may begin anywhere in what was taken before, and end anywhere behind it.
Test(http_answer, a_text_is_found_wherever_it_is)
{
	char text[HTTP_TEXT_MAX + 1];
	memset(text, 'a', HTTP_TEXT_MAX);
	text[HTTP_TEXT_MAX] = '\0';
	text[HTTP_TEXT_MAX - 1] = 'b';
	for (size_t before = 0; before < 600; before += 7) {
		struct http_answer answer;
		char *body = NULL;
		cr_assert_gt(asprintf(&body, "HTTP/1.1 200 OK\r\n\r\n%*s%s", (int)before, "", text),
			     0);
		enum http_progress progress = HTTP_MORE;
		size_t n = strlen(body);
		http_answer_init(&answer, text, false);
		for (size_t at = 0; at < n && progress == HTTP_MORE; at += 13)
			progress = http_answer_feed(&answer, body + at, n - at < 13 ? n - at : 13);
		cr_expect(answer.has_text, "behind %zu", before);
		free(body);
	}
}
