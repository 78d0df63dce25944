// SPDX-License-Identifier: Apache-2.0
#include "scope_lab.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

const struct ip_addr scope_own_v6 = {{0xfd, [15] = 2}};
static const struct ip_addr v6_client = {{0xfd, [15] = 0x10}};
static const struct ip_addr v6_vip = {{0xfd, [15] = 1}};
static const struct ip_addr v6_backend = {{0xfd, [15] = 0x65}};

static struct endpoint endpoint_of(struct ip_addr addr, uint16_t port, uint8_t proto)
{
	return (struct endpoint){.addr = addr, .port_be = htons(port), .proto = proto};
}

void scope_set(struct bpf_scope *scope, uint32_t n_vips)
{
	const struct endpoint vips[SCOPE_N_VIPS] = {
		endpoint_of(frame_v4(SCOPE_VIP), 80, IPPROTO_TCP),
		endpoint_of(v6_vip, 80, IPPROTO_TCP),
		endpoint_of(frame_v4(SCOPE_VIP), 53, IPPROTO_UDP),
	};
	const struct endpoint backends[] = {
		endpoint_of(frame_v4(SCOPE_BACKEND), 8080, IPPROTO_TCP),
		endpoint_of(v6_backend, 8080, IPPROTO_TCP),
	};
	const struct ip_addr own[] = {frame_v4(SCOPE_OWN), scope_own_v6};
	const struct io_scope parties = {
		vips, n_vips, backends, 2, own, 2, SCOPE_NAT_PORT, SCOPE_NAT_PORT_MAX,
	};
	struct err err = {0};
	cr_assert_eq(bpf_scope_set(scope, &parties, &err), 0, "%s", err.message);
}

static struct frame_spec spec_of(struct ip_addr src, uint16_t src_port, struct ip_addr dst,
				 uint16_t dst_port)
{
	return (struct frame_spec){
		.src_mac = {{2, 0, 0, 0, 0, 9}},
		.dst_mac = {{2, 0, 0, 0, 0, 1}},
		.src = src,
		.dst = dst,
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = src_port,
		.dst_port = dst_port,
		.payload_len = 20,
	};
}

struct frame_spec scope_request_v4(void)
{
	return spec_of(frame_v4(SCOPE_CLIENT), 40000, frame_v4(SCOPE_VIP), 80);
}

struct frame_spec scope_request_v6(void)
{
	return spec_of(v6_client, 40000, v6_vip, 80);
}

struct frame_spec scope_reply_v4(void)
{
	return spec_of(frame_v4(SCOPE_BACKEND), 8080, frame_v4(SCOPE_OWN), SCOPE_NAT_PORT);
}

struct frame_spec scope_reply_v6(void)
{
	return spec_of(v6_backend, 8080, scope_own_v6, SCOPE_NAT_PORT_MAX);
}
