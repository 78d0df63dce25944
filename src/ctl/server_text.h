// SPDX-License-Identifier: Apache-2.0
// What there is to say of a server beside its numbers.
#pragma once

#include <jansson.h>
#include <stddef.h>

// Its weight in the pool, from the API's object of a backend: what it counts for now, or while an
// operator or a reload keeps it out, what it would. NAN when that is not said.
double server_weight(const json_t *backend);

// Why it is not in use, or not gone, a weight set at run time, a next hop that is missing; "" when
// there is nothing to say. From the API's object of a backend. Fills `text` and returns it.
const char *server_note(const json_t *backend, char *text, size_t room);
