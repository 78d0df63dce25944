// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

#include <netinet/in.h>

enum {
	TYPE_AT = 12,
	TYPE_V4 = 0x0800,
	TYPE_V6 = 0x86dd,
	TYPE_8021Q = 0x8100,
	TYPE_8021AD = 0x88a8,
	TAG_LEN = 4,
	V4_LEN = 20,
	V6_LEN = 40,
	V4_FRAGMENT_BITS = 0x3fff,
	V4_OFFSET_BITS = 0x1fff,
	V4_MORE = 0x2000,
	V6_FRAGMENT_BITS = 0xfff9,
	V6_OFFSET_BITS = 0xfff8,
	WRONG_BY = 0x1234,
};

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint32_t wire_ip_at(const uint8_t *frame, uint32_t len)
{
	uint32_t at = TYPE_AT;
	while (at + TAG_LEN + 2 <= len &&
	       (get16(frame + at) == TYPE_8021Q || get16(frame + at) == TYPE_8021AD))
		at += TAG_LEN;
	if (at + 2 > len)
		return 0;
	uint32_t type = get16(frame + at);
	return type == TYPE_V4 || type == TYPE_V6 ? at + 2 : 0;
}

static bool read_v4(const uint8_t *ip, uint32_t len, struct wire *wire)
{
	if (len < V4_LEN)
		return false;
	*wire = (struct wire){
		.is_fragment = (get16(ip + 6) & V4_FRAGMENT_BITS) != 0,
		.part_at = (get16(ip + 6) & V4_OFFSET_BITS) * 8,
		.has_more = get16(ip + 6) & V4_MORE,
		.proto = ip[9],
		.ttl = ip[8],
		.header_len = (ip[0] & 0x0fU) * 4,
		.len = get16(ip + 2),
	};
	return wire->header_len >= V4_LEN && wire->len >= wire->header_len && wire->len <= len;
}

static bool read_v6(const uint8_t *ip, uint32_t len, struct wire *wire)
{
	if (len < V6_LEN)
		return false;
	*wire = (struct wire){.is_v6 = true, .proto = ip[6], .ttl = ip[7], .header_len = V6_LEN};
	wire->len = V6_LEN + get16(ip + 4);
	if (wire->len > len)
		return false;
	while (wire->proto == IPPROTO_HOPOPTS || wire->proto == IPPROTO_ROUTING ||
	       wire->proto == IPPROTO_DSTOPTS || wire->proto == IPPROTO_FRAGMENT) {
		const uint8_t *header = ip + wire->header_len;
		bool is_fragment = wire->proto == IPPROTO_FRAGMENT;
		if (wire->header_len + 8 > wire->len)
			return false;
		if (is_fragment && (get16(header + 2) & V6_FRAGMENT_BITS)) {
			wire->is_fragment = true;
			wire->part_at = get16(header + 2) & V6_OFFSET_BITS;
			wire->has_more = get16(header + 2) & 1;
		}
		wire->proto = header[0];
		wire->header_len += is_fragment ? 8 : (header[1] + 1U) * 8;
		if (wire->is_fragment)
			break;
	}
	return wire->header_len <= wire->len;
}

bool wire_read(const uint8_t *ip, uint32_t len, struct wire *wire)
{
	if (len == 0)
		return false;
	switch (ip[0] >> 4) {
	case 4:
		return read_v4(ip, len, wire);
	case 6:
		return read_v6(ip, len, wire);
	default:
		return false;
	}
}

enum frame_sum wire_ip_sum(const uint8_t *ip, const struct wire *wire)
{
	if (wire->is_v6 || frame_plain_sum(ip, wire->header_len, 0) == 0xffff)
		return SUM_RIGHT;
	return SUM_WRONG;
}

// ---- transport ----------------------------------------------------------------------------------

// Where the checksum of a transport protocol is, and what it covers.
struct field {
	uint32_t at;  // from the IP header on
	uint32_t len; // of the transport packet
	uint32_t pseudo;
};

static uint32_t pseudo_sum(const uint8_t *ip, const struct wire *wire, uint32_t len)
{
	uint8_t ends[6] = {0, wire->proto, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};
	const uint8_t *addrs = ip + (wire->is_v6 ? 8 : 12);
	return frame_plain_sum(addrs, wire->is_v6 ? 32 : 8, frame_plain_sum(ends, sizeof(ends), 0));
}

static bool find_field(const uint8_t *ip, const struct wire *wire, struct field *field)
{
	uint32_t offset;
	uint32_t min;
	bool is_icmp = !wire->is_v6 && wire->proto == IPPROTO_ICMP;
	*field = (struct field){.len = wire->len - wire->header_len};
	if (wire->proto == IPPROTO_TCP) {
		offset = 16;
		min = 20;
	} else if (wire->proto == IPPROTO_UDP) {
		offset = 6;
		min = 8;
	} else if (is_icmp || (wire->is_v6 && wire->proto == IPPROTO_ICMPV6)) {
		offset = 2;
		min = 4;
	} else {
		return false;
	}
	if (wire->is_fragment || field->len < min)
		return false;
	if (wire->proto == IPPROTO_UDP) {
		uint32_t udp_len = get16(ip + wire->header_len + 4);
		if (udp_len < min || udp_len > field->len)
			return false;
		field->len = udp_len;
	}
	field->at = wire->header_len + offset;
	field->pseudo = is_icmp ? 0 : pseudo_sum(ip, wire, field->len);
	return true;
}

enum frame_sum wire_transport_sum(const uint8_t *ip, const struct wire *wire, bool is_partial)
{
	struct field field;
	if (!find_field(ip, wire, &field))
		return SUM_UNKNOWN;
	uint32_t stored = get16(ip + field.at);
	if (is_partial)
		return stored % 0xffff == field.pseudo % 0xffff ? SUM_PARTIAL : SUM_WRONG;
	if (wire->proto == IPPROTO_UDP && stored == 0)
		return SUM_NONE;
	uint16_t sum = frame_plain_sum(ip + wire->header_len, field.len, field.pseudo);
	return sum == 0xffff ? SUM_RIGHT : SUM_WRONG;
}

static uint32_t as_told(uint32_t right, enum frame_sum sum)
{
	return sum == SUM_WRONG ? (right + WRONG_BY) % 0xffff : right;
}

void wire_set_transport_sum(uint8_t *ip, const struct wire *wire, enum frame_sum sum)
{
	struct field field;
	if (!find_field(ip, wire, &field))
		return;
	put16(ip + field.at, 0);
	if (sum == SUM_NONE)
		return;
	if (sum == SUM_PARTIAL) {
		put16(ip + field.at, field.pseudo);
		return;
	}
	uint32_t right =
		0xffff & ~(uint32_t)frame_plain_sum(ip + wire->header_len, field.len, field.pseudo);
	uint32_t value = as_told(right, sum);
	put16(ip + field.at, wire->proto == IPPROTO_UDP && value == 0 ? 0xffff : value);
}

void wire_set_ip_sum(uint8_t *ip, const struct wire *wire, enum frame_sum sum)
{
	if (wire->is_v6)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, as_told(0xffff & ~(uint32_t)frame_plain_sum(ip, wire->header_len, 0), sum));
}

uint32_t wire_payload_at(const uint8_t *ip, const struct wire *wire)
{
	uint32_t at = wire->header_len + 8;
	if (wire->proto == IPPROTO_TCP && wire->header_len + 20 <= wire->len)
		at = wire->header_len + (ip[wire->header_len + 12] >> 4) * 4U;
	return at < wire->len ? at : wire->len;
}
