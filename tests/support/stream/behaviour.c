// SPDX-License-Identifier: Apache-2.0
// What stream_peer can do; its own file says it in words.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"

enum {
	SOURCE_PORTIONS = 8, // buffers that a source fills before others have their turn
	CRC_BYTES = 4,
};

static bool finish(struct peer *peer, struct conn *conn)
{
	(void)peer;
	conn->is_finishing = true;
	return true;
}

static bool reset(struct peer *peer, struct conn *conn)
{
	conn_end(peer, conn, CONN_RESET);
	return false;
}

// --- close-after, reset-after ------------------------------------------------------------------

static bool is_over(const struct peer *peer, const struct conn *conn)
{
	return conn->received >= peer->number;
}

// Return what belongs to the first N bytes.
static bool echo_first(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n)
{
	uint64_t before = conn->received - n;
	uint64_t room = before < peer->number ? peer->number - before : 0;
	return conn_send(peer, conn, bytes, n < room ? n : (size_t)room);
}

static bool close_when_over(struct peer *peer, struct conn *conn)
{
	return !is_over(peer, conn) || finish(peer, conn);
}

static bool reset_when_over(struct peer *peer, struct conn *conn)
{
	return !is_over(peer, conn) || reset(peer, conn);
}

static bool echo_then_close(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n)
{
	return echo_first(peer, conn, bytes, n) && close_when_over(peer, conn);
}

static bool echo_then_reset(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n)
{
	return echo_first(peer, conn, bytes, n) && reset_when_over(peer, conn);
}

// --- discard -----------------------------------------------------------------------------------

static bool sum_up(struct peer *peer, struct conn *conn, const uint8_t *bytes, size_t n)
{
	(void)peer;
	conn->crc = stream_crc(conn->crc, bytes, n);
	return true;
}

static bool answer_sum(struct peer *peer, struct conn *conn)
{
	char line[48];
	int len = snprintf(line, sizeof(line), "%" PRIu64 " %08" PRIx32 "\n", conn->received,
			   conn->crc);
	return conn_send(peer, conn, (uint8_t *)line, (size_t)len) && finish(peer, conn);
}

// --- source ------------------------------------------------------------------------------------

static bool start_source(struct peer *peer, struct conn *conn)
{
	(void)peer;
	stream_bytes_init(&conn->source, stream_seed());
	return true;
}

// The last bytes of all are the sum of those before: put what of it lies in these `n`.
static void put_sum(const struct peer *peer, struct conn *conn, uint8_t *bytes, size_t n)
{
	uint64_t n_summed = peer->number - CRC_BYTES;
	uint64_t left = conn->made < n_summed ? n_summed - conn->made : 0;
	conn->crc = stream_crc(conn->crc, bytes, left < n ? (size_t)left : n);
	for (uint64_t i = 0; i < CRC_BYTES; i++) {
		uint64_t at = n_summed + i;
		if (at >= conn->made && at < conn->made + n)
			bytes[at - conn->made] = (uint8_t)(conn->crc >> 8 * i);
	}
}

static bool send_portion(struct peer *peer, struct conn *conn)
{
	uint64_t left = peer->number - conn->made;
	size_t n = left < CONN_BUFFER_BYTES ? (size_t)left : CONN_BUFFER_BYTES;
	stream_bytes_take(&conn->source, peer->buffer, n);
	if (peer->number >= CRC_BYTES)
		put_sum(peer, conn, peer->buffer, n);
	conn->made += n;
	return conn_send(peer, conn, peer->buffer, n);
}

static bool refill_source(struct peer *peer, struct conn *conn)
{
	for (int i = 0; i < SOURCE_PORTIONS && conn->n_pending == 0; i++) {
		if (conn->made == peer->number) {
			conn_shut(conn);
			return true;
		}
		if (!send_portion(peer, conn))
			return false;
	}
	return true;
}

// --- half-close --------------------------------------------------------------------------------

static bool shut_at_once(struct peer *peer, struct conn *conn)
{
	(void)peer;
	conn_shut(conn);
	return true;
}

static bool report_received(struct peer *peer, struct conn *conn)
{
	printf("received %" PRIu64 "\n", conn->received);
	fflush(stdout);
	return finish(peer, conn);
}

static const struct behaviour behaviours[] = {
	{.name = "echo", .is_echo = true, .came = conn_send, .ended = finish},
	{.name = "one-byte",
	 .is_echo = true,
	 .is_one_byte = true,
	 .came = conn_send,
	 .ended = finish},
	{.name = "slow",
	 .takes_number = true,
	 .is_echo = true,
	 .is_slow = true,
	 .came = conn_send,
	 .ended = finish},
	{.name = "close-after",
	 .takes_number = true,
	 .is_echo = true,
	 .opened = close_when_over,
	 .came = echo_then_close,
	 .ended = finish},
	{.name = "reset-after",
	 .takes_number = true,
	 .is_echo = true,
	 .opened = reset_when_over,
	 .came = echo_then_reset,
	 .ended = finish},
	{.name = "reset-on-accept", .opened = reset},
	{.name = "discard", .came = sum_up, .ended = answer_sum},
	{.name = "source", .takes_number = true, .opened = start_source, .refill = refill_source},
	{.name = "half-close", .opened = shut_at_once, .ended = report_received},
	{.name = "silent"},
};

const struct behaviour *behaviour_at(size_t index)
{
	return index < sizeof(behaviours) / sizeof(behaviours[0]) ? &behaviours[index] : NULL;
}

const struct behaviour *behaviour_find(const char *name)
{
	const struct behaviour *behaviour;
	for (size_t i = 0; (behaviour = behaviour_at(i)) != NULL; i++) {
		if (strcmp(name, behaviour->name) == 0)
			return behaviour;
	}
	return NULL;
}
