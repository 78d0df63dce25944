// SPDX-License-Identifier: Apache-2.0
#include "packet/grace.h"

#ifdef GRACE_TSAN
char grace_order;
#endif
