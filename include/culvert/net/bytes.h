// SPDX-License-Identifier: Apache-2.0
// Unaligned loads and stores. "raw" keeps the byte order of memory, "be" converts from and to
// network byte order. Pure; any thread.
#pragma once

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_raw16(const void *at)
{
	uint16_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t load_raw32(const void *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static inline void store_raw16(void *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static inline void store_raw32(void *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static inline uint16_t load_be16(const void *at)
{
	return ntohs(load_raw16(at));
}

static inline uint32_t load_be32(const void *at)
{
	return ntohl(load_raw32(at));
}

static inline void store_be16(void *at, uint16_t value)
{
	store_raw16(at, htons(value));
}

static inline void store_be32(void *at, uint32_t value)
{
	store_raw32(at, htonl(value));
}
