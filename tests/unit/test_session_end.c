// SPDX-License-Identifier: Apache-2.0
// The names under which dashboards find how sessions ended: fit for metrics, and told apart.
#include "culvert/flow/session_end.h"

#include <criterion/criterion.h>
#include <string.h>

typedef const char *(*name_fn)(unsigned value);

static const char *end_name(unsigned value)
{
	return session_end_name((enum session_end)value);
}

static const char *result_name(unsigned value)
{
	return connect_result_name((enum connect_result)value);
}

static void check_names(name_fn name_of, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *name = name_of(i);
		cr_assert_not_null(name, "number %u", i);
		cr_expect_gt(strlen(name), 0);
		cr_expect_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name), "%s", name);
		for (unsigned k = 0; k < i; k++)
			cr_expect_str_neq(name, name_of(k));
	}
}

Test(session_end, every_end_has_a_name_of_its_own)
{
	check_names(end_name, N_SESSION_ENDS);
	check_names(result_name, N_CONNECT_RESULTS);
}

Test(session_end, names_stay_what_dashboards_know)
{
	cr_expect_str_eq(session_end_name(SESSION_END_COMPLETED), "completed");
	cr_expect_str_eq(session_end_name(SESSION_END_LIMIT), "connection_limit");
	cr_expect_str_eq(session_end_name(SESSION_END_SHUTDOWN), "shutdown");
	cr_expect_str_eq(connect_result_name(CONNECT_CONNECTED), "connected");
	cr_expect_str_eq(connect_result_name(CONNECT_NO_PORT), "no_source_port");
	cr_expect_str_eq(connect_result_name(CONNECT_OTHER), "other");
}
