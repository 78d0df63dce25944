// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/cut.h"

#include "culvert/net/bytes.h"
#include "culvert/net/checksum.h"

enum {
	IP_OPTION_END = 0,
	IP_OPTION_NOP = 1,
	IP_OPTION_COPIED = 0x80,
	TCP_SEQ_OFFSET = 4,
	TCP_FLAGS_OFFSET = 13,
	TCP_FLAG_CWR = 0x80,
	PIECES_MAX = 2048,
};

bool cut_plan(struct cut *cut, enum cut_kind kind, const struct frame_view *view,
	      uint32_t piece_len)
{
	uint16_t piece_at = kind == CUT_FRAGMENTS ? view->l4 : view->payload;
	uint32_t len = view->frame_len - piece_at;
	if (kind == CUT_FRAGMENTS)
		piece_len -= piece_len % FRAGMENT_UNIT;
	if (piece_len == 0 || len == 0 || (len - 1) / piece_len >= PIECES_MAX)
		return false;
	*cut = (struct cut){
		.kind = kind,
		.header_len = (uint16_t)(piece_at - view->l3),
		.piece_at = piece_at,
		.piece_len = (uint16_t)piece_len,
		.n = (uint16_t)((len - 1) / piece_len + 1),
		.group_len = (uint16_t)len,
		.group_n = (uint16_t)((len - 1) / piece_len + 1),
	};
	return true;
}

bool cut_plan_datagrams(struct cut *cut, const struct frame_view *view, uint32_t datagram_len,
			uint32_t room)
{
	uint32_t len = view->frame_len - view->payload;
	uint32_t piece_len = room > UDP_HEADER_LEN ? room - UDP_HEADER_LEN : 0;
	piece_len -= piece_len % FRAGMENT_UNIT;
	if (datagram_len > len)
		datagram_len = len;
	if (piece_len == 0 || datagram_len == 0)
		return false;
	uint32_t n_each = (datagram_len - 1) / piece_len + 1;
	uint32_t rest = len % datagram_len;
	uint32_t n = len / datagram_len * n_each + (rest ? (rest - 1) / piece_len + 1 : 0);
	if (n > PIECES_MAX)
		return false;
	*cut = (struct cut){
		.kind = CUT_UDP_FRAGMENTS,
		.header_len = (uint16_t)(view->payload - view->l3),
		.piece_at = view->payload,
		.piece_len = (uint16_t)piece_len,
		.n = (uint16_t)n,
		.group_len = (uint16_t)datagram_len,
		.group_n = (uint16_t)n_each,
		.first_only = UDP_HEADER_LEN,
	};
	return true;
}

// ---- IP -----------------------------------------------------------------------------------------

// Options that are for the first fragment only become padding (RFC 791 section 3.1); they have been
// checked when the frame was parsed.
static void blank_uncopied_options(uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != IP_OPTION_END) {
		uint8_t len = *option == IP_OPTION_NOP ? 1 : option[1];
		if (!(*option & IP_OPTION_COPIED))
			memset(option, IP_OPTION_NOP, len);
		option += len;
	}
}

// A fragment can be cut again: its pieces lie where it lies, and only its last piece may be the
// last of the datagram.
static void mark_fragment(const struct cut *cut, const struct cut_piece *piece, uint8_t *ip)
{
	uint32_t more = piece->is_last ? 0 : IP_MORE_FRAGMENTS;
	uint32_t before = piece->number ? piece->number * cut->piece_len + cut->first_only : 0;
	uint16_t field = load_be16(ip + IP_FRAGMENT_OFFSET);
	uint32_t units = (field & IP_FRAGMENT_UNITS) + before / FRAGMENT_UNIT;
	uint32_t flags = field & ~(uint32_t)IP_FRAGMENT_UNITS;
	store_be16(ip + IP_FRAGMENT_OFFSET, (uint16_t)(flags | units | more));
	if (piece->number)
		blank_uncopied_options(ip + IP_HEADER_MIN, ip + piece->header_len);
}

// Segments are packets of their own, and count up the identification as their sender would have.
static void write_ip(const struct cut *cut, const struct cut_piece *piece, uint32_t header_len,
		     uint8_t *ip)
{
	bool is_fragment = cut->kind == CUT_FRAGMENTS || cut->kind == CUT_UDP_FRAGMENTS;
	uint32_t n_before = is_fragment ? piece->group : piece->number;
	store_be16(ip + IP_LEN_OFFSET, (uint16_t)(piece->header_len + piece->len));
	store_be16(ip + IP_ID_OFFSET, (uint16_t)(load_be16(ip + IP_ID_OFFSET) + n_before));
	if (is_fragment)
		mark_fragment(cut, piece, ip);
	store_raw16(ip + IP_CSUM_OFFSET, 0);
	store_raw16(ip + IP_CSUM_OFFSET, csum_finish(csum_add_bytes(0, ip, header_len)));
}

// ---- transport ----------------------------------------------------------------------------------

// The last segment ends what the whole ends, the first one tells that the window was reduced (RFC
// 3168 section 6.1.2).
static void write_tcp(const struct cut *cut, const struct frame_view *view, uint32_t i,
		      uint8_t *tcp)
{
	uint8_t flags = tcp[TCP_FLAGS_OFFSET];
	if (i + 1 < cut->n)
		flags &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
	if (i)
		flags &= (uint8_t)~TCP_FLAG_CWR;
	tcp[TCP_FLAGS_OFFSET] = flags;
	store_be32(tcp + TCP_SEQ_OFFSET, view->seq + i * cut->piece_len);
}

struct message {
	uint8_t *ip;
	uint8_t *l4;
	uint32_t l4_header_len;
	const uint8_t *piece;
	uint32_t piece_len;
	uint8_t proto;
};

static void write_checksum(const struct message *message)
{
	bool is_udp = message->proto == IPPROTO_UDP;
	uint8_t *field = message->l4 + (is_udp ? UDP_CSUM_OFFSET : TCP_CSUM_OFFSET);
	uint32_t len = message->l4_header_len + message->piece_len;
	uint64_t sum = csum_add_bytes(0, message->ip + IP_SRC_OFFSET, 8);
	sum += (uint64_t)htons(message->proto) + htons((uint16_t)len);
	store_raw16(field, 0);
	// Headers are of even length, so the piece begins with a whole word.
	sum = csum_add_bytes(sum, message->l4, message->l4_header_len);
	sum = csum_add_bytes(sum, message->piece, message->piece_len);
	uint16_t checksum = csum_finish(sum);
	store_raw16(field, is_udp && checksum == 0 ? 0xffff : checksum);
}

// What the checksum of piece `i` covers: it alone, or all of the datagram that it begins.
static uint32_t covered_len(const struct cut *cut, const struct frame_view *view,
			    const struct cut_piece *piece)
{
	uint32_t rest = view->frame_len - piece->at;
	if (cut->kind != CUT_UDP_FRAGMENTS)
		return piece->len;
	return rest < cut->group_len ? rest : cut->group_len;
}

void cut_write_headers(const struct cut *cut, const uint8_t *frame, const struct frame_view *view,
		       uint32_t i, uint8_t *out)
{
	uint32_t ip_header_len = (uint32_t)view->l4 - view->l3;
	struct cut_piece piece = cut_piece(cut, view, i);
	memcpy(out, frame + view->l3, piece.header_len);
	write_ip(cut, &piece, ip_header_len, out);
	if (piece.header_len == ip_header_len)
		return;
	struct message message = {
		.ip = out,
		.l4 = out + ip_header_len,
		.l4_header_len = piece.header_len - ip_header_len,
		.piece = frame + piece.at,
		.piece_len = covered_len(cut, view, &piece),
		.proto = view->src.proto,
	};
	if (cut->kind == CUT_TCP_SEGMENTS)
		write_tcp(cut, view, i, message.l4);
	else
		store_be16(message.l4 + UDP_LEN_OFFSET,
			   (uint16_t)(UDP_HEADER_LEN + message.piece_len));
	write_checksum(&message);
}

bool cut_complete_checksum(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset)
{
	if (start + offset + 2 > len)
		return false;
	uint16_t checksum = csum_finish(csum_add_bytes(0, frame + start, len - start));
	// To UDP zero means none, and to others 0xffff is the same number.
	store_raw16(frame + start + offset, checksum ? checksum : 0xffff);
	return true;
}
