// SPDX-License-Identifier: Apache-2.0
#include "notation.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notation_lists.h"

enum {
	DEFAULT_ID = 1,
	DEFAULT_WINDOW = 1000,
	DEFAULT_QUOTED_TTL = 60,
	DEFAULT_QUOTE_LEN = 8,
	DEFAULT_QUOTE_LEN_V6 = 65535, // whole (RFC 4443 section 2.4 (c))
	TUNNEL_TTL = 64,
	DONT_FRAGMENT = 0x4000,
	MORE_FRAGMENTS = 0x2000,
	ERROR_TOS = 0xc0,    // RFC 1812 section 4.3.2.5
	ERROR_MAX = 576,     // and 4.3.2.3
	ERROR_MAX_V6 = 1280, // RFC 4443 section 2.4
};

struct parser {
	char *rest; // of the line, cut into words as they are read
	struct names *names;
	const struct notation_source *source;
	struct notation *out;
	uint32_t depth; // of braces
	bool has_via;
	bool has_id; // the outer header
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
static bool observe_host(const struct parser *parser, bool is_src, struct ip_addr *host)
{
	const uint8_t *frame = parser->source->frame;
	uint32_t len = parser->source->len;
	uint32_t l3 = frame && !parser->depth ? frame_ip_at(frame, len) : 0;
	bool is_v6 = l3 && frame[l3] >> 4 == 6;
	if (!l3 || len < l3 + (is_v6 ? 40U : 20U))
		return false;
	*host = frame_v4(0);
	if (is_v6)
		memcpy(host->bytes, frame + l3 + (is_src ? 8 : 24), 16);
	else
		memcpy(host->bytes + 12, frame + l3 + (is_src ? 12 : 16), 4);
	return true;
}

static bool observe_port(const struct parser *parser, bool is_src, uint32_t *port)
{
	const uint8_t *frame = parser->source->frame;
	struct frame_layout layout;
	if (!frame || parser->depth || !frame_read_layout(frame, parser->source->len, &layout) ||
	    layout.end < layout.l4 + 4)
		return false;
	const uint8_t *at = frame + layout.l4 + (is_src ? 0 : 2);
	*port = (uint32_t)at[0] << 8 | at[1];
	return true;
}

static int resolve_host(struct parser *parser, const char *word, bool is_src, struct ip_addr *host)
{
	if (names_find_host(parser->names, word, host) || ip_addr_parse(word, host))
		return 0;
	if (*word != '$' || !observe_host(parser, is_src, host))
		return fail(parser, "unknown host \"%s\"", word);
	return names_bind_host(parser->names, word, host)
		       ? 0
		       : fail(parser, "too many names with \"%s\"", word);
}

static int resolve_port(struct parser *parser, const char *word, bool is_src, uint32_t *port)
{
	char *end;
	if (names_find_number(parser->names, word, port))
		return 0;
	if (*word != '$') {
		*port = (uint32_t)strtoul(word, &end, 0);
		return *end || end == word ? fail(parser, "unknown port \"%s\"", word) : 0;
	}
	if (!observe_port(parser, is_src, port))
		return fail(parser, "unknown port \"%s\"", word);
	return names_bind_number(parser->names, word, *port)
		       ? 0
		       : fail(parser, "too many names with \"%s\"", word);
}

// Cuts "host:port" or "[address]:port" into two. The port is NULL when there is none.
static char *cut_port(char **word)
{
	char *bracket = **word == '[' ? strchr(*word, ']') : NULL;
	char *port = strchr(bracket ? bracket : *word, ':');
	if (port)
		*port++ = '\0';
	if (bracket) {
		*bracket = '\0';
		++*word;
	}
	return port;
}

static int read_endpoint(struct parser *parser, bool is_src)
{
	struct frame_spec *spec = spec_of(parser);
	char *word = next_word(parser);
	struct ip_addr addr;
	uint32_t number = 0;
	if (!word)
		return fail(parser, "a host is wanted");
	char *port = cut_port(&word);
	if (resolve_host(parser, word, is_src, &addr) ||
	    (port && resolve_port(parser, port, is_src, &number)))
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

static int read_icmp_kind(struct parser *parser, struct frame_spec *spec, bool is_v6)
{
	char *word = next_word(parser);
	const struct icmp_kind *kind = word ? notation_icmp_kind(word, is_v6) : NULL;
	if (!kind)
		return fail(parser, "unknown kind of ICMP message \"%s\"", word ? word : "");
	spec->proto = is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	spec->icmp_type = kind->type;
	spec->icmp_code = kind->code;
	spec->quote_len = is_v6 ? DEFAULT_QUOTE_LEN_V6 : DEFAULT_QUOTE_LEN;
	return kind->has_mtu ? read_number(parser, &spec->icmp_rest) : 0;
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
	if (strcmp(word, "icmp") == 0 || strcmp(word, "icmp6") == 0)
		return read_icmp_kind(parser, spec, word[4] == '6');
	if (strcmp(word, "proto") != 0 || read_number(parser, &number))
		return fail(parser, "unknown protocol \"%s\"", word);
	spec->proto = (uint8_t)number;
	return 0;
}

// ---- what may follow ---------------------------------------------------------------------------

static int read_list(struct parser *parser, const char *word)
{
	struct frame_spec *spec = spec_of(parser);
	char *list = next_word(parser);
	const char *wrong;
	if (!list)
		return fail(parser, "a list is wanted behind \"%s\"", word);
	if (strcmp(word, "opts") == 0)
		wrong = notation_tcp_options(list, &spec->tcp_options);
	else if (strcmp(word, "ipopts") == 0)
		wrong = notation_ip_options(list, &spec->ip_options);
	else
		wrong = notation_extensions(list, &spec->extensions);
	return wrong ? fail(parser, "\"%s\" is unknown or too much", wrong) : 0;
}

// vlan 10 or, the outer tag first, vlan 10,20
static int read_vlan(struct parser *parser, struct frame_spec *spec)
{
	char *word = next_word(parser);
	char *place = NULL;
	for (char *tag = word ? strtok_r(word, ",", &place) : NULL; tag;
	     tag = strtok_r(NULL, ",", &place)) {
		if (parser->depth || spec->n_vlans == FRAME_MAX_VLANS)
			return fail(parser, "no room for tag %s", tag);
		spec->vlans[spec->n_vlans++] = (uint16_t)strtoul(tag, NULL, 0);
	}
	return spec->n_vlans ? 0 : fail(parser, "a VLAN is wanted");
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
	struct ip_addr addr;
	if (!word || resolve_host(parser, word, true, &addr))
		return fail(parser, "via whom?");
	*(parser->source->is_output ? &parser->out->spec.dst_mac : &parser->out->spec.src_mac) =
		frame_mac_of(&addr);
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
	spec->fragment = frame_is_v6(spec) ? 0 : DONT_FRAGMENT;
	spec->ttl = 64;
	spec->window = 0;
	if (spec->proto == IPPROTO_ICMP) {
		spec->tos = ERROR_TOS;
		spec->quote_room = ERROR_MAX - 28;
	} else if (spec->proto == IPPROTO_ICMPV6) {
		spec->quote_room = ERROR_MAX_V6 - 48;
	}
}

static void set_quote(struct frame_spec *spec, uint32_t len)
{
	spec->quote_len = len;
	spec->quote_room = 0;
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
	else if (strcmp(word, "label") == 0)
		spec->flow_label = value;
	else if (strcmp(word, "rest") == 0)
		spec->icmp_rest = value;
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
		set_quote(spec, value);
	else
		return fail(parser, "unknown word \"%s\"", word);
	return 0;
}

// The fragment header of the IPv6 packet at `ip`, or NULL.
static const uint8_t *find_fragment_header(const uint8_t *ip, uint32_t len)
{
	uint8_t kind = ip[6];
	uint32_t at = 40;
	while (at + 8 <= len && kind != IPPROTO_FRAGMENT) {
		if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_DSTOPTS && kind != IPPROTO_ROUTING)
			return NULL;
		kind = ip[at];
		at += (ip[at + 1] + 1U) * 8;
	}
	return at + 8 <= len ? ip + at : NULL;
}

// The outer header's, or that of a fragment header.
static bool observe_id(const struct parser *parser, uint32_t *id)
{
	const uint8_t *frame = parser->source->frame;
	uint32_t len = parser->source->len;
	uint32_t l3 = frame && !parser->depth ? frame_ip_at(frame, len) : 0;
	if (!l3 || len < l3 + 20)
		return false;
	const uint8_t *ip = frame + l3;
	if (ip[0] >> 4 == 4) {
		*id = (uint32_t)ip[4] << 8 | ip[5];
		return true;
	}
	const uint8_t *header = len < l3 + 48 ? NULL : find_fragment_header(ip, len - l3);
	if (!header)
		return false;
	*id = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 | (uint32_t)header[6] << 8 |
	      header[7];
	return true;
}

// A number, or a name that begins with $ for the one that the outer header has.
static int read_id(struct parser *parser, struct frame_spec *spec)
{
	char *word = next_word(parser);
	char *end = NULL;
	parser->has_id |= parser->depth == 0;
	if (!word)
		return fail(parser, "id: a number is wanted");
	if (*word != '$') {
		spec->id = (uint32_t)strtoul(word, &end, 0);
		return *end ? fail(parser, "id: no number \"%s\"", word) : 0;
	}
	if (names_find_number(parser->names, word, &spec->id))
		return 0;
	if (!observe_id(parser, &spec->id))
		return fail(parser, "id: nothing to see");
	if (!names_bind_number(parser->names, word, spec->id))
		return fail(parser, "too many names with \"%s\"", word);
	return 0;
}

static int read_word(struct parser *parser, const char *word)
{
	struct frame_spec *spec = spec_of(parser);
	if (read_bare_word(spec, word))
		return 0;
	if (strcmp(word, "answer") == 0) {
		set_answer(spec);
		return 0;
	}
	if (strcmp(word, "opts") == 0 || strcmp(word, "ipopts") == 0 || strcmp(word, "ext") == 0)
		return read_list(parser, word);
	if (strcmp(word, "vlan") == 0)
		return read_vlan(parser, spec);
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

// Words of the other family would silently mean nothing.
static int check_family(struct parser *parser)
{
	const struct frame_spec *spec = spec_of(parser);
	bool has_v4 =
		spec->ip_options.len || spec->is_ip_sum_wrong || (spec->fragment & DONT_FRAGMENT);
	bool has_v6 = spec->extensions.len || spec->flow_label;
	if (frame_is_v6(spec) ? has_v4 : has_v6)
		return fail(parser, "a word of the other IP version");
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
			if (check_family(parser))
				return -1;
			parser->depth--;
		} else if (read_word(parser, word)) {
			return -1;
		}
	}
	return parser->depth ? fail(parser, "\"}\" is missing") : check_family(parser);
}

static void set_macs(const struct parser *parser)
{
	struct frame_spec *spec = &parser->out->spec;
	const struct mac_addr *ours = &parser->source->link_macs[parser->out->link];
	bool is_output = parser->source->is_output;
	*(is_output ? &spec->src_mac : &spec->dst_mac) = *ours;
	if (!parser->has_via)
		*(is_output ? &spec->dst_mac : &spec->src_mac) =
			frame_mac_of(is_output ? &spec->dst : &spec->src);
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
	if (source->is_id_free && !parser.has_id && !(notation->spec.fragment & DONT_FRAGMENT))
		(void)observe_id(&parser, &notation->spec.id);
	set_macs(&parser);
	return 0;
}
