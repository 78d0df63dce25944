// SPDX-License-Identifier: Apache-2.0
#include "packet/fast_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "culvert/ds/hash.h"
#include "packet/bpf_library.h"

// bpf/fast_path.bpf.c: bpf_objects.S.
extern const char bpf_fast_path_start[];
extern const char bpf_fast_path_end[];

// Of linux/bpf.h since Linux 6.6.
enum { TCX_INGRESS = 46, BEFORE_ALL_OTHERS = 1 << 3 };

// Of the filter where there is no such link: the first of all, under a number that nobody else is
// likely to take.
enum { FILTER_HANDLE = 0xc01de27, FILTER_PRIORITY = 1 };

// ---- loading ------------------------------------------------------------------------------------

static int load_failed(int code, struct err *err)
{
	if (code == -EPERM)
		return err_set(err, code, "loading BPF programs needs CAP_BPF and CAP_NET_ADMIN");
	return err_sys(err, code, "cannot load its programs (log level debug says more)");
}

static void *map(const struct fast_program *program, const char *name, size_t bytes)
{
	int fd = bpf_object__find_map_fd_by_name(program->object, name);
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

enum {
	BUCKETS_BYTES = FAST_BUCKETS * sizeof(struct fast_bucket),
	ENTRIES_BYTES = FAST_ENTRIES * sizeof(struct fast_entry),
};

static int map_all(struct fast_program *program, struct err *err)
{
	program->maps = (struct fast_maps){
		.control = map(program, "fast_control", sizeof(struct fast_control)),
		.buckets = map(program, "fast_buckets", BUCKETS_BYTES),
		.entries = map(program, "fast_entries", ENTRIES_BYTES),
	};
	if (program->maps.control && program->maps.buckets && program->maps.entries)
		return 0;
	return err_sys(err, -errno, "cannot map its tables");
}

static void choose_numbers(struct fast_control *control, uint64_t secret)
{
	control->token =
		(uint32_t)(XXH3_64bits_withSeed(&secret, sizeof(secret), secret) >> 32) | 1;
	for (uint64_t i = 0; i <= FAST_KEY_WORDS; i++)
		control->factors[i] = XXH3_64bits_withSeed(&i, sizeof(i), secret);
}

static int fd_of(const struct fast_program *program, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(program->object, name));
}

int fast_program_load(struct fast_program *program, uint64_t secret, struct err *err)
{
	*program = (struct fast_program){.divert_fd = -1, .forward_fd = -1};
	program->object = bpf_library_open(bpf_fast_path_start, bpf_fast_path_end);
	if (!program->object)
		return load_failed(-errno, err);
	int code = bpf_object__load(program->object);
	code = code ? load_failed(code, err) : map_all(program, err);
	if (code) {
		fast_program_close(program);
		return code;
	}
	program->divert_fd = fd_of(program, "divert");
	program->forward_fd = fd_of(program, "forward");
	program->scope = bpf_scope_of(program->object);
	choose_numbers(program->maps.control, secret);
	return 0;
}

static void unmap(void *at, size_t bytes)
{
	if (at)
		munmap(at, bytes);
}

void fast_program_close(struct fast_program *program)
{
	if (!program->object)
		return;
	fast_program_detach(program);
	unmap(program->maps.control, sizeof(struct fast_control));
	unmap(program->maps.buckets, BUCKETS_BYTES);
	unmap(program->maps.entries, ENTRIES_BYTES);
	bpf_object__close(program->object);
	*program = (struct fast_program){.divert_fd = -1, .forward_fd = -1};
}

void fast_program_set_version(const struct fast_program *program, uint64_t version)
{
	if (!program->maps.control)
		return;
	_Atomic uint32_t *at = (_Atomic uint32_t *)&program->maps.control->version;
	// The kernel's programs read it, each for one packet; nothing else is ordered by it.
	atomic_store_explicit(at, (uint32_t)version, memory_order_relaxed);
}

static void set_ends_ours(const struct fast_program *program, bool ends_ours)
{
	_Atomic uint32_t *at = (_Atomic uint32_t *)&program->maps.control->ends_ours;
	// Relaxed: a packet that it comes too late for is the firewall's.
	atomic_store_explicit(at, ends_ours, memory_order_relaxed);
}

// Where nothing ends here the map is of no use, and changing it may take a right that was given up
// at the start (CAP_BPF, before Linux 5.19).
void fast_program_set_scope(struct fast_program *program, const struct io_scope *scope)
{
	struct err err;
	if (!program->object || !program->may_end_ours)
		return;
	int code = bpf_scope_set(&program->scope, scope, &err);
	set_ends_ours(program, code == 0);
	if (code)
		log_warn("packet",
			 "%s; until that succeeds with the next change the firewall's rules alone "
			 "see to it",
			 err.message);
}

void fast_program_cut(const struct fast_maps *maps)
{
	// Relaxed: it stands for itself.
	atomic_store_explicit((_Atomic uint32_t *)&maps->control->is_cut, 1, memory_order_relaxed);
}

static bool is_cut(const struct fast_program *program)
{
	return atomic_load_explicit((_Atomic uint32_t *)&program->maps.control->is_cut,
				    memory_order_relaxed);
}

bool fast_program_is_on(const struct fast_program *program)
{
	return program->n_holds && !is_cut(program);
}

void fast_program_tell(struct fast_program *program)
{
	if (!program->object || program->is_cut_told || !is_cut(program))
		return;
	program->is_cut_told = true;
	log_warn("packet",
		 "the fast path is off until the next start: packets that its first program took "
		 "did not come to its second; see which others are at ingress "
		 "(bpftool net, tc filter show dev INTERFACE ingress)");
}

// ---- links --------------------------------------------------------------------------------------

static int attach_by_link(struct fast_hold *hold, int program_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = BEFORE_ALL_OTHERS);
	int fd = bpf_link_create(program_fd, (int)hold->ifindex, (enum bpf_attach_type)TCX_INGRESS,
				 &options);
	if (fd < 0)
		return fd;
	hold->link_fd = fd;
	return 0;
}

static struct bpf_tc_hook hook_of(const struct fast_hold *hold)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)hold->ifindex,
		    .attach_point = BPF_TC_INGRESS);
	return hook;
}

// Takes the place of one that was left by a culvert that had no time to take it off.
static int attach_by_filter(struct fast_hold *hold, int program_fd)
{
	struct bpf_tc_hook hook = hook_of(hold);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
		    .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE);
	int code = bpf_tc_hook_create(&hook);
	if (code && code != -EEXIST)
		return code;
	hold->link_fd = -1;
	return bpf_tc_attach(&hook, &options);
}

static void let_go(const struct fast_hold *hold)
{
	struct bpf_tc_hook hook = hook_of(hold);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
	if (hold->link_fd >= 0)
		close(hold->link_fd);
	else
		(void)bpf_tc_detach(&hook, &options);
}

static int attach(struct fast_hold *hold, int program_fd, bool has_tcx)
{
	int code = has_tcx ? attach_by_link(hold, program_fd) : -EINVAL;
	return code == -EINVAL ? attach_by_filter(hold, program_fd) : code;
}

int fast_program_attach(struct fast_program *program, const struct io_link *links, uint32_t n_links,
			bool has_tcx, struct err *err)
{
	for (uint32_t i = 0; i < n_links; i++) {
		struct fast_hold *hold = &program->holds[i];
		*hold = (struct fast_hold){.ifindex = links[i].ifindex};
		int code = attach(hold, program->forward_fd, has_tcx);
		if (code) {
			fast_program_detach(program);
			return err_sys(err, code, "%s: cannot attach its program", links[i].name);
		}
		program->n_holds++;
	}
	return 0;
}

// What nobody takes off when this process has ended without a word must not drop anything.
static bool are_all_links(const struct fast_program *program)
{
	for (uint32_t i = 0; i < program->n_holds; i++) {
		if (program->holds[i].link_fd < 0)
			return false;
	}
	return true;
}

void fast_program_end_ours(struct fast_program *program)
{
	program->may_end_ours = are_all_links(program);
	set_ends_ours(program, program->may_end_ours);
}

// First nothing is diverted any more: it goes to the workers, as long as they are there.
void fast_program_detach(struct fast_program *program)
{
	fast_program_set_version(program, 0);
	while (program->n_holds)
		let_go(&program->holds[--program->n_holds]);
}
