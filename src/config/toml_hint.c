// SPDX-License-Identifier: Apache-2.0
// A parser that meets an address without quotes takes it for a number, or for a time of day, and
// says what it misses in one: nobody finds the quotes by that. What stands there is looked at
// again, as what it was meant to be. So it is with a string that nobody has closed.
#include "config/toml_hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/report.h"
#include "config/token.h"
#include "culvert/net/addr.h"

enum { WORD_MAX = 128 };

static const char parser_says[] = "Error while parsing";

struct word {
	const char *line; // where its line begins
	const char *start;
	size_t length;
};

static const struct {
	const char *name;
	double seconds;
} units[] = {
	{"ms", 0.001}, {"s", 1}, {"sec", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400},
};

// ---- what stands there -------------------------------------------------------------------------

static bool is_part(char c)
{
	return c > ' ' && c < 0x7f && !strchr(",=\"'#", c);
}

// The line of that number, from 1, and what is behind its end.
static const char *find_line(const char *text, const char *end, unsigned number, const char **stop)
{
	for (; number > 1; number--) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			return NULL;
		text = newline + 1;
	}
	const char *newline = memchr(text, '\n', (size_t)(end - text));
	*stop = newline ? newline : end;
	return text;
}

static bool has_control_character(const char *line, const char *stop)
{
	for (; line < stop; line++) {
		bool is_line_end = *line == '\r' && line + 1 == stop;
		if (((unsigned char)*line < ' ' && *line != '\t' && !is_line_end) || *line == 0x7f)
			return true;
	}
	return false;
}

// What ends within a string: the file, or the line, whose end the parser takes for a character that
// a string cannot have; NULL: something else is wrong.
static const char *find_unclosed(const char *text, size_t length, const struct err *err)
{
	const char *stop;
	if (!strstr(err->message, "string: "))
		return NULL;
	if (strstr(err->message, "end-of-file"))
		return "file";
	const char *line = find_line(text, text + length, err->line, &stop);
	bool is_line_end = line && strstr(err->message, "control characters") &&
			   !has_control_character(line, stop);
	return is_line_end ? "line" : NULL;
}

// Is the word at `start` the beginning of a value?
static bool begins_value(const char *line, const char *start)
{
	while (start > line && (start[-1] == ' ' || start[-1] == '\t'))
		start--;
	return start > line && strchr("=,[", start[-1]);
}

static bool find_word(const char *text, size_t length, const struct err *err, struct word *word)
{
	const char *stop;
	const char *line = find_line(text, text + length, err->line, &stop);
	if (!line || err->column == 0 || err->column > (size_t)(stop - line) + 1)
		return false;
	const char *start = line + err->column - 1;
	const char *end = start;
	while (start > line && is_part(start[-1]))
		start--;
	while (end < stop && is_part(*end))
		end++;
	bool is_quoted =
		(start > line && strchr("\"'", start[-1])) || (end < stop && strchr("\"'", *end));
	if (start == end || is_quoted || end - start >= WORD_MAX || !begins_value(line, start))
		return false;
	*word = (struct word){line, start, (size_t)(end - start)};
	return true;
}

static void copy_word(const struct word *word, char *text)
{
	memcpy(text, word->start, word->length);
	text[word->length] = '\0';
}

// Where the value of the key `token` begins that the parser has stumbled in, or NULL.
static const char *find_secret(const char *text, size_t length, const struct err *err,
			       const char **line)
{
	static const char key[] = "token";
	const char *stop;
	const char *secret = NULL;
	*line = find_line(text, text + length, err->line, &stop);
	if (!*line || err->column > (size_t)(stop - *line) + 1)
		return NULL;
	for (const char *at = *line; at + sizeof(key) <= *line + err->column; at++) {
		const char *end = at + sizeof(key) - 1;
		if (memcmp(at, key, sizeof(key) - 1) != 0)
			continue;
		while (end < stop && strchr(" \t\"'", *end))
			end++;
		if (end < stop && *end == '=')
			secret = end + 1;
	}
	while (secret && secret < stop && (*secret == ' ' || *secret == '\t'))
		secret++;
	return secret;
}

// ---- what it was meant to be -------------------------------------------------------------------

static bool is_address(const char *text)
{
	struct ip_addr addr;
	struct endpoint endpoint;
	struct ip_network network;
	return ip_addr_parse(text, &addr) || endpoint_parse(text, &endpoint) ||
	       ip_network_parse(text, &network);
}

// The brackets of a list are none of the word's, those of an address are.
static void strip_brackets(struct word *word)
{
	char text[WORD_MAX];
	copy_word(word, text);
	if (is_address(text))
		return;
	while (word->length && *word->start == '[') {
		word->start++;
		word->length--;
	}
	while (word->length && word->start[word->length - 1] == ']')
		word->length--;
}

static bool find_seconds(const char *text, double *seconds)
{
	char *unit;
	double number = strtod(text, &unit);
	if (!isdigit((unsigned char)text[0]) || unit == text)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) == 0) {
			*seconds = number * units[i].seconds;
			return true;
		}
	}
	return false;
}

static const char *find_flag(const char *text)
{
	if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0 ||
	    strcasecmp(text, "true") == 0)
		return "true";
	if (strcasecmp(text, "no") == 0 || strcasecmp(text, "off") == 0 ||
	    strcasecmp(text, "false") == 0)
		return "false";
	return NULL;
}

// False for what only a number or a date could be, or no word at all.
static bool is_text(const char *text)
{
	bool has_letter = false;
	for (; *text; text++) {
		if (strchr("[]{}", *text))
			return false;
		has_letter |= isalpha((unsigned char)*text) || strchr(":/-", *text);
	}
	return has_letter;
}

void toml_hint(const char *text, size_t length, struct err *err)
{
	char meant[WORD_MAX];
	char quoted[REPORT_QUOTE_MAX];
	double seconds;
	struct word word;
	// Limits of our own are about values that are well written.
	if (strncmp(err->message, parser_says, sizeof(parser_says) - 1) != 0)
		return;
	const char *secret = find_secret(text, length, err, &word.line);
	if (secret) {
		err_set(err, 0, "token: this is no token; write " TOKEN_ADVICE ", between quotes");
		err->column = (unsigned)(secret - word.line) + 1;
		return;
	}
	const char *unclosed = find_unclosed(text, length, err);
	if (unclosed) {
		err_set(err, 0, "the %s ends within a string; is a closing quote missing?",
			unclosed);
		return;
	}
	if (!find_word(text, length, err, &word))
		return;
	strip_brackets(&word);
	copy_word(&word, meant);
	const char *flag = find_flag(meant);
	report_quote(meant, word.length, quoted);
	if (find_seconds(meant, &seconds))
		err_set(err, 0, "%s has a unit; times are in seconds: write %.10g", quoted,
			seconds);
	else if (flag)
		err_set(err, 0, "%s is not TOML; write %s, or \"%s\" where a word is wanted",
			quoted, flag, quoted);
	else if (is_address(meant) || is_text(meant))
		err_set(err, 0, "%s stands without quotes; write \"%s\"", quoted, quoted);
	else
		return;
	err->column = (unsigned)(word.start - word.line) + 1;
}
