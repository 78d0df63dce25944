// SPDX-License-Identifier: Apache-2.0
#include "culvert/balance/grace.h"

#ifdef GRACE_TSAN
char grace_order;
#endif
