// SPDX-License-Identifier: Apache-2.0
// What became of a received packet. Every one ends in exactly one verdict, each verdict has one
// counter, and the sums balance: received = forwarded + passed + all named drops (and fragments
// that wait for their first one have none yet).
#pragma once

// X(symbol, name in statistics and logs, what it means)
#define VERDICT_LIST(X)                                                                         \
	X(NONE, "none", "not decided yet")                                                      \
	X(FORWARDED, "forwarded", "rewritten and handed to the network")                        \
	X(PASSED, "passed", "left to the kernel: not culvert's packet")                         \
	X(DROP_TRUNCATED, "truncated", "shorter than its own headers say")                      \
	X(DROP_MALFORMED, "malformed", "header fields contradict each other")                   \
	X(DROP_BAD_IP_CHECKSUM, "bad_ip_checksum", "IPv4 header checksum is wrong")             \
	X(DROP_SOURCE_ROUTE, "source_route", "the sender names the way (IPv4, IPv6 type 0)")    \
	X(DROP_HEADER_CHAIN, "header_chain", "too many IPv6 extension headers")                 \
	X(DROP_FRAGMENT, "fragment", "the first fragment of its datagram was dropped")          \
	X(DROP_FRAGMENT_TINY, "fragment_tiny", "a fragment that cuts the headers themselves")   \
	X(DROP_FRAGMENT_OVERLAP, "fragment_overlap", "fragments that contradict each other")    \
	X(DROP_FRAGMENT_DUPLICATE, "fragment_duplicate", "a fragment that has come before")     \
	X(DROP_FRAGMENT_EXPIRED, "fragment_expired", "waited in vain for the first fragment")   \
	X(DROP_FRAGMENT_STORE_FULL, "fragment_store_full", "too many fragments wait")           \
	X(DROP_BAD_SOURCE, "bad_source", "source address or port that no client can have")      \
	X(DROP_TTL_EXPIRED, "ttl_expired", "time to live used up here")                         \
	X(DROP_TOO_BIG, "too_big", "larger than the next link carries")                         \
	X(DROP_BAD_TCP_FLAGS, "bad_tcp_flags", "a combination of flags that no TCP sends")      \
	X(DROP_BAD_ICMP_CHECKSUM, "bad_icmp_checksum", "an ICMP error whose checksum is wrong") \
	X(DROP_NO_FLOW, "no_flow", "TCP in mid-connection, and no flow for it")                 \
	X(DROP_BACKEND_DOWN, "backend_down", "of a flow whose backend went down")               \
	X(DROP_NO_BACKEND, "no_backend",                                                        \
	  "no backend takes new connections; the client got a reset")                           \
	X(DROP_NO_NAT_PORT, "no_nat_port", "every NAT port towards the backend is in use")      \
	X(DROP_FLOW_TABLE_FULL, "flow_table_full", "connection_tracker_capacity reached")       \
	X(DROP_NEIGHBOUR_UNRESOLVED, "neighbour_unresolved", "next hop's MAC is not known yet") \
	X(DROP_NO_ROUTE, "no_route", "no route to the backend")                                 \
	X(DROP_NO_BUFFER, "no_buffer", "no empty packet left to cut this one with")             \
	X(DROP_RING_FULL, "ring_full", "a worker did not keep up")                              \
	X(DROP_TX_FULL, "tx_full", "the network device did not keep up")                        \
	X(DROP_TX_ERROR, "tx_error", "the network device refused the frame")

enum verdict {
#define VERDICT_ENUM(symbol, name, text) VERDICT_##symbol,
	VERDICT_LIST(VERDICT_ENUM)
#undef VERDICT_ENUM
		N_VERDICTS
};

const char *verdict_name(enum verdict verdict); // as in VERDICT_LIST; never NULL for a valid one
const char *verdict_text(enum verdict verdict);
