// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/choice.h"

#include "culvert/ds/hash.h"

uint32_t choice_hash(enum hash_kind kind, const struct endpoint *src, const struct endpoint *dst)
{
	if (kind == HASH_SOURCE_IP)
		return (uint32_t)XXH3_64bits(&src->addr, sizeof(src->addr));
	const struct endpoint tuple[2] = {*src, *dst};
	return (uint32_t)XXH3_64bits(tuple, sizeof(tuple));
}
