// SPDX-License-Identifier: Apache-2.0
#include "packet/bpf_scope.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "packet/parties.h"

struct bpf_scope bpf_scope_of(const struct bpf_object *object)
{
	return (struct bpf_scope){
		.parties_fd = bpf_object__find_map_fd_by_name(object, "parties"),
		.nat_ports_fd = bpf_object__find_map_fd_by_name(object, "nat_ports"),
	};
}

static int share_map(const struct bpf_object *object, const char *name, int fd)
{
	return bpf_map__reuse_fd(bpf_object__find_map_by_name(object, name), fd);
}

int bpf_scope_share(const struct bpf_scope *scope, const struct bpf_object *object)
{
	int code = share_map(object, "parties", scope->parties_fd);
	return code ? code : share_map(object, "nat_ports", scope->nat_ports_fd);
}

static struct party party_of(const struct ip_addr *addr, enum party_role role)
{
	struct party party = {.role = (__u8)role};
	memcpy(party.addr_be, addr, sizeof(party.addr_be));
	return party;
}

// A full map is no error: nothing depends on who has no place.
static int add_party(const struct bpf_scope *scope, const struct party *party)
{
	int code = bpf_map_update_elem(scope->parties_fd, party, &scope->round, BPF_ANY);
	return code == -E2BIG ? 0 : code;
}

static int add_endpoints(const struct bpf_scope *scope, const struct endpoint *endpoints, size_t n,
			 enum party_role role)
{
	int code = 0;
	for (size_t i = 0; i < n && !code; i++) {
		struct party party = party_of(&endpoints[i].addr, role);
		party.port_be = endpoints[i].port_be;
		party.proto = endpoints[i].proto;
		code = add_party(scope, &party);
	}
	return code;
}

static int add_own(const struct bpf_scope *scope, const struct ip_addr *addrs, size_t n)
{
	int code = 0;
	for (size_t i = 0; i < n && !code; i++) {
		struct party party = party_of(&addrs[i], PARTY_OWN);
		code = add_party(scope, &party);
	}
	return code;
}

// The next key is asked for before this one may go.
static int remove_others(const struct bpf_scope *scope)
{
	struct party party;
	struct party next;
	uint32_t last;
	bool has_more = bpf_map_get_next_key(scope->parties_fd, NULL, &party) == 0;
	while (has_more) {
		has_more = bpf_map_get_next_key(scope->parties_fd, &party, &next) == 0;
		int code = bpf_map_lookup_elem(scope->parties_fd, &party, &last);
		if (!code && last != scope->round)
			code = bpf_map_delete_elem(scope->parties_fd, &party);
		if (code && code != -ENOENT)
			return code;
		party = next;
	}
	return 0;
}

static int set_ports(const struct bpf_scope *scope, const struct io_scope *parties)
{
	const uint32_t first = 0;
	struct port_range ports = {parties->nat_port_min, parties->nat_port_max};
	return bpf_map_update_elem(scope->nat_ports_fd, &first, &ports, BPF_ANY);
}

int bpf_scope_set(struct bpf_scope *scope, const struct io_scope *parties, struct err *err)
{
	scope->round++;
	int code = set_ports(scope, parties);
	if (!code)
		code = add_endpoints(scope, parties->vips, parties->n_vips, PARTY_VIP);
	if (!code)
		code = add_endpoints(scope, parties->backends, parties->n_backends, PARTY_BACKEND);
	if (!code)
		code = add_own(scope, parties->own, parties->n_own);
	if (!code)
		code = remove_others(scope);
	return code ? err_sys(err, code, "cannot tell the kernel's programs whose packets to take")
		    : 0;
}
