// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/tcp_state.h"

#include <criterion/criterion.h>
#include <string.h>

#include "culvert/net/parse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { N_FLAG_SETS = 64 };

static uint8_t flags_of(const char *letters)
{
	static const char names[] = "FSRPAU";
	uint8_t flags = 0;
	for (; *letters; letters++)
		flags |= (uint8_t)(1U << (strchr(names, *letters) - names));
	return flags;
}

struct step {
	const char *flags; // NULL ends the walk
	enum flow_dir dir;
	enum flow_state then;
};

struct walk {
	const char *name;
	struct step steps[12];
};

#define C FROM_CLIENT
#define B FROM_BACKEND

static const struct walk walks[] = {
	{"open, talk, the client closes first",
	 {{"S", C, FLOW_SYN_SENT},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED},
	  {"PA", C, FLOW_ESTABLISHED},
	  {"PA", B, FLOW_ESTABLISHED},
	  {"FA", C, FLOW_FIN_WAIT},
	  {"A", B, FLOW_CLOSE_WAIT},
	  {"PA", B, FLOW_CLOSE_WAIT},
	  {"FA", B, FLOW_LAST_ACK},
	  {"A", C, FLOW_TIME_WAIT}}},
	{"the backend closes first",
	 {{"S", C, FLOW_SYN_SENT},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED},
	  {"FA", B, FLOW_FIN_WAIT},
	  {"FA", C, FLOW_LAST_ACK},
	  {"A", B, FLOW_TIME_WAIT}}},
	{"both sides open at once",
	 {{"S", C, FLOW_SYN_SENT},
	  {"S", B, FLOW_SYN_SENT_BOTH},
	  {"SA", C, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED}}},
	{"both sides open at once, the backend answers first",
	 {{"S", C, FLOW_SYN_SENT},
	  {"S", B, FLOW_SYN_SENT_BOTH},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"SA", C, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED}}},
	{"both sides close at once",
	 {{"S", C, FLOW_SYN_SENT},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED},
	  {"FA", C, FLOW_FIN_WAIT},
	  {"FA", B, FLOW_LAST_ACK},
	  {"A", B, FLOW_TIME_WAIT},
	  {"A", C, FLOW_TIME_WAIT}}},
	{"repeated SYNs and SYN-ACKs change nothing",
	 {{"S", C, FLOW_SYN_SENT},
	  {"S", C, FLOW_SYN_SENT},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"SA", B, FLOW_SYN_RECEIVED},
	  {"S", C, FLOW_SYN_RECEIVED},
	  {"A", C, FLOW_ESTABLISHED},
	  {"SA", B, FLOW_ESTABLISHED},
	  {"S", C, FLOW_ESTABLISHED}}},
	{"nothing but an answer ends SYN_SENT",
	 {{"S", C, FLOW_SYN_SENT},
	  {"A", C, FLOW_SYN_SENT},
	  {"FA", C, FLOW_SYN_SENT},
	  {"SA", C, FLOW_SYN_SENT},
	  {"A", B, FLOW_SYN_SENT},
	  {"FA", B, FLOW_SYN_SENT}}},
	{"the client gives up in the handshake",
	 {{"S", C, FLOW_SYN_SENT}, {"SA", B, FLOW_SYN_RECEIVED}, {"FA", C, FLOW_FIN_WAIT}}},
	{"a new SYN begins again after TIME_WAIT and after a reset",
	 {{"S", C, FLOW_SYN_SENT},
	  {"RA", B, FLOW_RESET},
	  {"A", C, FLOW_RESET},
	  {"SA", B, FLOW_RESET},
	  {"S", C, FLOW_SYN_SENT}}},
};

Test(tcp_state, walks)
{
	for (size_t i = 0; i < COUNT(walks); i++) {
		enum flow_state state = FLOW_SYN_SENT;
		for (size_t s = 0; s < COUNT(walks[i].steps) && walks[i].steps[s].flags; s++) {
			const struct step *step = &walks[i].steps[s];
			state = tcp_state_next(state, step->dir, flags_of(step->flags));
			cr_assert_eq(state, step->then, "%s: step %zu (%s): %s", walks[i].name, s,
				     step->flags, flow_state_name(state));
		}
	}
}

struct one_sided_step {
	const char *flags; // NULL ends the walk
	enum tcp_news news;
	enum flow_state then;
};

struct one_sided_walk {
	const char *name;
	enum flow_state from;
	struct one_sided_step steps[8];
};

#define NONE TCP_NEWS_NONE
#define NEWS TCP_NEWS
#define DATA TCP_NEWS_ANSWERED

static const struct one_sided_walk one_sided_walks[] = {
	{"open, talk, the client closes first",
	 FLOW_SYN_SENT,
	 {{"A", NEWS, FLOW_ESTABLISHED},
	  {"PA", DATA, FLOW_ESTABLISHED},
	  {"A", NONE, FLOW_ESTABLISHED},
	  {"FA", NEWS, FLOW_TIME_WAIT},
	  {"A", NONE, FLOW_TIME_WAIT},
	  {"A", NEWS, FLOW_TIME_WAIT}}},
	{"a half-closed connection that the backend still sends on",
	 FLOW_ESTABLISHED,
	 {{"FA", NEWS, FLOW_TIME_WAIT},
	  {"A", DATA, FLOW_FIN_WAIT},
	  {"A", DATA, FLOW_FIN_WAIT},
	  {"A", NEWS, FLOW_FIN_WAIT},
	  {"R", NONE, FLOW_RESET}}},
	{"begun in mid-connection: live when it goes on",
	 FLOW_PICKED_UP,
	 {{"A", NONE, FLOW_PICKED_UP},
	  {"PA", NONE, FLOW_PICKED_UP},
	  {"A", NEWS, FLOW_ESTABLISHED}}},
	{"begun in mid-connection, and closed at once",
	 FLOW_PICKED_UP,
	 {{"FA", NEWS, FLOW_TIME_WAIT}}},
	{"the handshake's end carries FIN", FLOW_SYN_SENT, {{"FA", NEWS, FLOW_TIME_WAIT}}},
	{"after a reset nothing but a SYN begins again",
	 FLOW_ESTABLISHED,
	 {{"RA", NONE, FLOW_RESET},
	  {"A", DATA, FLOW_RESET},
	  {"FA", NEWS, FLOW_RESET},
	  {"SA", NEWS, FLOW_RESET}}},
};

Test(tcp_state, walks_of_the_client_alone)
{
	for (size_t i = 0; i < COUNT(one_sided_walks); i++) {
		const struct one_sided_walk *walk = &one_sided_walks[i];
		enum flow_state state = walk->from;
		for (size_t s = 0; s < COUNT(walk->steps) && walk->steps[s].flags; s++) {
			const struct one_sided_step *step = &walk->steps[s];
			state = tcp_state_next_one_sided(state, flags_of(step->flags), step->news);
			cr_assert_eq(state, step->then, "%s: step %zu (%s): %s", walk->name, s,
				     step->flags, flow_state_name(state));
		}
	}
}

Test(tcp_state, no_state_and_no_flags_lead_out_of_the_table)
{
	for (int state = FLOW_SYN_SENT; state <= FLOW_RESET; state++) {
		for (int flags = 0; flags < N_FLAG_SETS; flags++) {
			for (int dir = 0; dir < 2; dir++) {
				int next = tcp_state_next((enum flow_state)state,
							  (enum flow_dir)dir, (uint8_t)flags);
				cr_expect(next >= FLOW_SYN_SENT && next <= FLOW_RESET,
					  "%d with %d from %d leads to %d", state, flags, dir,
					  next);
				if (flags & TCP_FLAG_RST)
					cr_expect_eq(next, FLOW_RESET);
			}
		}
	}
	cr_expect_eq(tcp_state_next(FLOW_FREE, FROM_CLIENT, TCP_FLAG_SYN), FLOW_FREE);
}

// What a state counts as may change only by what the endpoints say, never backwards.
Test(tcp_state, only_a_SYN_of_the_client_makes_a_finished_flow_wait_again)
{
	for (int state = FLOW_SYN_SENT; state <= FLOW_RESET; state++) {
		for (int flags = 0; flags < N_FLAG_SETS; flags++) {
			for (int dir = 0; dir < 2; dir++) {
				bool is_syn =
					(flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
				enum flow_state next =
					tcp_state_next((enum flow_state)state, (enum flow_dir)dir,
						       (uint8_t)flags);
				enum flow_class from = flow_state_class((enum flow_state)state);
				enum flow_class to = flow_state_class(next);
				if (dir == FROM_CLIENT && is_syn)
					continue;
				cr_expect(to >= from, "%d with %d from %d leads to %d", state,
					  flags, dir, next);
			}
		}
	}
}

Test(tcp_state, every_state_has_a_name_of_its_own_and_a_class)
{
	for (int a = 0; a < N_FLOW_STATES; a++) {
		const char *name = flow_state_name((enum flow_state)a);
		cr_assert_not_null(name);
		cr_expect_lt(flow_state_class((enum flow_state)a), N_FLOW_CLASSES);
		for (int b = 0; b < a; b++)
			cr_expect_str_neq(name, flow_state_name((enum flow_state)b));
	}
	cr_expect_eq(flow_state_class(FLOW_UDP_UNREPLIED), CLASS_HALF_OPEN);
	cr_expect_eq(flow_state_class(FLOW_PICKED_UP), CLASS_HALF_OPEN);
	cr_expect_eq(flow_state_class(FLOW_UDP), CLASS_LIVE);
	cr_expect_eq(flow_state_class(FLOW_TIME_WAIT), CLASS_FINISHED);
	cr_expect_eq(flow_state_class(FLOW_LAST_ACK), CLASS_LIVE);
}
