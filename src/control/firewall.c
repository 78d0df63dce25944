// SPDX-License-Identifier: Apache-2.0
// The nftables table that hides culvert's packets from the kernel's own stack. Each change is one
// script of the nft language (firewall_script.c), run by libnftables as one transaction.
// Thread: control. Fed by: app, with the plan it derives from the configuration.
// Invariants: a table that does not lapse belongs to the netlink socket inside `nft`, so it lives
// exactly as long as that, and no other process can change it. One that lapses has sets whose
// elements time out.
//
// A transaction is not one moment for a packet: each chain, and each set, asks for itself which of
// both states counts. A packet would slip through a table that takes the place of another, if it
// had passed the new chain before the moment and came to the old one after it. So what changes from
// reload to reload are only elements, and those that stay are not touched; and where there have to
// be other rules, their chain comes behind the one that they replace.
#include "culvert/control/firewall.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/firewall_script.h"

#define LAPSING_TABLE "culvert_restart"

enum {
	TABLE_NAME_MAX = 32,
	FIRST_PRIORITY = -500,
};

struct firewall {
	struct nft_ctx *nft; // owned; holds the socket that owns the table
	char name[TABLE_NAME_MAX];
	bool is_lapsing;
	// What is installed.
	struct firewall_table table; // its name is borrowed from here
	struct firewall_elements elements;
	char *rules; // owned; the table's text without elements; NULL: there is none yet
};

// What is to be.
struct draft {
	struct firewall_table table;
	struct firewall_elements elements;
	char *rules;  // owned
	char *script; // owned; empty: nothing is to be done
};

// ---- drafts ------------------------------------------------------------------------------------

// The stream's text, or NULL when memory was short.
static char *finish_text(FILE *out, char **text)
{
	bool is_complete = !ferror(out);
	if (fclose(out) == 0 && is_complete)
		return *text;
	free(*text);
	return NULL;
}

// For free(), or NULL when memory is short.
static char *rules_of(const struct firewall_plan *plan, const struct firewall_table *table)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	firewall_write_table(out, plan, table);
	return finish_text(out, &text);
}

// A table is made before it is deleted when it may not be there.
static char *replacing_script(const struct firewall *firewall, const struct draft *draft)
{
	static const struct firewall_elements none;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	if (firewall->is_lapsing)
		fprintf(out, "table netdev %s\n", firewall->name);
	if (firewall->rules || firewall->is_lapsing)
		fprintf(out, "delete table netdev %s\n", firewall->name);
	fputs(draft->rules, out);
	firewall_write_changes(out, &draft->table, &none, &draft->elements);
	return finish_text(out, &text);
}

static char *changing_script(const struct firewall *firewall, const struct draft *draft)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	firewall_write_changes(out, &draft->table, &firewall->elements, &draft->elements);
	return finish_text(out, &text);
}

static void draft_fini(struct draft *draft)
{
	firewall_elements_fini(&draft->elements);
	free(draft->rules);
	free(draft->script);
}

// Elements that lapse are made anew, to be put off; meanwhile the rules of the process are there.
static bool are_rules_right(const struct firewall *firewall, const struct draft *draft)
{
	return firewall->rules && !firewall->is_lapsing &&
	       strcmp(firewall->rules, draft->rules) == 0;
}

static int write_draft(const struct firewall *firewall, const struct firewall_plan *plan,
		       struct draft *draft)
{
	draft->rules = rules_of(plan, &draft->table);
	if (!draft->rules)
		return -ENOMEM;
	if (are_rules_right(firewall, draft)) {
		draft->script = changing_script(firewall, draft);
		return draft->script ? 0 : -ENOMEM;
	}
	if (firewall->rules && !firewall->is_lapsing) {
		free(draft->rules);
		draft->table.priority++;
		draft->rules = rules_of(plan, &draft->table);
	}
	if (draft->rules)
		draft->script = replacing_script(firewall, draft);
	return draft->script ? 0 : -ENOMEM;
}

static int draft_init(struct draft *draft, const struct firewall *firewall,
		      const struct firewall_plan *plan)
{
	*draft = (struct draft){.table = firewall->table};
	draft->table.lapse_s = plan->lapse_s;
	int code = firewall_elements_init(&draft->elements, plan);
	if (code)
		return code;
	firewall_scope_add(&draft->table.scope, &draft->elements);
	code = write_draft(firewall, plan, draft);
	if (code)
		draft_fini(draft);
	return code;
}

// ---- installing --------------------------------------------------------------------------------

// A link name is put between quotes; a mark that nft reads otherwise would change the meaning.
static bool is_plain_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (*c == '"' || *c == '*' || *c == '\\')
			return false;
	}
	return true;
}

// Checked here because nft's own words for the same do not name the link.
static int check_plan(const struct firewall_plan *plan, struct err *err)
{
	if (plan->n_links == 0)
		return err_set(err, -EINVAL, "firewall: no link to protect");
	for (size_t i = 0; i < plan->n_links; i++) {
		if (!is_plain_name(plan->links[i]))
			return err_set(err, -EINVAL, "firewall: unusable link name '%s'",
				       plan->links[i]);
		if (!if_nametoindex(plan->links[i]))
			return err_sys(err, -errno, "firewall: link %s", plan->links[i]);
	}
	if (plan->nat_port_min > plan->nat_port_max)
		return err_set(err, -EINVAL, "firewall: NAT ports %u-%u are no range",
			       plan->nat_port_min, plan->nat_port_max);
	return 0;
}

// The reason out of nft's error text, which is several lines with a place in the script first.
static int fail_with_nft_text(struct err *err, const char *text)
{
	const char *mark = "Error: ";
	const char *reason = text ? strstr(text, mark) : NULL;
	reason = reason ? reason + strlen(mark) : "nft gave no reason";
	int length = (int)strcspn(reason, "\n");
	int code = strstr(reason, "Operation not permitted") ? -EPERM : -EIO;
	return err_set(err, code, "firewall: cannot install the nftables rules: %.*s%s", length,
		       reason,
		       code == -EPERM ? " (run as root, or set [firewall] manage = false)" : "");
}

// What was installed before goes with the draft.
static void take_draft(struct firewall *firewall, struct draft *draft)
{
	struct firewall_elements before = firewall->elements;
	char *rules = firewall->rules;
	firewall->table = draft->table;
	firewall->elements = draft->elements;
	firewall->rules = draft->rules;
	draft->elements = before;
	draft->rules = rules;
}

static int install(struct firewall *firewall, const struct firewall_plan *plan, struct err *err)
{
	struct draft draft;
	int code = check_plan(plan, err);
	if (code)
		return code;
	if (draft_init(&draft, firewall, plan))
		return err_sys(err, -ENOMEM, "firewall");
	if (draft.script[0] && nft_run_cmd_from_buffer(firewall->nft, draft.script) != 0)
		code = fail_with_nft_text(err, nft_ctx_get_error_buffer(firewall->nft));
	else
		take_draft(firewall, &draft);
	draft_fini(&draft);
	return code;
}

// nft_ctx_new() ends the process when it is set-user-id or the kernel has no nfnetlink; find out
// first.
static int check_host(struct err *err)
{
	if (getuid() != geteuid())
		return err_set(err, -EPERM, "firewall: nftables refuses set-user-id programs");
	struct mnl_socket *probe = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!probe)
		return err_sys(err, -errno, "firewall: this kernel offers no nftables");
	mnl_socket_close(probe);
	return 0;
}

static int open_context(struct firewall *firewall, struct err *err)
{
	int code = check_host(err);
	if (code)
		return code;
	firewall->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!firewall->nft)
		return err_sys(err, -ENOMEM, "firewall");
	// Left to itself the library prints to standard output and standard error.
	if (nft_ctx_buffer_output(firewall->nft) || nft_ctx_buffer_error(firewall->nft))
		return err_sys(err, -ENOMEM, "firewall");
	if (firewall->is_lapsing)
		snprintf(firewall->name, sizeof(firewall->name), LAPSING_TABLE);
	else
		snprintf(firewall->name, sizeof(firewall->name), "culvert_%ld", (long)getpid());
	firewall->table = (struct firewall_table){
		.name = firewall->name,
		.is_owned = !firewall->is_lapsing,
		.priority = FIRST_PRIORITY,
	};
	return 0;
}

static void destroy(struct firewall *firewall)
{
	if (firewall->nft)
		nft_ctx_free(firewall->nft);
	firewall_elements_fini(&firewall->elements);
	free(firewall->rules);
	free(firewall);
}

int firewall_open(struct firewall **firewall, const struct firewall_plan *plan, struct err *err)
{
	struct firewall *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return err_sys(err, -ENOMEM, "firewall");
	opened->is_lapsing = plan->lapse_s != 0;
	int code = open_context(opened, err);
	if (code == 0)
		code = install(opened, plan, err);
	if (code) {
		destroy(opened);
		return code;
	}
	*firewall = opened;
	return 0;
}

int firewall_update(struct firewall *firewall, const struct firewall_plan *plan, struct err *err)
{
	return install(firewall, plan, err);
}

const char *firewall_name(const struct firewall *firewall)
{
	return firewall->name;
}

void firewall_close(struct firewall *firewall)
{
	if (!firewall)
		return;
	// The table goes with the socket. It is also deleted by name, in case a child process has
	// inherited that socket and keeps it open.
	char command[TABLE_NAME_MAX + 32];
	snprintf(command, sizeof(command), "delete table netdev %s", firewall->name);
	if (!firewall->is_lapsing)
		(void)nft_run_cmd_from_buffer(firewall->nft, command);
	destroy(firewall);
}

int firewall_remove_lapsing(struct err *err)
{
	struct firewall firewall = {.is_lapsing = true};
	int code = open_context(&firewall, err);
	if (!code && nft_run_cmd_from_buffer(firewall.nft, "table netdev " LAPSING_TABLE "\n"
							   "delete table netdev " LAPSING_TABLE))
		code = fail_with_nft_text(err, nft_ctx_get_error_buffer(firewall.nft));
	if (firewall.nft)
		nft_ctx_free(firewall.nft);
	return code;
}
