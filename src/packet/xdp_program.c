// SPDX-License-Identifier: Apache-2.0
#include "packet/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "culvert/base/log.h"

enum { PRINT_MAX = 16384 };

extern const char xdp_object_start[];
extern const char xdp_object_end[];

// What the library and the kernel's verifier have to say is for whoever looks for it.
__attribute__((format(printf, 2, 0))) static int on_print(enum libbpf_print_level level,
							  const char *format, va_list args)
{
	char text[PRINT_MAX];
	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_debug("xdp", "%s", line);
	return 0;
}

// ---- loading -----------------------------------------------------------------------------------

static int share_map(const struct xdp_program *program, const char *name, int fd)
{
	return bpf_map__reuse_fd(bpf_object__find_map_by_name(program->object, name), fd);
}

// One program of the two is loaded.
static int prepare(const struct xdp_program *program, const char *wanted,
		   const struct xdp_program *first)
{
	struct bpf_program *each;
	int code = 0;
	bpf_object__for_each_program(each, program->object)
	{
		bool is_wanted = strcmp(bpf_program__name(each), wanted) == 0;
		code = code ? code : bpf_program__set_autoload(each, is_wanted);
	}
	if (!code && first)
		code = share_map(program, "parties", first->parties_fd);
	if (!code && first)
		code = share_map(program, "nat_ports", first->nat_ports_fd);
	return code;
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
	program->parties_fd = bpf_object__find_map_fd_by_name(object, "parties");
	program->nat_ports_fd = bpf_object__find_map_fd_by_name(object, "nat_ports");
}

int xdp_program_load(struct xdp_program *program, bool are_chunks_long,
		     const struct xdp_program *first, struct err *err)
{
	const char *name = are_chunks_long ? "redirect_long" : "redirect";
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "culvert");
	*program = (struct xdp_program){.link_fd = -1};
	libbpf_set_print(on_print);
	program->object =
		bpf_object__open_mem(xdp_object_start, (size_t)(xdp_object_end - xdp_object_start),
				     &options);
	if (!program->object)
		return load_failed(-errno, err);
	int code = prepare(program, name, first);
	if (!code)
		code = bpf_object__load(program->object);
	if (code) {
		xdp_program_close(program);
		return load_failed(code, err);
	}
	find_parts(program, name);
	return 0;
}

void xdp_program_close(struct xdp_program *program)
{
	if (!program->object)
		return;
	if (program->link_fd >= 0)
		close(program->link_fd);
	bpf_object__close(program->object);
	*program = (struct xdp_program){.link_fd = -1};
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

int xdp_program_attach(struct xdp_program *program, const struct io_link *link, struct err *err)
{
	int native = attach(program, link->ifindex, XDP_FLAGS_DRV_MODE);
	int code = native;
	program->is_native = native == 0;
	if (native && !is_taken(native))
		code = attach(program, link->ifindex, XDP_FLAGS_SKB_MODE);
	if (is_taken(code))
		return err_set(err, code,
			       "%s has another XDP program; take it off (ip link set dev %s xdp "
			       "off), or set io = \"afpacket\"",
			       link->name, link->name);
	if (code)
		return err_sys(err, code, "%s: cannot attach the XDP program", link->name);
	if (program->is_native)
		log_info("xdp", "%s: by its driver", link->name);
	else
		log_warn("xdp",
			 "%s: its driver cannot run the XDP program (%s), so the kernel does, "
			 "generically; io = \"afpacket\" may be faster here",
			 link->name, strerrordesc_np(-native));
	return 0;
}

int xdp_program_add_socket(struct xdp_program *program, uint32_t queue, int socket_fd,
			   struct err *err)
{
	int code = bpf_map_update_elem(program->sockets_fd, &queue, &socket_fd, BPF_ANY);
	return code ? err_sys(err, code, "cannot hand queue %u to its AF_XDP socket", queue) : 0;
}

// ---- whose packets -----------------------------------------------------------------------------

static struct xdp_party party_of(const struct ip_addr *addr, enum xdp_role role)
{
	struct xdp_party party = {.role = (__u8)role};
	memcpy(party.addr_be, addr, sizeof(party.addr_be));
	return party;
}

// A full map is no error: packets of who has no place come by packet sockets.
static int add_party(int fd, const struct xdp_party *party, uint32_t round)
{
	int code = bpf_map_update_elem(fd, party, &round, BPF_ANY);
	return code == -E2BIG ? 0 : code;
}

static int add_endpoints(int fd, const struct endpoint *endpoints, size_t n, enum xdp_role role,
			 uint32_t round)
{
	int code = 0;
	for (size_t i = 0; i < n && !code; i++) {
		struct xdp_party party = party_of(&endpoints[i].addr, role);
		party.port_be = endpoints[i].port_be;
		party.proto = endpoints[i].proto;
		code = add_party(fd, &party, round);
	}
	return code;
}

// The next key is asked for before this one may go.
static int remove_others(int fd, uint32_t round)
{
	struct xdp_party party;
	struct xdp_party next;
	uint32_t last;
	bool has_more = bpf_map_get_next_key(fd, NULL, &party) == 0;
	while (has_more) {
		has_more = bpf_map_get_next_key(fd, &party, &next) == 0;
		int code = bpf_map_lookup_elem(fd, &party, &last);
		if (!code && last != round)
			code = bpf_map_delete_elem(fd, &party);
		if (code && code != -ENOENT)
			return code;
		party = next;
	}
	return 0;
}

static int set_ports(int fd, const struct io_scope *scope)
{
	const uint32_t first = 0;
	struct xdp_ports ports = {scope->nat_port_min, scope->nat_port_max};
	return bpf_map_update_elem(fd, &first, &ports, BPF_ANY);
}

int xdp_program_set_scope(const struct xdp_program *program, const struct io_scope *scope,
			  uint32_t round, struct err *err)
{
	int fd = program->parties_fd;
	int code = set_ports(program->nat_ports_fd, scope);
	if (!code)
		code = add_endpoints(fd, scope->vips, scope->n_vips, XDP_ROLE_VIP, round);
	if (!code)
		code = add_endpoints(fd, scope->backends, scope->n_backends, XDP_ROLE_BACKEND,
				     round);
	for (size_t i = 0; i < scope->n_own && !code; i++) {
		struct xdp_party party = party_of(&scope->own[i], XDP_ROLE_OWN);
		code = add_party(fd, &party, round);
	}
	if (!code)
		code = remove_others(fd, round);
	return code ? err_sys(err, code, "cannot tell the XDP program whose packets to take") : 0;
}
