// SPDX-License-Identifier: Apache-2.0
#include "notation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/net/parse.h"

enum {
	DEFAULT_ID = 1,
	DEFAULT_WINDOW = 1000,
	DEFAULT_QUOTED_TTL = 60,
	DEFAULT_QUOTE_LEN = 8,
	TUNNEL_TTL = 64,
	DONT_FRAGMENT = 0x4000,
	MORE_FRAGMENTS = 0x2000,
};

struct parser {
	char *rest; // of the line, cut into words as they are read
	struct names *names;
	const struct notation_source *source;
	struct notation *out;
	uint32_t depth; // of braces
	bool has_via;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *parser, const char *format,
						      ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(parser->why, parser->why_size, format, args);
	va_end(args);
	return -1;
}

// NULL at the end of the line.
static char *next_word(struct parser *parser)
{
	char *word = parser->rest + strspn(parser->rest, " \t");
	size_t len = strcspn(word, " \t");
	if (len == 0)
		return NULL;
	parser->rest = word + len;
	if (*parser->rest)
		*parser->rest++ = '\0';
	return word;
}

static int read_number(struct parser *parser, uint32_t *value)
{
	char *word = next_word(parser);
	char *end = NULL;
	unsigned long read = word ? strtoul(word, &end, 0) : 0;
	if (!word || *end || end == word)
		return fail(parser, "a number is wanted, not \"%s\"", word ? word : "");
	*value = (uint32_t)read;
	return 0;
}

static struct frame_spec *spec_of(struct parser *parser)
{
	return parser->depth ? &parser->out->inner[parser->depth - 1] : &parser->out->spec;
}

// ---- hosts and ports ---------------------------------------------------------------------------

// What the observed packet has in the place that is being described.
static bool observe(const struct parser *parser, enum name_kind kind, bool is_src, uint32_t *value)
{
	const uint8_t *frame = parser->source->frame;
	uint32_t len = parser->source->len;
	if (parser->depth || len < ETH_HEADER_LEN + 20)
		return false;
	if (kind == NAME_HOST) {
		uint32_t addr;
		memcpy(&addr, frame + ETH_HEADER_LEN + (is_src ? 12 : 16), sizeof(addr));
		*value = ntohl(addr);
		return true;
	}
	uint32_t at = ETH_HEADER_LEN + (frame[ETH_HEADER_LEN] & 0x0fU) * 4 + (is_src ? 0 : 2);
	if (at + 2 > len)
		return false;
	*value = (uint32_t)frame[at] << 8 | frame[at + 1];
	return true;
}

static int resolve(struct parser *parser, enum name_kind kind, const char *word, bool is_src,
		   uint32_t *value)
{
	struct in_addr addr;
	char *end;
	if (names_find(parser->names, kind, word, value))
		return 0;
	if (kind == NAME_HOST && inet_pton(AF_INET, word, &addr) == 1) {
		*value = ntohl(addr.s_addr);
		return 0;
	}
	if (kind == NAME_PORT && *word != '$') {
		*value = (uint32_t)strtoul(word, &end, 0);
		return *end || end == word ? fail(parser, "unknown port \"%s\"", word) : 0;
	}
	if (*word != '$' || !observe(parser, kind, is_src, value))
		return fail(parser, "unknown name \"%s\"", word);
	return names_bind(parser->names, kind, word, *value)
		       ? 0
		       : fail(parser, "too many names with \"%s\"", word);
}

static int read_endpoint(struct parser *parser, bool is_src)
{
	struct frame_spec *spec = spec_of(parser);
	char *word = next_word(parser);
	if (!word)
		return fail(parser, "a host is wanted");
	char *port = strchr(word, ':');
	uint32_t addr;
	uint32_t number = 0;
	if (port)
		*port++ = '\0';
	if (resolve(parser, NAME_HOST, word, is_src, &addr) ||
	    (port && resolve(parser, NAME_PORT, port, is_src, &number)))
		return -1;
	*(is_src ? &spec->src : &spec->dst) = addr;
	*(is_src ? &spec->src_port : &spec->dst_port) = (uint16_t)number;
	return 0;
}

// ---- protocols ---------------------------------------------------------------------------------

static int read_flags(struct parser *parser, struct frame_spec *spec)
{
	static const char letters[] = "FSRPAUEC";
	char *word = next_word(parser);
	if (!word)
		return fail(parser, "TCP flags are wanted");
	for (const char *c = word; *c && strcmp(word, "-") != 0; c++) {
		const char *found = strchr(letters, *c);
		if (!found)
			return fail(parser, "unknown TCP flags \"%s\"", word);
		spec->flags |= (uint8_t)(1U << (found - letters));
	}
	spec->window = DEFAULT_WINDOW;
	return 0;
}

static int read_icmp_kind(struct parser *parser, struct frame_spec *spec)
{
	static const struct {
		const char *name;
		uint8_t type;
		uint8_t code;
	} kinds[] = {
		{"frag-needed", 3, 4},    {"port-unreachable", 3, 3}, {"host-unreachable", 3, 1},
		{"time-exceeded", 11, 0}, {"param-problem", 12, 0},   {"echo", 8, 0},
		{"source-quench", 4, 0},
	};
	char *word = next_word(parser);
	for (size_t i = 0; word && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(word, kinds[i].name) != 0)
			continue;
		spec->icmp_type = kinds[i].type;
		spec->icmp_code = kinds[i].code;
		spec->quote_len = DEFAULT_QUOTE_LEN;
		return i == 0 ? read_number(parser, &spec->icmp_rest) : 0;
	}
	return fail(parser, "unknown kind of ICMP message \"%s\"", word ? word : "");
}

static int read_protocol(struct parser *parser)
{
	struct frame_spec *spec = spec_of(parser);
	char *word = next_word(parser);
	uint32_t number = 0;
	if (!word)
		return fail(parser, "a protocol is wanted");
	if (strcmp(word, "tcp") == 0) {
		spec->proto = IPPROTO_TCP;
		return read_flags(parser, spec);
	}
	if (strcmp(word, "udp") == 0) {
		spec->proto = IPPROTO_UDP;
		return 0;
	}
	if (strcmp(word, "ipip") == 0) {
		spec->proto = IPPROTO_IPIP;
		spec->ttl = TUNNEL_TTL;
		return 0;
	}
	if (strcmp(word, "icmp") == 0) {
		spec->proto = IPPROTO_ICMP;
		return read_icmp_kind(parser, spec);
	}
	if (strcmp(word, "proto") != 0 || read_number(parser, &number))
		return fail(parser, "unknown protocol \"%s\"", word);
	spec->proto = (uint8_t)number;
	return 0;
}

// ---- what may follow ---------------------------------------------------------------------------

struct named_bytes {
	const char *name;
	uint8_t len;
	uint8_t bytes[12];
};

static const struct named_bytes tcp_option_list[] = {
	{"mss", 4, {2, 4, 0x05, 0xb4}}, // 1460
	{"mss1440", 4, {2, 4, 0x05, 0xa0}},
	{"mss1000", 4, {2, 4, 0x03, 0xe8}},
	{"ws", 3, {3, 3, 7}},
	{"sack", 2, {4, 2}},
	{"ts", 10, {8, 10, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}},
	{"nop", 1, {1}},
};

static const struct named_bytes ip_option_list[] = {
	{"nop", 1, {1}},
	{"rr", 7, {7, 7, 4}},                               // record route, one place
	{"lsrr", 7, {131, 7, 4, 10, 9, 9, 9}},              // loose source route
	{"ssrr", 7, {137, 7, 4, 10, 9, 9, 9}},              // strict source route
	{"alert", 4, {148, 4, 0, 0}},                       // router alert
	{"overrun", 2, {7, 40}},                            // longer than the header
	{"short", 2, {7, 1}},                               // shorter than itself
	{"ts", 12, {68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, // timestamps
};

static bool append_named(struct frame_options *options, const char *name,
			 const struct named_bytes *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, list[i].name) != 0)
			continue;
		if (options->len + list[i].len > FRAME_MAX_OPTIONS)
			return false;
		memcpy(options->bytes + options->len, list[i].bytes, list[i].len);
		options->len = (uint8_t)(options->len + list[i].len);
		return true;
	}
	return false;
}

// A list of names with commas; filled up with the option that ends the list.
static int read_options(struct parser *parser, struct frame_options *options,
			const struct named_bytes *list, size_t n)
{
	char *word = next_word(parser);
	if (!word)
		return fail(parser, "options are wanted");
	char *place = NULL;
	for (char *name = strtok_r(word, ",", &place); name; name = strtok_r(NULL, ",", &place)) {
		if (!append_named(options, name, list, n))
			return fail(parser, "option \"%s\" is unknown or too much", name);
	}
	while (options->len % 4)
		options->bytes[options->len++] = 0;
	return 0;
}

// poke 14=46 or poke 16=ffff
static int read_poke(struct parser *parser, struct frame_spec *spec)
{
	char *word = next_word(parser);
	char *end = NULL;
	uint32_t offset = word ? (uint32_t)strtoul(word, &end, 0) : 0;
	if (!word || *end != '=')
		return fail(parser, "OFFSET=HEX is wanted");
	for (const char *hex = end + 1; hex[0] && hex[1]; hex += 2) {
		const char byte[3] = {hex[0], hex[1], 0};
		if (spec->n_pokes == FRAME_MAX_POKES)
			return fail(parser, "too many bytes to poke");
		spec->pokes[spec->n_pokes++] =
			(struct frame_poke){(uint16_t)offset++, (uint8_t)strtoul(byte, NULL, 16)};
	}
	return 0;
}

static int read_via(struct parser *parser)
{
	char *word = next_word(parser);
	uint32_t addr;
	if (!word || resolve(parser, NAME_HOST, word, true, &addr))
		return fail(parser, "via whom?");
	*(parser->source->is_output ? &parser->out->spec.dst_mac : &parser->out->spec.src_mac) =
		frame_mac_of(addr);
	parser->has_via = true;
	return 0;
}

static bool read_bare_word(struct frame_spec *spec, const char *word)
{
	if (strcmp(word, "df") == 0)
		spec->fragment |= DONT_FRAGMENT;
	else if (strcmp(word, "mf") == 0)
		spec->fragment |= MORE_FRAGMENTS;
	else if (strcmp(word, "partial") == 0)
		spec->sum = SUM_PARTIAL;
	else if (strcmp(word, "badsum") == 0)
		spec->sum = SUM_WRONG;
	else if (strcmp(word, "nosum") == 0)
		spec->sum = SUM_NONE;
	else if (strcmp(word, "badipsum") == 0)
		spec->is_ip_sum_wrong = true;
	else if (strcmp(word, "corrupt") == 0)
		spec->is_corrupt = true;
	else
		return false;
	return true;
}

// Packets of culvert's own.
static void set_answer(struct frame_spec *spec)
{
	spec->id = 0;
	spec->fragment = DONT_FRAGMENT;
	spec->ttl = 64;
	spec->window = 0;
}

static int read_number_word(struct parser *parser, struct frame_spec *spec, const char *word)
{
	uint32_t value = 0;
	if (read_number(parser, &value))
		return fail(parser, "unknown word \"%s\", or no number behind it", word);
	if (strcmp(word, "ttl") == 0)
		spec->ttl = (uint8_t)value;
	else if (strcmp(word, "tos") == 0)
		spec->tos = (uint8_t)value;
	else if (strcmp(word, "frag") == 0)
		spec->fragment |= (uint16_t)value;
	else if (strcmp(word, "len") == 0)
		spec->payload_len = value;
	else if (strcmp(word, "from") == 0)
		spec->payload_from = value;
	else if (strcmp(word, "seq") == 0)
		spec->seq = value;
	else if (strcmp(word, "ack") == 0)
		spec->ack = value;
	else if (strcmp(word, "win") == 0)
		spec->window = (uint16_t)value;
	else if (strcmp(word, "urg") == 0)
		spec->urgent = (uint16_t)value;
	else if (strcmp(word, "pad") == 0)
		spec->padding = value;
	else if (strcmp(word, "gso") == 0)
		spec->gso_size = (uint16_t)value;
	else if (strcmp(word, "cut") == 0)
		spec->cut_to = value;
	else if (strcmp(word, "quote") == 0)
		spec->quote_len = value;
	else
		return fail(parser, "unknown word \"%s\"", word);
	return 0;
}

// A number, or a name that begins with $ for the one that the outer header has.
static int read_id(struct parser *parser, struct frame_spec *spec)
{
	const uint8_t *ip = parser->source->frame + ETH_HEADER_LEN;
	char *word = next_word(parser);
	char *end = NULL;
	if (!word)
		return fail(parser, "id: a number is wanted");
	if (*word != '$') {
		spec->id = (uint16_t)strtoul(word, &end, 0);
		return *end ? fail(parser, "id: no number \"%s\"", word) : 0;
	}
	if (parser->depth || !parser->source->frame || parser->source->len < ETH_HEADER_LEN + 20)
		return fail(parser, "id: nothing to see");
	spec->id = (uint16_t)(ip[4] << 8 | ip[5]);
	if (!names_bind(parser->names, NAME_PORT, word, spec->id))
		return fail(parser, "too many names with \"%s\"", word);
	return 0;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int read_word(struct parser *parser, const char *word)
{
	struct frame_spec *spec = spec_of(parser);
	if (read_bare_word(spec, word))
		return 0;
	if (strcmp(word, "answer") == 0) {
		set_answer(spec);
		return 0;
	}
	if (strcmp(word, "opts") == 0)
		return read_options(parser, &spec->tcp_options, tcp_option_list,
				    COUNT(tcp_option_list));
	if (strcmp(word, "ipopts") == 0)
		return read_options(parser, &spec->ip_options, ip_option_list,
				    COUNT(ip_option_list));
	if (strcmp(word, "poke") == 0)
		return read_poke(parser, spec);
	if (strcmp(word, "id") == 0)
		return read_id(parser, spec);
	if (strcmp(word, "part") == 0)
		return read_number(parser, &spec->part_at) || read_number(parser, &spec->part_len);
	if (strcmp(word, "via") == 0)
		return read_via(parser);
	return read_number_word(parser, spec, word);
}

// ---- the whole line ----------------------------------------------------------------------------

static int read_packet(struct parser *parser)
{
	struct frame_spec *spec = spec_of(parser);
	bool is_carried = parser->depth == 1 && parser->out->spec.proto == IPPROTO_IPIP;
	bool is_seen_here = parser->depth == 0 || is_carried;
	*spec = (struct frame_spec){
		.id = DEFAULT_ID,
		.ttl = is_seen_here ? parser->source->default_ttl : DEFAULT_QUOTED_TTL,
	};
	if (read_endpoint(parser, true))
		return -1;
	char *arrow = next_word(parser);
	if (!arrow || strcmp(arrow, ">") != 0)
		return fail(parser, "\">\" is wanted behind the sender");
	if (read_endpoint(parser, false) || read_protocol(parser))
		return -1;
	return 0;
}

static int read_rest(struct parser *parser)
{
	char *word;
	while ((word = next_word(parser))) {
		if (strcmp(word, "{") == 0 && parser->depth + 1 < NOTATION_DEPTH) {
			struct frame_spec *outer = spec_of(parser);
			parser->depth++;
			if (read_packet(parser))
				return -1;
			outer->quoted = spec_of(parser);
		} else if (strcmp(word, "}") == 0 && parser->depth) {
			parser->depth--;
		} else if (read_word(parser, word)) {
			return -1;
		}
	}
	return parser->depth ? fail(parser, "\"}\" is missing") : 0;
}

static void set_macs(const struct parser *parser)
{
	struct frame_spec *spec = &parser->out->spec;
	const struct mac_addr *ours = &parser->source->link_macs[parser->out->link];
	bool is_output = parser->source->is_output;
	*(is_output ? &spec->src_mac : &spec->dst_mac) = *ours;
	if (!parser->has_via)
		*(is_output ? &spec->dst_mac : &spec->src_mac) =
			frame_mac_of(is_output ? spec->dst : spec->src);
}

int notation_parse(const char *text, struct names *names, const struct notation_source *source,
		   struct notation *notation, char *why, size_t why_size)
{
	char line[512];
	struct parser parser = {
		.rest = line,
		.names = names,
		.source = source,
		.out = notation,
		.why = why,
		.why_size = why_size,
	};
	if ((size_t)snprintf(line, sizeof(line), "%s", text) >= sizeof(line))
		return fail(&parser, "the line is too long");
	char *link = next_word(&parser);
	bool is_front = link && strcmp(link, "front") == 0;
	if (!is_front && (!link || strcmp(link, "back") != 0))
		return fail(&parser, "the link is missing: front or back");
	notation->link = is_front ? 0 : 1;
	if (read_packet(&parser) || read_rest(&parser))
		return -1;
	set_macs(&parser);
	return 0;
}
