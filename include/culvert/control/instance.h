// SPDX-License-Identifier: Apache-2.0
// One culvert per network namespace: two would each translate every packet, and each would answer
// the other's.
// Called by: control.
#pragma once

#include "culvert/base/err.h"

// Take the place. Returns a descriptor to hold until the end, or -EBUSY with the other's process
// number in `err`, or another -errno. The kernel frees the place with the process.
int instance_claim(struct err *err);

// Somebody asks who holds the place: `fd`, the descriptor of instance_claim(), is readable. To have
// been connected is all the answer that is needed.
void instance_answer(int fd);

// The process that holds it, 0 when it cannot be asked for, or -ENOENT: none does.
int instance_holder(void);
