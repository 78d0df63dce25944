// SPDX-License-Identifier: Apache-2.0
#include "doctor/ruleset.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/netns.h"

#define TABLE "{\"table\":{\"family\":\"inet\",\"name\":\"t\",\"handle\":1}},"
#define INPUT(policy)                                                                    \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"in\",\"handle\":1,"  \
	"\"type\":\"filter\",\"hook\":\"input\",\"prio\":0,\"policy\":\"" policy "\"}}," \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"side\",\"handle\":2}}"
#define RULE(chain, handle, statements)                                      \
	",{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"" chain \
	"\",\"handle\":" #handle ",\"expr\":[" statements "]}}"
#define MATCH(op, left, right) \
	"{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define FIELD(protocol, field) \
	"{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define DPORT   FIELD("tcp", "dport")
#define SADDR   FIELD("ip", "saddr")
#define STATE   "{\"ct\":{\"key\":\"state\"}}"
#define IIF     "{\"meta\":{\"key\":\"iifname\"}}"
#define L4PROTO "{\"meta\":{\"key\":\"l4proto\"}}"
#define DROP    "{\"drop\":null}"
#define ACCEPT  "{\"accept\":null}"
#define JUMP    "{\"jump\":{\"target\":\"side\"}}"

// A client's first segment for 10.0.0.1:80, which comes in by eth0.
static const struct {
	const char *what;
	const char *policy_and_rules;
	enum fate fate;
	int handle;
} cases[] = {
	{"nothing", INPUT("accept"), FATE_UNKNOWN, 0},
	{"policy", INPUT("drop"), FATE_DROPPED, 0},
	{"a rule for all", INPUT("accept") RULE("in", 7, DROP), FATE_DROPPED, 7},
	{"its port", INPUT("accept") RULE("in", 7, MATCH("==", DPORT, "80") "," DROP), FATE_DROPPED,
	 7},
	{"another port", INPUT("accept") RULE("in", 7, MATCH("==", DPORT, "81") "," DROP),
	 FATE_UNKNOWN, 0},
	{"all but its port", INPUT("accept") RULE("in", 7, MATCH("!=", DPORT, "80") "," DROP),
	 FATE_UNKNOWN, 0},
	{"a range",
	 INPUT("accept") RULE("in", 7, MATCH("==", DPORT, "{\"range\":[1,100]}") "," DROP),
	 FATE_DROPPED, 7},
	{"a set", INPUT("drop") RULE("in", 7, MATCH("==", DPORT, "{\"set\":[22,80]}") "," ACCEPT),
	 FATE_UNKNOWN, 0},
	{"a set without it",
	 INPUT("drop") RULE("in", 7, MATCH("==", DPORT, "{\"set\":[22,443]}") "," ACCEPT),
	 FATE_DROPPED, 0},
	{"a set of ranges",
	 INPUT("drop")
		 RULE("in", 7, MATCH("==", DPORT, "{\"set\":[{\"range\":[79,81]}]}") "," ACCEPT),
	 FATE_UNKNOWN, 0},
	{"some clients are let in",
	 INPUT("drop") RULE("in", 7, MATCH("==", SADDR, "\"10.0.0.9\"") "," ACCEPT), FATE_UNKNOWN,
	 0},
	{"some clients are kept out",
	 INPUT("accept") RULE("in", 7, MATCH("==", SADDR, "\"10.0.0.9\"") "," DROP), FATE_UNKNOWN,
	 0},
	{"some are kept out, then all",
	 INPUT("drop") RULE("in", 7, MATCH("==", SADDR, "\"10.0.0.9\"") "," DROP), FATE_DROPPED, 0},
	{"its address",
	 INPUT("accept") RULE("in", 7, MATCH("==", FIELD("ip", "daddr"), "\"10.0.0.1\"") "," DROP),
	 FATE_DROPPED, 7},
	{"its network",
	 INPUT("accept") RULE("in", 7,
			      MATCH("==", FIELD("ip", "daddr"),
				    "{\"prefix\":{\"addr\":\"10.0.0.0\",\"len\":24}}") "," DROP),
	 FATE_DROPPED, 7},
	{"another network",
	 INPUT("accept") RULE("in", 7,
			      MATCH("==", FIELD("ip", "daddr"),
				    "{\"prefix\":{\"addr\":\"10.0.1.0\",\"len\":24}}") "," DROP),
	 FATE_UNKNOWN, 0},
	{"the other family",
	 INPUT("accept") RULE("in", 7, MATCH("!=", FIELD("ip6", "daddr"), "\"::1\"") "," DROP),
	 FATE_UNKNOWN, 0},
	{"UDP", INPUT("accept") RULE("in", 7, MATCH("==", FIELD("udp", "dport"), "80") "," DROP),
	 FATE_UNKNOWN, 0},
	{"the protocol by its number",
	 INPUT("accept") RULE("in", 7, MATCH("==", L4PROTO, "6") "," DROP), FATE_DROPPED, 7},
	{"established ones only",
	 INPUT("drop")
		 RULE("in", 7, MATCH("in", STATE, "[\"established\",\"related\"]") "," ACCEPT),
	 FATE_DROPPED, 0},
	{"new ones", INPUT("drop") RULE("in", 7, MATCH("in", STATE, "\"new\"") "," ACCEPT),
	 FATE_UNKNOWN, 0},
	{"its interface", INPUT("accept") RULE("in", 7, MATCH("==", IIF, "\"eth*\"") "," DROP),
	 FATE_DROPPED, 7},
	{"another interface", INPUT("accept") RULE("in", 7, MATCH("==", IIF, "\"lo\"") "," DROP),
	 FATE_UNKNOWN, 0},
	{"a rate", INPUT("drop") RULE("in", 7, "{\"limit\":{\"rate\":5}}," ACCEPT), FATE_UNKNOWN,
	 0},
	{"a match of iptables", INPUT("drop") RULE("in", 7, "{\"xt\":null}," ACCEPT), FATE_UNKNOWN,
	 0},
	{"a chain that drops", INPUT("accept") RULE("in", 7, JUMP) RULE("side", 9, DROP),
	 FATE_DROPPED, 9},
	{"a chain that returns",
	 INPUT("drop") RULE("in", 7, JUMP) RULE("in", 8, ACCEPT)
		 RULE("side", 9, "{\"return\":null}"),
	 FATE_UNKNOWN, 0},
	{"a chain without an end", INPUT("drop") RULE("in", 7, JUMP) RULE("side", 9, JUMP),
	 FATE_UNKNOWN, 0},
	{"a chain for others",
	 INPUT("accept") RULE("in", 7, MATCH("==", DPORT, "81") "," JUMP) RULE("side", 9, DROP),
	 FATE_UNKNOWN, 0},
	{"a verdict map",
	 INPUT("drop")
		 RULE("in", 7,
		      "{\"vmap\":{\"key\":" STATE ",\"data\":{\"set\":[[\"established\"," ACCEPT
		      "],[\"new\"," ACCEPT "]]}}}"),
	 FATE_UNKNOWN, 0},
	{"a verdict map without it",
	 INPUT("drop") RULE("in", 7,
			    "{\"vmap\":{\"key\":" STATE
			    ",\"data\":{\"set\":[[\"established\"," ACCEPT "]]}}}"),
	 FATE_DROPPED, 0},
	{"a named map",
	 INPUT("drop") RULE("in", 7, "{\"vmap\":{\"key\":" STATE ",\"data\":\"@m\"}}"),
	 FATE_UNKNOWN, 0},
	{"a refusal", INPUT("accept") RULE("in", 7, "{\"counter\":{}},{\"reject\":null}"),
	 FATE_REFUSED, 7},
	{"a redirection", INPUT("accept") RULE("in", 7, "{\"redirect\":{\"port\":8080}}"),
	 FATE_DIVERTED, 7},
	{"a set by name",
	 INPUT("drop") ",{\"set\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"s\",\"elem\":"
		       "[22,{\"elem\":{\"val\":80}}]}}" RULE(
			       "in", 7, MATCH("==", DPORT, "\"@s\"") "," ACCEPT),
	 FATE_UNKNOWN, 0},
	{"a set by name without it",
	 INPUT("drop") ",{\"set\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"s\",\"elem\":"
		       "[22]}}" RULE("in", 7, MATCH("==", DPORT, "\"@s\"") "," ACCEPT),
	 FATE_DROPPED, 0},
};

static enum fate judge(const char *rules, struct ruleset_culprit *culprit)
{
	char json[4096];
	struct ruleset *ruleset;
	struct err err = {0};
	struct ip_addr vip;
	ip_addr_parse("10.0.0.1", &vip);
	struct ruleset_packet packet = {
		.daddr = &vip,
		.proto = IPPROTO_TCP,
		.sport = PORT_UNKNOWN,
		.dport = 80,
		.in = "eth0",
		.state = "new",
	};
	snprintf(json, sizeof(json), "{\"nftables\":[" TABLE "%s]}", rules);
	cr_assert_eq(ruleset_parse(&ruleset, json, &err), 0, "%s", json);
	enum fate fate = ruleset_judge(ruleset, &packet, "input", culprit);
	ruleset_free(ruleset);
	return fate;
}

Test(ruleset, says_for_sure_only_what_is_sure)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ruleset_culprit culprit = {0};
		enum fate fate = judge(cases[i].policy_and_rules, &culprit);
		cr_expect_eq(fate, cases[i].fate, "%s: %d", cases[i].what, (int)fate);
		cr_expect_eq(culprit.handle, cases[i].handle, "%s: %d", cases[i].what,
			     culprit.handle);
		if (fate != FATE_UNKNOWN)
			cr_expect_str_eq(culprit.base, "in", "%s", cases[i].what);
	}
}

Test(ruleset, what_is_no_ruleset_is_an_error)
{
	static const char *const texts[] = {"", "{", "[]", "{\"nftables\":5}"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ruleset *ruleset = NULL;
		struct err err = {0};
		cr_expect_eq(ruleset_parse(&ruleset, texts[i], &err), -EBADMSG, "%s", texts[i]);
		cr_expect_null(ruleset);
		cr_expect_neq(err.message[0], '\0');
	}
}

Test(ruleset, reads_what_the_kernel_has)
{
	struct ruleset *ruleset;
	struct err err = {0};
	if (!netns_enter())
		cr_skip_test("needs root");
	cr_assert(netns_run("nft 'add table netdev culvert_5; add table ip raw; "
			    "add chain ip raw CULVERT'"));
	cr_assert_eq(ruleset_read(&ruleset, &err), 0, "%s", err.message);
	cr_expect_str_eq(ruleset_table(ruleset, "netdev", 0), "culvert_5");
	cr_expect_null(ruleset_table(ruleset, "netdev", 1));
	cr_expect(ruleset_has_chain(ruleset, "ip", "raw", "CULVERT"));
	cr_expect_not(ruleset_has_chain(ruleset, "ip6", "raw", "CULVERT"));
	ruleset_free(ruleset);
}

Test(ruleset, asking_for_ingress_makes_no_table)
{
	struct err err = {0};
	if (!netns_enter())
		cr_skip_test("needs root");
	cr_expect_eq(ruleset_try_ingress(&err), 0, "%s", err.message);
	char *tables = netns_output("nft list tables");
	cr_expect_str_eq(tables, "");
	free(tables);
}
