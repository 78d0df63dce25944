// SPDX-License-Identifier: Apache-2.0
#include "control/http_answer.h"

#include <string.h>
#include <strings.h>

enum { STATUS_DIGITS = 3, SWITCHING_PROTOCOLS = 101, PIECE_MAX = 4096 };

static enum http_progress bad(struct http_answer *answer, const char *problem)
{
	answer->problem = problem;
	return HTTP_BAD;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

// ---- header ------------------------------------------------------------------------------------

// "HTTP/1.1 200 OK": the reason may be missing (RFC 9112 section 4).
static enum http_progress take_status_line(struct http_answer *answer)
{
	const char *line = answer->line;
	unsigned status = 0;
	bool is_right = answer->n_line >= 12 && memcmp(line, "HTTP/1.", 7) == 0 &&
			is_digit(line[7]) && line[8] == ' ' &&
			(answer->n_line == 12 || line[12] == ' ');
	for (int i = 9; is_right && i < 9 + STATUS_DIGITS; i++) {
		is_right = is_digit(line[i]);
		status = status * 10 + (unsigned)(line[i] - '0');
	}
	if (!is_right || status < 100)
		return bad(answer, "the answer is not HTTP/1");
	answer->status = status;
	answer->step = HTTP_FIELDS;
	return HTTP_MORE;
}

// The value of the field `name`, if that is what the line is. NULL: it is another.
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);
	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static bool parse_length(const char *text, uint64_t *length)
{
	uint64_t number = 0;
	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++) {
		if (number < UINT32_MAX)
			number = number * 10 + (uint64_t)(*text - '0');
	}
	*length = number;
	return text[strspn(text, " \t")] == '\0';
}

// The body of the answer, when its header is over (RFC 9112 section 6.3).
static enum http_progress begin_body(struct http_answer *answer)
{
	bool is_empty = answer->is_head || answer->status == 204 || answer->status == 304;
	answer->has_header = true;
	answer->step = answer->is_chunked ? HTTP_CHUNK_SIZE : HTTP_BODY;
	if (is_empty || (!answer->is_chunked && answer->has_length && answer->left == 0))
		answer->step = HTTP_OVER;
	return answer->text && answer->step != HTTP_OVER ? HTTP_MORE : HTTP_WHOLE;
}

static enum http_progress take_field(struct http_answer *answer)
{
	const char *value;
	if (answer->n_line == 0) {
		// An interim answer comes before the one that counts.
		if (answer->status >= 200 || answer->status == SWITCHING_PROTOCOLS)
			return begin_body(answer);
		answer->step = HTTP_STATUS_LINE;
		answer->status = 0;
		return HTTP_MORE;
	}
	value = value_of(answer->line, "content-length");
	if (value) {
		answer->has_length = parse_length(value, &answer->left);
		if (!answer->has_length)
			return bad(answer, "the answer's Content-Length is not a number");
	}
	value = value_of(answer->line, "transfer-encoding");
	if (value)
		answer->is_chunked = strncasecmp(value, "chunked", 7) == 0;
	return HTTP_MORE;
}

// ---- body --------------------------------------------------------------------------------------

// Look for the text in what the body has before and in these bytes, at most PIECE_MAX.
static void look_at(struct http_answer *answer, const char *bytes, size_t n)
{
	char window[HTTP_TEXT_MAX + PIECE_MAX];
	size_t len = answer->n_tail + n;
	memcpy(window, answer->tail, answer->n_tail);
	memcpy(window + answer->n_tail, bytes, n);
	answer->has_text = memmem(window, len, answer->text, answer->text_len) != NULL;
	answer->n_tail = len < answer->text_len ? len : answer->text_len - 1;
	memcpy(answer->tail, window + len - answer->n_tail, answer->n_tail);
	answer->n_body += n;
}

// Bytes of the body: takes some of the `n`, and says how many.
static size_t take_body(struct http_answer *answer, const char *bytes, size_t n)
{
	bool is_bounded = answer->step == HTTP_CHUNK || answer->has_length;
	if (n > PIECE_MAX)
		n = PIECE_MAX;
	if (n > HTTP_BODY_MAX - answer->n_body)
		n = HTTP_BODY_MAX - answer->n_body;
	if (is_bounded && n > answer->left)
		n = (size_t)answer->left;
	look_at(answer, bytes, n);
	if (is_bounded)
		answer->left -= n;
	if (is_bounded && answer->left == 0)
		answer->step = answer->step == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_OVER;
	answer->is_cut = answer->n_body == HTTP_BODY_MAX && answer->step != HTTP_OVER;
	return n;
}

static int digit_of(char c)
{
	if (is_digit(c))
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "1a;extension" (RFC 9112 section 7.1). The last chunk is empty.
static enum http_progress take_chunk_size(struct http_answer *answer)
{
	uint64_t size = 0;
	const char *at = answer->line;
	if (digit_of(*at) < 0)
		return bad(answer, "the answer's chunks are malformed");
	for (; digit_of(*at) >= 0; at++) {
		if (size < UINT32_MAX)
			size = size * 16 + (uint64_t)digit_of(*at);
	}
	answer->left = size;
	answer->step = size ? HTTP_CHUNK : HTTP_OVER;
	return size ? HTTP_MORE : HTTP_WHOLE;
}

// ---- lines -------------------------------------------------------------------------------------

static enum http_progress take_line(struct http_answer *answer)
{
	if (answer->n_line > 0 && answer->n_line < HTTP_LINE_MAX &&
	    answer->line[answer->n_line - 1] == '\r')
		answer->n_line--;
	answer->line[answer->n_line < HTTP_LINE_MAX ? answer->n_line : HTTP_LINE_MAX - 1] = '\0';
	enum http_progress progress = HTTP_MORE;
	if (answer->step == HTTP_STATUS_LINE)
		progress = take_status_line(answer);
	else if (answer->step == HTTP_FIELDS)
		progress = take_field(answer);
	else if (answer->step == HTTP_CHUNK_SIZE)
		progress = take_chunk_size(answer);
	else if (answer->n_line == 0)
		answer->step = HTTP_CHUNK_SIZE;
	else
		progress = bad(answer, "the answer's chunks are malformed");
	answer->n_line = 0;
	return progress;
}

// Whoever speaks another protocol need not be heard to the end.
static bool begins_wrong(const struct http_answer *answer)
{
	static const char begin[] = "HTTP/1.";
	size_t n = answer->n_line < sizeof(begin) - 1 ? answer->n_line : sizeof(begin) - 1;
	return answer->step == HTTP_STATUS_LINE && memcmp(answer->line, begin, n) != 0;
}

static enum http_progress take_line_byte(struct http_answer *answer, char byte)
{
	bool is_header = answer->step == HTTP_STATUS_LINE || answer->step == HTTP_FIELDS;
	if (is_header && ++answer->n_header > HTTP_HEADER_MAX)
		return bad(answer, "the answer's header is longer than 16 KiB");
	if (byte == '\n')
		return take_line(answer);
	if (!is_header && answer->n_line == HTTP_CHUNK_LINE_MAX)
		return bad(answer, "the answer's chunks are malformed");
	if (answer->n_line < HTTP_LINE_MAX)
		answer->line[answer->n_line] = byte;
	answer->n_line++;
	return begins_wrong(answer) ? bad(answer, "the answer is not HTTP/1") : HTTP_MORE;
}

// ---- calls from outside ------------------------------------------------------------------------

void http_answer_init(struct http_answer *answer, const char *text, bool is_head)
{
	*answer = (struct http_answer){
		.text = text,
		.text_len = text ? strlen(text) : 0,
		.is_head = is_head,
	};
}

enum http_progress http_answer_feed(struct http_answer *answer, const char *bytes, size_t n)
{
	while (n > 0) {
		enum http_progress progress = HTTP_MORE;
		size_t n_taken = 1;
		if (answer->step == HTTP_BODY || answer->step == HTTP_CHUNK)
			n_taken = take_body(answer, bytes, n);
		else
			progress = take_line_byte(answer, *bytes);
		if (answer->has_text || answer->is_cut || answer->step == HTTP_OVER)
			return HTTP_WHOLE;
		if (progress != HTTP_MORE)
			return progress;
		bytes += n_taken;
		n -= n_taken;
	}
	return HTTP_MORE;
}

enum http_progress http_answer_end(struct http_answer *answer)
{
	if (answer->step == HTTP_BODY && !answer->has_length)
		return HTTP_WHOLE;
	if (answer->has_header)
		return bad(answer, "the connection ended within the answer's body");
	if (answer->n_header)
		return bad(answer, "the connection ended within the answer's header");
	return bad(answer, "the connection ended without an answer");
}
