// SPDX-License-Identifier: Apache-2.0
// Values that a health check sends or looks for.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value_parts.h"
#include "culvert/config/config.h"

enum { STATUS_MIN = 100, STATUS_MAX = 599 }; // RFC 9110 section 15

static bool has_control_character(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

static int reject_length(const struct value *value)
{
	char advice[ADVICE_MAX];
	snprintf(advice, sizeof(advice), "a string of %lld to %lld bytes",
		 (long long)value->key->min, (long long)value->key->max);
	return value_reject(value, "is too short or too long", advice);
}

int value_store_text(const struct value *value)
{
	if (!value->text || value->kind == NODE_EMPTY)
		return value_reject(value, "is not a string", "a string");
	size_t length = strlen(value->text);
	if (length < (size_t)value->key->min || length > (size_t)value->key->max)
		return reject_length(value);
	if (has_control_character(value->text))
		return value_reject(value, "has a control character", "a string on one line");
	char *copy = strdup(value->text);
	char *before; // the default
	if (!copy)
		return -ENOMEM;
	memcpy(&before, value->field, sizeof(before));
	free(before);
	memcpy(value->field, &copy, sizeof(copy));
	return 0;
}

// The value of a hexadecimal digit, or -1.
static int digit_of(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

// Pairs of digits, blanks between them as you like, to `bytes`, which has room for half as many as
// there are characters. False when it is something else.
static bool parse_hex(const char *text, struct config_octets *octets)
{
	octets->n = 0;
	while (*text) {
		int high = digit_of(text[0]);
		int low = high < 0 ? -1 : digit_of(text[1]);
		if (*text == ' ') {
			text++;
			continue;
		}
		if (low < 0)
			return false;
		octets->bytes[octets->n++] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return true;
}

// False when the text is none.
static bool parse_octets(const char *text, struct config_octets *octets)
{
	static const char prefix[] = "hex:";
	if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		return parse_hex(text + sizeof(prefix) - 1, octets);
	octets->n = strlen(text);
	memcpy(octets->bytes, text, octets->n);
	return true;
}

int value_store_octets(const struct value *value)
{
	static const char advice[] =
		"a string, or \"hex:\" and pairs of hexadecimal digits, as in \"hex:00 ff\"";
	if (!value->text || value->kind == NODE_EMPTY)
		return value_reject(value, "is not a string", advice);
	struct config_octets octets = {.bytes = malloc(strlen(value->text) + 1)};
	if (!octets.bytes)
		return -ENOMEM;
	int code = 0;
	if (!parse_octets(value->text, &octets))
		code = value_reject(value, "is not hexadecimal", advice);
	else if (octets.n > (size_t)value->key->max)
		code = reject_length(value);
	if (code)
		free(octets.bytes);
	else
		memcpy(value->field, &octets, sizeof(octets));
	return code;
}

// Three digits at `text`, or 0.
static unsigned parse_status(const char *text)
{
	unsigned status = 0;
	for (int i = 0; i < 3; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		status = status * 10 + (unsigned)(text[i] - '0');
	}
	return status;
}

int value_store_status(const struct value *value)
{
	static const char advice[] =
		"a status from 100 to 599 or a range of them, as in \"200\" or "
		"\"200-399\"";
	const char *text = value->text ? value->text : "";
	unsigned first = parse_status(text);
	unsigned last = first && text[3] == '-' ? parse_status(text + 4) : first;
	size_t length = first && text[3] == '-' ? 7 : 3;
	if (!first || !last || strlen(text) != length)
		return value_reject(value, "is not a range of HTTP statuses", advice);
	if (first < STATUS_MIN || last > STATUS_MAX || first > last)
		return value_reject(value, "is out of range", advice);
	struct config_status_range range = {(uint16_t)first, (uint16_t)last};
	memcpy(value->field, &range, sizeof(range));
	return 0;
}
