// SPDX-License-Identifier: Apache-2.0
#include "packet/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "packet/bpf_library.h"

// bpf/redirect.bpf.c, compiled in two ways: bpf_objects.S.
extern const char bpf_redirect_start[];
extern const char bpf_redirect_end[];
extern const char bpf_redirect_tags_start[];
extern const char bpf_redirect_tags_end[];

// Of linux/bpf.h since Linux 6.3: the program may ask this one device about its frames.
#define XDP_DEV_BOUND_ONLY (1U << 6)

void xdp_program_close(struct xdp_program *program)
{
	if (!program->object)
		return;
	if (program->link_fd >= 0)
		close(program->link_fd);
	bpf_object__close(program->object);
	*program = (struct xdp_program){.link_fd = -1};
}

// ---- loading -----------------------------------------------------------------------------------

// What is loaded of an object, and for whom.
struct wanted {
	const char *start;
	const char *end;
	const char *name;                // of the program; there are others in the object
	unsigned ifindex;                // of the only device that it is for; 0: any
	const struct xdp_program *first; // shares its scope; NULL: nobody
};

static int choose(struct bpf_object *object, const struct wanted *wanted)
{
	struct bpf_program *each;
	int code = 0;
	bpf_object__for_each_program(each, object)
	{
		bool is_wanted = strcmp(bpf_program__name(each), wanted->name) == 0;
		if (!code)
			code = bpf_program__set_autoload(each, is_wanted);
		if (!code && wanted->ifindex) {
			bpf_program__set_ifindex(each, wanted->ifindex);
			code = bpf_program__set_flags(each, XDP_DEV_BOUND_ONLY);
		}
	}
	return code;
}

static int prepare(const struct xdp_program *program, const struct wanted *wanted)
{
	const struct xdp_program *first = wanted->first;
	int code = choose(program->object, wanted);
	return code || !first ? code : bpf_scope_share(&first->scope, program->object);
}

static int load_failed(int code, struct err *err)
{
	if (code == -EPERM)
		return err_set(err, code,
			       "loading an XDP program needs CAP_BPF and CAP_NET_ADMIN: run as "
			       "root (sudo), by the systemd unit, or set io = \"afpacket\"");
	return err_sys(err, code, "cannot load the XDP program (log level debug says more)");
}

static void find_parts(struct xdp_program *program, const char *name)
{
	struct bpf_object *object = program->object;
	program->fd = bpf_program__fd(bpf_object__find_program_by_name(object, name));
	program->sockets_fd = bpf_object__find_map_fd_by_name(object, "sockets");
	program->scope = bpf_scope_of(object);
}

static int load(struct xdp_program *program, const struct wanted *wanted)
{
	*program = (struct xdp_program){.link_fd = -1};
	program->object = bpf_library_open(wanted->start, wanted->end);
	if (!program->object)
		return -errno;
	int code = prepare(program, wanted);
	if (!code)
		code = bpf_object__load(program->object);
	if (code)
		xdp_program_close(program);
	else
		find_parts(program, wanted->name);
	return code;
}

static const char *name_of(const struct xdp_program_params *params)
{
	if (params->are_super_frames)
		return params->are_chunks_long ? "redirect_cut_long" : "redirect_cut";
	return params->are_chunks_long ? "redirect_long" : "redirect";
}

int xdp_program_load(struct xdp_program *program, const struct xdp_program_params *params,
		     struct err *err)
{
	struct wanted wanted = {bpf_redirect_start, bpf_redirect_end, name_of(params), 0,
				params->first};
	int code = load(program, &wanted);
	return code ? load_failed(code, err) : 0;
}

// ---- attaching ---------------------------------------------------------------------------------

static int attach(struct xdp_program *program, unsigned ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = bpf_link_create(program->fd, (int)ifindex, BPF_XDP, &options);
	if (fd < 0)
		return fd;
	program->link_fd = fd;
	return 0;
}

static bool is_taken(int code)
{
	return code == -EBUSY || code == -EEXIST;
}

static int attach_failed(int code, const char *name, struct err *err)
{
	if (is_taken(code))
		return err_set(err, code,
			       "%s has another XDP program; take it off (ip link set dev %s xdp "
			       "off), or set io = \"afpacket\"",
			       name, name);
	return err_sys(err, code, "%s: cannot attach the XDP program", name);
}

// Some drivers tell of tags that are not in the frame any more, if the kernel knows to ask them.
static int open_seeing_tags(struct xdp_program *program, const struct io_link *link,
			    const struct xdp_program_params *params)
{
	struct wanted wanted = {bpf_redirect_tags_start, bpf_redirect_tags_end, name_of(params),
				link->ifindex, params->first};
	int code = load(program, &wanted);
	if (code)
		return code;
	code = attach(program, link->ifindex, XDP_FLAGS_DRV_MODE);
	if (code)
		xdp_program_close(program);
	return code;
}

static int open_plain(struct xdp_program *program, const struct io_link *link,
		      const struct xdp_program_params *params, uint32_t flags, struct err *err)
{
	int code = xdp_program_load(program, params, err);
	if (code)
		return code;
	code = attach(program, link->ifindex, flags);
	if (code) {
		xdp_program_close(program);
		return attach_failed(code, link->name, err);
	}
	return 0;
}

static int open_generic(struct xdp_program *program, const struct io_link *link,
			const struct xdp_program_params *params, int native, struct err *err)
{
	struct xdp_program_params generic = *params;
	generic.are_super_frames = true;
	int code = open_plain(program, link, &generic, XDP_FLAGS_SKB_MODE, err);
	if (!code)
		log_warn("xdp",
			 "%s: its driver cannot run the XDP program (%s), so the kernel does, "
			 "generically; io = \"afpacket\" may be faster here",
			 link->name, strerrordesc_np(-native));
	return code;
}

int xdp_program_open(struct xdp_program *program, const struct io_link *link,
		     const struct xdp_program_params *params, struct err *err)
{
	int code = open_seeing_tags(program, link, params);
	if (is_taken(code))
		return attach_failed(code, link->name, err);
	if (code)
		code = open_plain(program, link, params, XDP_FLAGS_DRV_MODE, err);
	if (is_taken(code) || code == -EPERM)
		return code;
	if (code)
		return open_generic(program, link, params, code, err);
	program->is_native = true;
	log_info("xdp", "%s: by its driver", link->name);
	return 0;
}

int xdp_program_add_socket(struct xdp_program *program, uint32_t queue, int socket_fd,
			   struct err *err)
{
	int code = bpf_map_update_elem(program->sockets_fd, &queue, &socket_fd, BPF_ANY);
	return code ? err_sys(err, code, "cannot hand queue %u to its AF_XDP socket", queue) : 0;
}
