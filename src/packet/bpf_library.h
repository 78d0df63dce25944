// SPDX-License-Identifier: Apache-2.0
// BPF programs that are a part of culvert: opened from memory.
// Called by: control.
#pragma once

struct bpf_object;

// From bpf_objects.S. For bpf_object__close(); what the library and the kernel's verifier have to
// say about it goes to the log, at level debug. NULL with errno.
struct bpf_object *bpf_library_open(const char *start, const char *end);
