// SPDX-License-Identifier: Apache-2.0
// Whose packets are surely culvert's, as its BPF programs are told: the maps of bpf/parties.bpf.h.
// Called by: control.
#pragma once

#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/packet/io.h"

struct bpf_object;

struct bpf_scope {
	int parties_fd; // borrowed from the object
	int nat_ports_fd;
	uint32_t round; // another number for each update
};

// Of an object that is loaded. Others may share its maps (bpf_scope_share()).
struct bpf_scope bpf_scope_of(const struct bpf_object *object);

// An object that is not loaded yet is to know what this one is told. 0 or -errno.
int bpf_scope_share(const struct bpf_scope *scope, const struct bpf_object *object);

// What counts from now on, without a moment in which what counted before and after does not. Who
// finds no place is left out. 0 or -errno. Of those that share their maps only one may be told.
int bpf_scope_set(struct bpf_scope *scope, const struct io_scope *parties, struct err *err);
