// SPDX-License-Identifier: Apache-2.0
// Version 2 of the PROXY header, section 2.2: 16 bytes that say how long the rest is, a block of
// addresses, and TLVs.
//
// Addresses are taken from TCP over IPv4 and IPv6 only. Any other pair of family and transport that
// the section names is read as UNSPEC, which is what it asks of a receiver that does not implement
// them: the header is valid, and the connection's own addresses count. That goes for DGRAM too: the
// client of a UDP service is nobody's peer on a TCP connection.
#include <netinet/in.h>

#include "culvert/net/bytes.h"
#include "net/proxy_header_reader.h"

enum {
	HEAD_LEN = 16,
	VERSION = 2,
	COMMAND_LOCAL = 0,
	COMMAND_PROXY = 1,

	FAMILY_UNSPEC = 0,
	FAMILY_INET = 1,
	FAMILY_INET6 = 2,
	FAMILY_UNIX = 3,
	TRANSPORT_UNSPEC = 0,
	TRANSPORT_STREAM = 1,
	TRANSPORT_DGRAM = 2,

	INET_LEN = 2 * (4 + 2),
	INET6_LEN = 2 * (16 + 2),
	UNIX_LEN = 2 * 108,

	TLV_HEAD_LEN = 3,
	TLV_CRC32C = 3,
	CRC_LEN = 4,
};

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
				      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static const char bad_version[] = "its version is not 2";
static const char bad_command[] = "its command is neither LOCAL nor PROXY";
static const char bad_family[] = "its address family or its transport protocol is unknown";
static const char bad_size[] = "it is longer than 4096 bytes";
static const char bad_addrs[] = "it is too short for its addresses";
static const char bad_tlv[] = "its TLVs do not fill the rest of it";
static const char bad_crc_tlv[] = "its CRC32C does not come once and with 4 bytes";
static const char bad_crc[] = "its CRC32C is wrong";

// The first 16 bytes.
struct head {
	uint8_t command;
	uint8_t family;
	uint8_t transport;
	size_t rest; // bytes behind the head
};

static bool read_kind(struct header_reader *reader, struct head *head)
{
	uint8_t byte;
	if (!header_reader_take(reader, &byte))
		return false;
	head->command = byte & 0x0f;
	if (byte >> 4 != VERSION)
		return header_reader_refuse(reader, bad_version);
	if (head->command > COMMAND_PROXY)
		return header_reader_refuse(reader, bad_command);

	if (!header_reader_take(reader, &byte))
		return false;
	head->family = byte >> 4;
	head->transport = byte & 0x0f;
	if (head->command == COMMAND_PROXY &&
	    (head->family > FAMILY_UNIX || head->transport > TRANSPORT_DGRAM))
		return header_reader_refuse(reader, bad_family);
	return true;
}

static bool read_length(struct header_reader *reader, struct head *head)
{
	head->rest = 0;
	for (int shift = 8; shift >= 0; shift -= 8) {
		uint8_t byte;
		if (!header_reader_take(reader, &byte))
			return false;
		head->rest |= (size_t)byte << shift;
		if (HEAD_LEN + head->rest > PROXY_HEADER_READ_MAX)
			return header_reader_refuse(reader, bad_size);
	}
	return true;
}

// A LOCAL header's family is ignored, and where nothing is specified nobody can tell addresses from
// TLVs: such a block is skipped as a whole.
static bool is_opaque(const struct head *head)
{
	return head->command == COMMAND_LOCAL || head->family == FAMILY_UNSPEC ||
	       head->transport == TRANSPORT_UNSPEC;
}

static size_t addrs_len(const struct head *head)
{
	switch (head->family) {
	case FAMILY_INET:
		return INET_LEN;
	case FAMILY_INET6:
		return INET6_LEN;
	default:
		return UNIX_LEN;
	}
}

static bool skip(struct header_reader *reader, size_t len)
{
	if ((size_t)(reader->end - reader->at) < len)
		return header_reader_starve(reader);
	reader->at += len;
	return true;
}

// Can TLVs fill exactly so many bytes?
static bool can_be_tlvs(size_t len)
{
	return len == 0 || len >= TLV_HEAD_LEN;
}

// A value of `len` and then nothing or another TLV, in `room` bytes.
static bool can_be_value(size_t room, size_t len)
{
	return len <= room && can_be_tlvs(room - len);
}

// The TLVs of a header, as far as they have been read.
struct tlvs {
	size_t room;        // bytes that the header has left for them
	const uint8_t *crc; // borrowed: the value of CRC32C; NULL: there is none
};

static bool read_crc(struct header_reader *reader, struct tlvs *tlvs)
{
	static const uint8_t len[2] = {0, CRC_LEN};
	if (tlvs->crc || !can_be_value(tlvs->room, CRC_LEN))
		return header_reader_refuse(reader, bad_crc_tlv);
	if (!header_reader_expect(reader, len, sizeof(len), bad_crc_tlv))
		return false;
	tlvs->crc = reader->at;
	tlvs->room -= CRC_LEN;
	return skip(reader, CRC_LEN);
}

static bool skip_value(struct header_reader *reader, struct tlvs *tlvs)
{
	uint8_t high, low;
	if (!header_reader_take(reader, &high))
		return false;
	if ((size_t)high << 8 > tlvs->room)
		return header_reader_refuse(reader, bad_tlv);
	if (!header_reader_take(reader, &low))
		return false;
	size_t len = (size_t)high << 8 | low;
	if (!can_be_value(tlvs->room, len))
		return header_reader_refuse(reader, bad_tlv);
	tlvs->room -= len;
	return skip(reader, len);
}

static bool read_tlvs(struct header_reader *reader, struct tlvs *tlvs)
{
	while (tlvs->room > 0) {
		uint8_t type;
		if (!header_reader_take(reader, &type))
			return false;
		tlvs->room -= TLV_HEAD_LEN;
		bool is_read =
			type == TLV_CRC32C ? read_crc(reader, tlvs) : skip_value(reader, tlvs);
		if (!is_read)
			return false;
	}
	return true;
}

// RFC 4960 appendix B, in reflected form. Bit by bit: few headers carry one, and they are short.
static uint32_t crc32c_add(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (; len > 0; len--) {
		crc ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

// Over the whole header, with zeros in place of the sum itself.
static bool is_crc_right(const uint8_t *start, const uint8_t *end, const uint8_t *at)
{
	static const uint8_t zeros[CRC_LEN];
	uint32_t crc = crc32c_add(UINT32_MAX, start, (size_t)(at - start));
	crc = crc32c_add(crc, zeros, sizeof(zeros));
	crc = crc32c_add(crc, at + CRC_LEN, (size_t)(end - at) - CRC_LEN);
	return ~crc == load_be32(at);
}

static void load_addrs(const uint8_t *block, uint8_t family, struct proxy_header *header)
{
	const uint8_t *ports = block + (family == FAMILY_INET ? 8 : 32);
	if (family == FAMILY_INET) {
		header->src.addr = ip_addr_from_v4(load_raw32(block));
		header->dst.addr = ip_addr_from_v4(load_raw32(block + 4));
	} else {
		memcpy(header->src.addr.bytes, block, 16);
		memcpy(header->dst.addr.bytes, block + 16, 16);
	}
	header->src.port_be = load_raw16(ports);
	header->dst.port_be = load_raw16(ports + 2);
	header->src.proto = header->dst.proto = IPPROTO_TCP;
	header->has_addrs = true;
}

bool proxy_header_read_v2(struct header_reader *reader, struct proxy_header *header)
{
	const uint8_t *start = reader->at;
	struct head head;
	if (!header_reader_expect(reader, signature, sizeof(signature), HEADER_BAD_START) ||
	    !read_kind(reader, &head) || !read_length(reader, &head))
		return false;
	if (is_opaque(&head))
		return skip(reader, head.rest);

	const uint8_t *block = reader->at;
	size_t block_len = addrs_len(&head);
	if (head.rest < block_len)
		return header_reader_refuse(reader, bad_addrs);
	struct tlvs tlvs = {.room = head.rest - block_len};
	if (!can_be_tlvs(tlvs.room))
		return header_reader_refuse(reader, bad_tlv);
	if (!skip(reader, block_len) || !read_tlvs(reader, &tlvs))
		return false;
	if (tlvs.crc && !is_crc_right(start, reader->at, tlvs.crc))
		return header_reader_refuse(reader, bad_crc);
	if (head.family != FAMILY_UNIX && head.transport == TRANSPORT_STREAM)
		load_addrs(block, head.family, header);
	return true;
}

static size_t store_addrs(const struct endpoint *src, const struct endpoint *dst, bool is_v4,
			  uint8_t *block)
{
	size_t skipped = is_v4 ? 12 : 0; // of the mapped form
	size_t len = sizeof(src->addr.bytes) - skipped;
	memcpy(block, src->addr.bytes + skipped, len);
	memcpy(block + len, dst->addr.bytes + skipped, len);
	store_raw16(block + 2 * len, src->port_be);
	store_raw16(block + 2 * len + 2, dst->port_be);
	return 2 * len + 4;
}

size_t proxy_header_write_v2(const struct endpoint *src, const struct endpoint *dst, uint8_t *out)
{
	bool is_v4 = ip_addr_is_v4(&src->addr) && ip_addr_is_v4(&dst->addr);
	uint8_t family = is_v4 ? FAMILY_INET : FAMILY_INET6;
	size_t len = store_addrs(src, dst, is_v4, out + HEAD_LEN);
	memcpy(out, signature, sizeof(signature));
	out[12] = VERSION << 4 | COMMAND_PROXY;
	out[13] = (uint8_t)(family << 4 | TRANSPORT_STREAM);
	store_be16(out + 14, (uint16_t)len);
	return HEAD_LEN + len;
}
