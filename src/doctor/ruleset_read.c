// SPDX-License-Identifier: Apache-2.0
// Getting at the rules, table by table. Tables with an owner are named and not read:
// libnftables 1.0.6 has no name for that flag, and reads behind the end of its list of names when
// it writes JSON.
#include "doctor/ruleset_read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TABLES_MAX = 256,
	COMMAND_MAX = NFT_TABLE_MAXNAMELEN + 32,
	RECEIVE_MAX = 32768,
	WAIT_S = 1,
};

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 2
#endif

struct table {
	uint8_t family;
	uint32_t flags;
	char name[NFT_TABLE_MAXNAMELEN];
};

struct tables {
	struct table list[TABLES_MAX];
	size_t n;
};

// ---- which tables there are --------------------------------------------------------------------

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return NULL; // of no IP packets of this host
	}
}

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct table *table = arg;
	uint16_t type = mnl_attr_get_type(attr);
	if (type == NFTA_TABLE_NAME)
		snprintf(table->name, sizeof(table->name), "%s", mnl_attr_get_str(attr));
	if (type == NFTA_TABLE_FLAGS && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
		table->flags = ntohl(mnl_attr_get_u32(attr));
	return MNL_CB_OK;
}

static int take_table(const struct nlmsghdr *message, void *arg)
{
	struct tables *tables = arg;
	const struct nfgenmsg *body = mnl_nlmsg_get_payload(message);
	if (tables->n == TABLES_MAX)
		return MNL_CB_OK;
	struct table *table = &tables->list[tables->n];
	*table = (struct table){.family = body->nfgen_family};
	if (mnl_attr_parse(message, sizeof(*body), take_attr, table) >= 0 && table->name[0] &&
	    family_name(table->family))
		tables->n++;
	return MNL_CB_OK;
}

static int dump_tables(struct mnl_socket *socket, struct tables *tables)
{
	static const struct timeval patience = {.tv_sec = WAIT_S};
	_Alignas(struct nlmsghdr) char buffer[RECEIVE_MAX];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = 1;
	struct nfgenmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	*body = (struct nfgenmsg){.nfgen_family = NFPROTO_UNSPEC};
	if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	int more = MNL_CB_OK;
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		more = n < 0 ? -1
			     : mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(socket),
					  take_table, tables);
	}
	return more < 0 ? -errno : 0;
}

static int find_tables(struct tables *tables, struct err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int code = socket ? dump_tables(socket, tables) : -errno;
	if (socket)
		mnl_socket_close(socket);
	return code ? err_sys(err, code, "the firewall's tables cannot be read") : 0;
}

// ---- what is in them ---------------------------------------------------------------------------

// nft_ctx_new() ends the process where the kernel has no nftables.
static int open_nft(struct nft_ctx **nft, struct err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!socket)
		return err_sys(err, -errno, "this kernel offers no nftables");
	mnl_socket_close(socket);
	if (getuid() != geteuid())
		return err_set(err, -EPERM, "nftables refuses set-user-id programs");
	*nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!*nft)
		return err_sys(err, -ENOMEM, "firewall rules");
	if (nft_ctx_buffer_output(*nft) == 0 && nft_ctx_buffer_error(*nft) == 0)
		return 0;
	nft_ctx_free(*nft);
	return err_sys(err, -ENOMEM, "firewall rules");
}

static int fail(struct err *err, struct nft_ctx *nft, const char *what)
{
	const char *text = nft_ctx_get_error_buffer(nft);
	return err_set(err, -EIO, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
}

static struct ruleset *create(void)
{
	struct ruleset *ruleset = calloc(1, sizeof(*ruleset));
	if (!ruleset)
		return NULL;
	ruleset->items = json_array();
	ruleset->owned = json_array();
	if (ruleset->items && ruleset->owned)
		return ruleset;
	ruleset_free(ruleset);
	return NULL;
}

void ruleset_free(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	json_decref(ruleset->items);
	json_decref(ruleset->owned);
	free(ruleset);
}

static int add_json(struct ruleset *ruleset, const char *text, struct err *err)
{
	json_error_t error;
	json_t *root = json_loads(text, 0, &error);
	json_t *items = json_object_get(root, "nftables");
	int code = 0;
	if (!json_is_array(items) || json_array_extend(ruleset->items, items))
		code = err_set(err, -EBADMSG, "the firewall rules cannot be understood");
	json_decref(root);
	return code;
}

static int add_table(struct ruleset *ruleset, struct nft_ctx *nft, const struct table *table,
		     struct err *err)
{
	char command[COMMAND_MAX];
	const char *family = family_name(table->family);
	if (table->flags & NFT_TABLE_F_OWNER) {
		json_t *name = json_sprintf("%s %s", family, table->name);
		return json_array_append_new(ruleset->owned, name) ? -ENOMEM : 0;
	}
	snprintf(command, sizeof(command), "list table %s %s", family, table->name);
	if (nft_run_cmd_from_buffer(nft, command))
		return fail(err, nft, "the firewall rules cannot be read");
	return add_json(ruleset, nft_ctx_get_output_buffer(nft), err);
}

int ruleset_parse(struct ruleset **ruleset, const char *json, struct err *err)
{
	struct ruleset *parsed = create();
	int code = parsed ? add_json(parsed, json, err) : err_sys(err, -ENOMEM, "firewall rules");
	if (code)
		ruleset_free(parsed);
	else
		*ruleset = parsed;
	return code;
}

int ruleset_read(struct ruleset **ruleset, struct err *err)
{
	struct nft_ctx *nft = NULL;
	struct tables tables = {0};
	int code = find_tables(&tables, err);
	if (!code)
		code = open_nft(&nft, err);
	if (code)
		return code;
	struct ruleset *read = create();
	if (!read)
		code = err_sys(err, -ENOMEM, "firewall rules");
	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
	for (size_t i = 0; !code && i < tables.n; i++)
		code = add_table(read, nft, &tables.list[i], err);
	nft_ctx_free(nft);
	if (code)
		ruleset_free(read);
	else
		*ruleset = read;
	return code;
}

int ruleset_try_ingress(struct err *err)
{
	struct nft_ctx *nft = NULL;
	int code = open_nft(&nft, err);
	if (code)
		return code;
	nft_ctx_set_dry_run(nft, true);
	if (nft_run_cmd_from_buffer(nft, "table netdev culvert_doctor {\n"
					 "chain ingress {\n"
					 "type filter hook ingress device \"lo\" priority 0\n"
					 "}\n"
					 "}\n"))
		code = fail(err, nft, "rules at ingress are not possible");
	nft_ctx_free(nft);
	return code;
}
