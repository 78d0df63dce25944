// SPDX-License-Identifier: Apache-2.0
// What must hold of a flow table between any two packets.
#pragma once

#include "culvert/flow/flow_table.h"

// NULL, or the first rule that is broken.
const char *flow_check(const struct flow_table *table);
