// SPDX-License-Identifier: Apache-2.0
// Runs the packet tables of tests/golden over the drivers for interfaces: veth pairs are the links.
// With the fast path always, for nothing else compares every packet that the kernel forwards by
// itself with what a worker would have sent; the others with NIGHTLY=1.
//
// Most of the time goes into the kernel's letting go of each engine's sockets, which it does for
// several processes at once: so the tables come in groups.
#include <criterion/criterion.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/golden_wire.h"

#define TABLES "tests/golden/"

// Each table belongs to one of them.
static const struct group {
	const char *tables;
	uint64_t n_left_out;     // cases
	uint64_t n_left_out_xdp; // over AF_XDP
	uint64_t n_fast;         // packets, at least, that the kernel forwards when it may
} groups[] = {
	{.tables = TABLES "{[a-c],dr,du}*.txt", .n_left_out = 4, .n_left_out_xdp = 6},
	{.tables = TABLES "dsr*.txt", .n_left_out = 3, .n_left_out_xdp = 13},
	{.tables = TABLES "{[e-h],i[a-o]}*.txt", .n_left_out_xdp = 8, .n_fast = 80},
	{.tables = TABLES "ipv6_[a-h]*.txt", .n_left_out = 2, .n_left_out_xdp = 5, .n_fast = 1},
	{.tables = TABLES "ipv6_[i-z]*.txt", .n_left_out_xdp = 2, .n_fast = 3},
	{.tables = TABLES "{[j-s],tc}*.txt", .n_left_out = 2, .n_left_out_xdp = 3},
	{.tables = TABLES "{ti,[u-z]}*.txt", .n_left_out = 5, .n_left_out_xdp = 7},
};

enum { N_GROUPS = sizeof(groups) / sizeof(groups[0]) };

static void find(const char *pattern, glob_t *found)
{
	cr_assert_eq(glob(pattern, GLOB_BRACE, NULL, found), 0, "%s: run from the repository",
		     pattern);
}

static void run_table(struct golden_wire *wire, const char *path, int workers)
{
	struct golden_table table;
	const char *wrong = golden_read(&table, path);
	cr_assert_null(wrong, "%s: %s", path, wrong);
	for (size_t i = 0; i < table.n_cases; i++)
		golden_wire_run(wire, &table, &table.cases[i], workers);
	golden_free(&table);
}

// A way that the tables take.
struct way {
	const struct io_driver *driver;
	enum fast_path_use fast_path;
	int workers;
};

static const struct way with_fast_path = {&io_afpacket, FAST_PATH_ALWAYS, WORKERS_INLINE};
static const struct way with_three_workers = {&io_afpacket, FAST_PATH_ALWAYS, 3};
static const struct way with_packet_sockets = {&io_afpacket, FAST_PATH_OFF, WORKERS_INLINE};
static const struct way with_af_xdp = {&io_afxdp, FAST_PATH_OFF, WORKERS_INLINE};

static void compare_left_out(const struct golden_wire *wire, const struct group *group)
{
	bool is_xdp = wire->driver == &io_afxdp;
	uint64_t n = golden_wire_left_out(wire);
	cr_expect_eq(n, is_xdp ? group->n_left_out_xdp : group->n_left_out,
		     "%s: %" PRIu64 " cases were left out", group->tables, n);
}

static void run_group(unsigned number, const struct way *way)
{
	const struct group *group = &groups[number];
	struct golden_wire wire;
	glob_t found;
	golden_wire_open(&wire, way->driver, way->fast_path);
	find(group->tables, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		run_table(&wire, found.gl_pathv[i], way->workers);
	globfree(&found);
	golden_wire_close(&wire);
	compare_left_out(&wire, group);
	if (way->fast_path == FAST_PATH_ALWAYS)
		cr_expect_geq(wire.n_fast, group->n_fast, "%s: %" PRIu64 " packets went by it",
			      group->tables, wire.n_fast);
	else
		cr_expect_eq(wire.n_fast, 0);
}

static void run_nightly(unsigned number, const struct way *way)
{
	const char *nightly = getenv("NIGHTLY");
	if (!nightly || strcmp(nightly, "0") == 0 || !*nightly)
		cr_skip("runs with NIGHTLY=1");
	run_group(number, way);
}

#define GROUP(number)                                      \
	Test(golden_wire, fast_path_##number)              \
	{                                                  \
		run_group(number, &with_fast_path);        \
	}                                                  \
	Test(golden_wire, three_workers_##number)          \
	{                                                  \
		run_nightly(number, &with_three_workers);  \
	}                                                  \
	Test(golden_wire, packet_sockets_##number)         \
	{                                                  \
		run_nightly(number, &with_packet_sockets); \
	}                                                  \
	Test(golden_wire, af_xdp_##number)                 \
	{                                                  \
		run_nightly(number, &with_af_xdp);         \
	}

GROUP(0)
GROUP(1)
GROUP(2)
GROUP(3)
GROUP(4)
GROUP(5)
GROUP(6)

Test(golden_wire, every_table_is_in_one_group)
{
	glob_t all;
	find(TABLES "*.txt", &all);
	for (size_t i = 0; i < all.gl_pathc; i++) {
		unsigned n = 0;
		for (size_t g = 0; g < N_GROUPS; g++) {
			glob_t some;
			find(groups[g].tables, &some);
			for (size_t k = 0; k < some.gl_pathc; k++)
				n += strcmp(some.gl_pathv[k], all.gl_pathv[i]) == 0;
			globfree(&some);
		}
		cr_expect_eq(n, 1, "%s is in %u groups", all.gl_pathv[i], n);
	}
	globfree(&all);
}
