// SPDX-License-Identifier: Apache-2.0
// The programs of the fast path (bpf/fast_path.bpf.c) and the memory that they share with workers:
// loaded, and attached to links, by BPF links that vanish with this process however it ends where
// the kernel has them. Called by: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "culvert/base/err.h"
#include "culvert/config/config.h"
#include "culvert/packet/io.h"
#include "packet/bpf_scope.h"
#include "packet/fast_entry.h"

struct bpf_object;

// Mapped; shared with the kernel.
struct fast_maps {
	struct fast_control *control;
	struct fast_bucket *buckets;
	struct fast_entry *entries;
};

struct fast_program {
	struct bpf_object *object; // owned; NULL: there is no fast path
	struct fast_maps maps;     // owned
	int divert_fd;  // owned by `object`: for fanout groups, 1 for what is not to be captured
	int forward_fd; // likewise
	struct bpf_scope scope;
	// Where it is attached.
	struct fast_hold {
		unsigned ifindex;
		int link_fd; // owned; -1: by a filter of tc
	} holds[CONFIG_MAX_INTERFACES];
	uint32_t n_holds;
	bool may_end_ours; // packets for the workers may end in `forward`: nothing stays there
	bool is_cut_told;
};

// Loaded, with an empty table whose hashing is keyed by `secret`. 0, or -errno with nothing to
// close.
int fast_program_load(struct fast_program *program, uint64_t secret, struct err *err);

// From now on packets that come in on these links take the fast path where an entry is for them.
// Without tcx (Linux before 6.6) it is done by filters of tc, on a qdisc clsact that stays; one
// that was left behind does nothing without its divert program, but keeps 13 MiB until it is taken
// off. `has_tcx`: callers pass true, for the kernel says so if it has none; tests of the other way
// pass false.
int fast_program_attach(struct fast_program *program, const struct io_link *links, uint32_t n_links,
			bool has_tcx, struct err *err);
// Packets of culvert that do not take the fast path end where it is attached, sooner than by the
// firewall. Only those in scope, and not where filters of tc would outlive this process.
void fast_program_end_ours(struct fast_program *program);
void fast_program_detach(struct fast_program *program); // nothing more is forwarded by it
void fast_program_close(struct fast_program *program);  // harmless when there is none

// The programs are not run one after the other any more: all goes to the workers from now on.
// Called by: a worker.
void fast_program_cut(const struct fast_maps *maps);
// Says so, once. Called by: control.
void fast_program_tell(struct fast_program *program);
// Attached, and not cut.
bool fast_program_is_on(const struct fast_program *program);

// Whose packets they are: io.h. If that cannot be told, none end there any more, and a warning says
// so. Harmless when there is no fast path.
void fast_program_set_scope(struct fast_program *program, const struct io_scope *scope);

// Only entries that have been decided by this snapshot are good from now on; 0: none.
void fast_program_set_version(const struct fast_program *program, uint64_t version);
