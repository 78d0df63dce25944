// SPDX-License-Identifier: Apache-2.0
// Version 1 of the PROXY header, section 2.1: one line of text. It is read from left to right and
// refused at the first byte that no right line has in that place.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "culvert/net/bytes.h"
#include "net/proxy_header_reader.h"

enum {
	V6_GROUPS = 8,
	V6_GROUP_DIGITS = 4,
	V6_MAPPED = 0xffff, // the last group in front of an IPv4 address
};

static const char bad_protocol[] = "its protocol is not TCP4, TCP6 or UNKNOWN";
static const char bad_v4[] = "its TCP4 address is not four numbers from 0 to 255";
static const char bad_v6[] = "its TCP6 address is not an IPv6 address";
static const char bad_port[] = "its port is not a number from 0 to 65535";
static const char bad_separator[] = "its fields are not separated by one space each";
static const char bad_end[] = "its line does not end with CR and LF behind the last field";
static const char bad_length[] = "its line is longer than 107 bytes";

// An IPv6 address as far as it has been read.
struct v6_text {
	uint16_t groups[V6_GROUPS];
	int n;
	int gap; // how many groups stand in front of the "::"; -1: there is none
};

// Digits without a zero in front, the last one known by what follows it.
static bool read_number(struct header_reader *reader, unsigned max, unsigned *number,
			const char *problem)
{
	const uint8_t *start = reader->at;
	unsigned value = 0;
	for (; !header_reader_is_at_end(reader); reader->at++) {
		unsigned digit = *reader->at - (unsigned)'0';
		if (digit > 9)
			break;
		value = value * 10 + digit;
		if (value > max || (reader->at > start && *start == '0'))
			return header_reader_refuse(reader, problem);
	}
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	if (reader->at == start)
		return header_reader_refuse(reader, problem);
	*number = value;
	return true;
}

static bool read_v4(struct header_reader *reader, uint32_t *addr, const char *problem)
{
	*addr = 0;
	for (int i = 0; i < 4; i++) {
		unsigned number;
		if (i > 0 && !header_reader_expect(reader, ".", 1, problem))
			return false;
		if (!read_number(reader, 255, &number, problem))
			return false;
		*addr = *addr << 8 | number;
	}
	return true;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// A "::" stands for one group or more.
static bool has_room(const struct v6_text *text)
{
	return text->n < (text->gap < 0 ? V6_GROUPS : V6_GROUPS - 1);
}

// The dotted end of "::ffff:10.0.0.1" and "::10.0.0.1". Section 2.1 has hexadecimal groups only,
// but senders write what inet_ntop() gives them, which is this for such addresses and for no
// others.
static bool read_dotted_end(struct header_reader *reader, const uint8_t *start,
			    struct v6_text *text)
{
	uint32_t addr;
	bool is_possible =
		text->gap == 0 && (text->n == 0 || (text->n == 1 && text->groups[0] == V6_MAPPED));
	if (!is_possible)
		return header_reader_refuse(reader, bad_v6);
	reader->at = start;
	if (!read_v4(reader, &addr, bad_v6))
		return false;
	if (*reader->at != ' ')
		return header_reader_refuse(reader, bad_v6);
	text->groups[text->n++] = (uint16_t)(addr >> 16);
	text->groups[text->n++] = (uint16_t)addr;
	return true;
}

static bool read_group(struct header_reader *reader, struct v6_text *text)
{
	const uint8_t *start = reader->at;
	unsigned value = 0;
	if (!has_room(text))
		return header_reader_refuse(reader, bad_v6);
	for (; !header_reader_is_at_end(reader); reader->at++) {
		int digit = hex_value(*reader->at);
		if (digit < 0)
			break;
		if (reader->at - start == V6_GROUP_DIGITS)
			return header_reader_refuse(reader, bad_v6);
		value = value << 4 | (unsigned)digit;
	}
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	if (*reader->at == '.')
		return read_dotted_end(reader, start, text);
	if (reader->at == start)
		return header_reader_refuse(reader, bad_v6);
	text->groups[text->n++] = (uint16_t)value;
	return true;
}

// ":" or "::" behind a group.
static bool read_colons(struct header_reader *reader, struct v6_text *text)
{
	if (!has_room(text) || *reader->at != ':')
		return header_reader_refuse(reader, bad_v6);
	reader->at++;
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	if (*reader->at != ':')
		return true;
	if (text->gap >= 0)
		return header_reader_refuse(reader, bad_v6);
	text->gap = text->n;
	reader->at++;
	return true;
}

// Up to the space behind the address.
static bool read_v6_text(struct header_reader *reader, struct v6_text *text)
{
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	if (*reader->at == ':') {
		if (!header_reader_expect(reader, "::", 2, bad_v6))
			return false;
		text->gap = 0;
	}
	for (;;) {
		if (header_reader_is_at_end(reader))
			return header_reader_starve(reader);
		if (*reader->at == ' ' && text->gap == text->n)
			return true;
		if (!read_group(reader, text))
			return false;
		if (*reader->at == ' ')
			return text->gap >= 0 || text->n == V6_GROUPS ||
			       header_reader_refuse(reader, bad_v6);
		if (!read_colons(reader, text))
			return false;
	}
}

static bool read_v6(struct header_reader *reader, struct ip_addr *addr)
{
	struct v6_text text = {.gap = -1};
	if (!read_v6_text(reader, &text))
		return false;
	int n_front = text.gap < 0 ? text.n : text.gap;
	*addr = (struct ip_addr){0};
	for (int i = 0; i < text.n; i++) {
		int group = i < n_front ? i : V6_GROUPS - text.n + i;
		store_be16(addr->bytes + (ptrdiff_t)2 * group, text.groups[i]);
	}
	return true;
}

static bool read_space(struct header_reader *reader)
{
	return header_reader_expect(reader, " ", 1, bad_separator);
}

static bool read_addr(struct header_reader *reader, bool is_v6, struct ip_addr *addr)
{
	uint32_t v4;
	if (is_v6)
		return read_v6(reader, addr) && read_space(reader);
	if (!read_v4(reader, &v4, bad_v4) || !read_space(reader))
		return false;
	*addr = ip_addr_from_v4(htonl(v4));
	return true;
}

static bool read_port(struct header_reader *reader, uint16_t *port_be)
{
	unsigned number;
	if (!read_number(reader, UINT16_MAX, &number, bad_port))
		return false;
	*port_be = htons((uint16_t)number);
	return true;
}

// "TCP4 " or "TCP6 ".
static bool read_family(struct header_reader *reader, bool *is_v6)
{
	uint8_t digit;
	if (!header_reader_expect(reader, "TCP", 3, bad_protocol) ||
	    !header_reader_take(reader, &digit))
		return false;
	if (digit != '4' && digit != '6')
		return header_reader_refuse(reader, bad_protocol);
	*is_v6 = digit == '6';
	return read_space(reader);
}

// "UNKNOWN" is followed by CRLF, or by a space and anything up to the first CRLF.
static bool read_unknown(struct header_reader *reader, const uint8_t *line)
{
	if (!header_reader_expect(reader, "UNKNOWN", 7, bad_protocol))
		return false;
	if (header_reader_is_at_end(reader))
		return header_reader_starve(reader);
	if (*reader->at != ' ')
		return header_reader_expect(reader, "\r\n", 2, bad_protocol);
	for (;; reader->at++) {
		if (reader->at - line > PROXY_HEADER_V1_MAX - 2)
			return header_reader_refuse(reader, bad_length);
		if (header_reader_is_at_end(reader))
			return header_reader_starve(reader);
		if (*reader->at != '\r')
			continue;
		if (reader->end - reader->at == 1)
			return header_reader_starve(reader);
		if (reader->at[1] == '\n') {
			reader->at += 2;
			return true;
		}
	}
}

// A line of TCP4 or TCP6 ends by itself within 104 bytes.
bool proxy_header_read_v1(struct header_reader *reader, struct proxy_header *header)
{
	const uint8_t *line = reader->at;
	bool is_v6;
	if (!header_reader_expect(reader, "PROXY ", 6, HEADER_BAD_START))
		return false;
	if (!header_reader_is_at_end(reader) && *reader->at == 'U')
		return read_unknown(reader, line);
	if (!read_family(reader, &is_v6) || !read_addr(reader, is_v6, &header->src.addr) ||
	    !read_addr(reader, is_v6, &header->dst.addr) ||
	    !read_port(reader, &header->src.port_be) || !read_space(reader) ||
	    !read_port(reader, &header->dst.port_be) ||
	    !header_reader_expect(reader, "\r\n", 2, bad_end))
		return false;
	header->src.proto = header->dst.proto = IPPROTO_TCP;
	header->has_addrs = true;
	return true;
}

// Hexadecimal groups throughout, as section 2.1 has it: inet_ntop() ends some with a dotted quad.
static void format_v6(const struct ip_addr *addr, char *text)
{
	inet_ntop(AF_INET6, addr->bytes, text, IP_ADDR_TEXT_MAX);
	if (strchr(text, '.'))
		snprintf(text, IP_ADDR_TEXT_MAX, "::%s%x:%x", ip_addr_is_v4(addr) ? "ffff:" : "",
			 load_be16(addr->bytes + 12), load_be16(addr->bytes + 14));
}

size_t proxy_header_write_v1(const struct endpoint *src, const struct endpoint *dst, char *out)
{
	char src_text[IP_ADDR_TEXT_MAX];
	char dst_text[IP_ADDR_TEXT_MAX];
	bool is_v4 = ip_addr_is_v4(&src->addr) && ip_addr_is_v4(&dst->addr);
	if (is_v4) {
		ip_addr_format(&src->addr, src_text);
		ip_addr_format(&dst->addr, dst_text);
	} else {
		format_v6(&src->addr, src_text);
		format_v6(&dst->addr, dst_text);
	}
	int len =
		snprintf(out, PROXY_HEADER_V1_MAX, "PROXY TCP%c %s %s %u %u\r\n", is_v4 ? '4' : '6',
			 src_text, dst_text, ntohs(src->port_be), ntohs(dst->port_be));
	return (size_t)len;
}
