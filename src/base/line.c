// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/line.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	ESCAPE_MAX = 8,   // of one character: "\xc2\x85"
	CLOSING = 4,      // "}, newline, zero
	VALUE_ROOM = 32,  // a pair that has less is left out
	SEQUENCE_MAX = 4, // bytes of UTF-8
	FIRST_VISIBLE = 0xA0,
};

// How bytes are written that a value may not have as they are.
enum style { STYLE_PEOPLE, STYLE_LOGFMT, STYLE_JSON };

// ---- characters --------------------------------------------------------------------------------

// The length of the UTF-8 sequence at `at` and the character (RFC 3629), or 0 when it is none.
static unsigned decode(const unsigned char *at, uint32_t *character)
{
	static const uint32_t least[SEQUENCE_MAX + 1] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned length = at[0] < 0x80   ? 1
			  : at[0] < 0xC0 ? 0
			  : at[0] < 0xE0 ? 2
			  : at[0] < 0xF0 ? 3
			  : at[0] < 0xF8 ? 4
					 : 0;
	if (length <= 1) {
		*character = at[0];
		return length;
	}
	*character = at[0] & (0x7FU >> length);
	for (unsigned i = 1; i < length; i++) {
		if ((at[i] & 0xC0) != 0x80) // a terminating zero is none either
			return 0;
		*character = *character << 6 | (at[i] & 0x3F);
	}
	bool is_surrogate = *character >= 0xD800 && *character <= 0xDFFF;
	return *character < least[length] || *character > 0x10FFFF || is_surrogate ? 0 : length;
}

static bool is_visible(uint32_t character)
{
	return (character >= ' ' && character < 0x7F) || character >= FIRST_VISIBLE;
}

static unsigned write_hidden(char *to, uint32_t character, enum style style)
{
	static const char *const names[] = {['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};
	const char *name = character < sizeof(names) / sizeof(names[0]) ? names[character] : NULL;
	if (name)
		return (unsigned)sprintf(to, "%s", name);
	if (style == STYLE_JSON)
		return (unsigned)sprintf(to, "\\u%04" PRIx32, character);
	if (character < 0x80)
		return (unsigned)sprintf(to, "\\x%02" PRIx32, character);
	return (unsigned)sprintf(to, "\\xc2\\x%02" PRIx32, character); // U+0080 to U+009F
}

// The character at *from as it is to be written, ESCAPE_MAX bytes at most; *from moves on.
static unsigned write_next(const unsigned char **from, char *to, enum style style)
{
	uint32_t character;
	unsigned length = decode(*from, &character);
	if (length == 0) {
		unsigned byte = *(*from)++;
		return (unsigned)(style == STYLE_JSON ? sprintf(to, "\\ufffd")
						      : sprintf(to, "\\x%02x", byte));
	}
	const unsigned char *at = *from;
	*from += length;
	if (!is_visible(character))
		return write_hidden(to, character, style);
	if (style != STYLE_PEOPLE && (character == '"' || character == '\\'))
		return (unsigned)sprintf(to, "\\%c", (char)character);
	memcpy(to, at, length);
	return length;
}

// Whole characters only, as far as `size` goes. Returns how many bytes.
static size_t escape(const char *value, char *text, size_t size, enum style style)
{
	const unsigned char *from = (const unsigned char *)value;
	size_t len = 0;
	while (*from) {
		char escaped[ESCAPE_MAX + 1];
		unsigned n = write_next(&from, escaped, style);
		if (len + n > size)
			break;
		memcpy(text + len, escaped, n);
		len += n;
	}
	return len;
}

size_t line_escape(const char *value, char *text, size_t size)
{
	size_t len = escape(value, text, size - 1, STYLE_PEOPLE);
	text[len] = '\0';
	return len;
}

void line_make_valid(char *text)
{
	uint32_t character;
	while (*text) {
		unsigned length = decode((const unsigned char *)text, &character);
		if (length == 0)
			*text = '?';
		text += length ? length : 1;
	}
}

// ---- pairs -------------------------------------------------------------------------------------

void line_begin(struct line *line, char *buffer, size_t size, enum line_format format)
{
	*line = (struct line){.text = buffer, .size = size - CLOSING, .format = format};
	if (format == LINE_JSON)
		line->text[line->len++] = '{';
}

static void put(struct line *line, const char *text)
{
	size_t len = strlen(text);
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

// False when the line has no room for another pair.
static bool put_key(struct line *line, const char *key)
{
	bool is_json = line->format == LINE_JSON;
	bool is_first = line->len == (is_json ? 1 : 0);
	if (line->len + strlen(key) + VALUE_ROOM > line->size)
		return false;
	if (!is_first)
		put(line, is_json ? "," : " ");
	if (is_json)
		put(line, "\"");
	put(line, key);
	put(line, is_json ? "\":" : "=");
	return true;
}

// What logfmt takes without quotes.
static bool is_plain(const char *value)
{
	const char *at = value;
	while (*at > ' ' && *at < 0x7F && *at != '"' && *at != '=' && *at != '\\')
		at++;
	return at != value && *at == '\0';
}

void line_add(struct line *line, const char *key, const char *value)
{
	bool is_json = line->format == LINE_JSON;
	const char *quote = !is_json && is_plain(value) ? "" : "\"";
	if (!put_key(line, key))
		return;
	put(line, quote);
	// The quote at the end has a place in the room for closing.
	line->len += escape(value, line->text + line->len, line->size - line->len,
			    is_json ? STYLE_JSON : STYLE_LOGFMT);
	put(line, quote);
}

void line_add_number(struct line *line, const char *key, uint64_t value)
{
	char text[VALUE_ROOM];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	if (put_key(line, key))
		put(line, text);
}

void line_add_seconds(struct line *line, const char *key, uint64_t milliseconds)
{
	char text[2 * VALUE_ROOM];
	snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64, milliseconds / 1000,
		 milliseconds % 1000);
	if (put_key(line, key))
		put(line, text);
}

size_t line_end(struct line *line)
{
	if (line->format == LINE_JSON)
		put(line, "}");
	put(line, "\n");
	line->text[line->len] = '\0';
	return line->len;
}

char *line_format_time(const struct timespec *time, char *text)
{
	struct tm utc;
	gmtime_r(&time->tv_sec, &utc);
	size_t n = strftime(text, LINE_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + n, LINE_TIME_MAX - n, ".%03ldZ", time->tv_nsec / 1000000);
	return text;
}
