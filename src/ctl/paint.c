// SPDX-License-Identifier: Apache-2.0
#include "ctl/paint.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const char *const codes[] = {
	[PAINT_NONE] = "",        [PAINT_GOOD] = "\033[32m", [PAINT_WARN] = "\033[33m",
	[PAINT_BAD] = "\033[31m", [PAINT_DIM] = "\033[2m",   [PAINT_BOLD] = "\033[1m",
};

static const struct {
	const char *word;
	enum paint paint;
} words[] = {
	{"up", PAINT_GOOD},        {"ready", PAINT_GOOD},      {"ok", PAINT_GOOD},
	{"unchanged", PAINT_GOOD}, {"active", PAINT_GOOD},     {"yes", PAINT_GOOD},
	{"planned", PAINT_GOOD},   {"added", PAINT_GOOD},      {"down", PAINT_BAD},
	{"failed", PAINT_BAD},     {"refused", PAINT_BAD},     {"error", PAINT_BAD},
	{"no", PAINT_BAD},         {"no_route", PAINT_BAD},    {"removed", PAINT_WARN},
	{"drain", PAINT_WARN},     {"maint", PAINT_WARN},      {"warn", PAINT_WARN},
	{"unknown", PAINT_WARN},   {"starting", PAINT_WARN},   {"reloading", PAINT_WARN},
	{"draining", PAINT_WARN},  {"unresolved", PAINT_WARN}, {"changed", PAINT_WARN},
	{"moved", PAINT_WARN},     {"waiting", PAINT_WARN},    {"unchecked", PAINT_DIM},
	{"info", PAINT_DIM},
};

enum paint paint_of_word(const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i].word, word) == 0)
			return words[i].paint;
	}
	return PAINT_NONE;
}

// Embeddings, overrides, isolates and marks of Unicode's bidirectional algorithm (UAX 9).
static bool turns_direction(wchar_t c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static bool is_harmless(wchar_t c)
{
	return c >= 0x20 && c != 0x7f && (c < 0x80 || c > 0x9f) && c != 0x2028 && c != 0x2029 &&
	       !turns_direction(c) && wcwidth(c) >= 0;
}

char *paint_clean(const char *text)
{
	size_t length = strlen(text);
	char *clean = malloc(length + 1);
	char *end = clean;
	mbstate_t state = {0};
	while (clean && *text) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, length, &state);
		if (n == (size_t)-1 || n == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			n = 1;
			*end++ = '?';
		} else if (!is_harmless(c)) {
			*end++ = '?';
		} else {
			memcpy(end, text, n);
			end += n;
		}
		text += n;
		length -= n;
	}
	if (clean)
		*end = '\0';
	return clean;
}

int paint_width(const char *clean)
{
	int width = 0;
	mbstate_t state = {0};
	size_t length = strlen(clean);
	while (*clean) {
		wchar_t c;
		size_t n = mbrtowc(&c, clean, length, &state);
		if (n == (size_t)-1 || n == (size_t)-2)
			return width + (int)length;
		width += wcwidth(c) > 0 ? wcwidth(c) : 0;
		clean += n;
		length -= n;
	}
	return width;
}

void paint_print(FILE *out, bool has_color, enum paint paint, const char *clean)
{
	if (has_color && paint != PAINT_NONE && *clean)
		fprintf(out, "%s%s\033[0m", codes[paint], clean);
	else
		fputs(clean, out);
}
