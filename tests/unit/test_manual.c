// SPDX-License-Identifier: Apache-2.0
// The manual explains whatever statistics, logs and the doctor can name. Run from the root of the
// repository, where it is. Keys of the configuration: test_config.c.
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/flow/flow_end.h"
#include "culvert/flow/session_end.h"
#include "culvert/flow/verdict.h"
#include "doctor/checks.h"

static const char manual[] = "man/culvert.8";

// What the manual writes as "\\-" is read as "-".
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		if (*from != '\\')
			*to++ = *from;
	}
	*to = '\0';
}

// A new string: what stands between the heading and the next one that begins with `next`.
static char *read_section(const char *heading, const char *next)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(manual, "re");
	cr_assert_not_null(file, "%s", manual);
	cr_assert_gt(getdelim(&text, &size, '\0', file), 0);
	fclose(file);
	const char *begin = strstr(text, heading);
	cr_assert_not_null(begin, "%s has no %s", manual, heading);
	begin += strlen(heading);
	const char *end = strstr(begin, next);
	char *section = strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
	free(text);
	unescape(section);
	return section;
}

static bool is_of_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

// Whether a line of names (".B one", ".BR one ", " other") has this one.
static bool is_explained(const char *section, const char *prefix, const char *name)
{
	char wanted[64];
	size_t length = (size_t)snprintf(wanted, sizeof(wanted), "%s%s", prefix, name);
	for (const char *line = strstr(section, "\n.B"); line; line = strstr(line + 1, "\n.B")) {
		const char *end = strchr(line + 1, '\n');
		const char *found = strstr(line, wanted);
		if (found && (!end || found < end) && !is_of_name(found[-1]) &&
		    !is_of_name(found[length]))
			return true;
	}
	return false;
}

Test(manual, explains_every_drop)
{
	char *section = read_section("\n.SS drops", "\n.S");
	for (int v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		const char *name = verdict_name((enum verdict)v);
		cr_expect(is_explained(section, "", name), "%s", name);
	}
	cr_expect_not(is_explained(section, "", "truncate"), "the test finds anything");
	free(section);
}

Test(manual, explains_every_end_of_a_session)
{
	char *section = read_section("\n.SS sessions", "\n.S");
	for (int e = 0; e < N_SESSION_ENDS; e++) {
		const char *name = session_end_name((enum session_end)e);
		cr_expect(is_explained(section, "ends.", name), "%s", name);
	}
	free(section);
}

Test(manual, explains_every_end_of_a_flow)
{
	char *section = read_section("\n.SH FLOW LOG", "\n.SH");
	for (int e = 0; e < N_FLOW_ENDS; e++) {
		const char *name = flow_end_name((enum flow_end)e);
		cr_expect(is_explained(section, "", name), "%s", name);
	}
	free(section);
}

Test(manual, explains_every_check_of_the_doctor)
{
	char *section = read_section("\n.SH DOCTOR", "\n.SH");
	for (size_t i = 0; i < n_doctor_checks; i++)
		cr_expect(is_explained(section, "", doctor_checks[i].name), "%s",
			  doctor_checks[i].name);
	free(section);
}
