// SPDX-License-Identifier: Apache-2.0
// Checks whose faults cannot be planted in a network namespace: their files are made by hand, below
// a root of their own, and the clock is.
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include "doctor/checks.h"
#include "doctor/process.h"

enum { GOOD_SECONDS = 1800000000, PATH_ROOM = 512 };

static char root[] = "/tmp/doctor-root.XXXXXX";
static struct config config = {.mode = MODE_PROXY};
static struct doctor doctor;

static void setup(void)
{
	cr_assert_not_null(mkdtemp(root));
	doctor = (struct doctor){.config = &config, .root = root, .check = "check"};
}

static void teardown(void)
{
	char command[PATH_ROOM];
	findings_fini(&doctor.findings);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	cr_assert_eq(system(command), 0);
}

static void put(const char *path, const char *text)
{
	char full[PATH_ROOM];
	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(full, 0700);
		*slash = '/';
	}
	FILE *file = fopen(full, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static const struct finding *only(void)
{
	cr_assert_eq(doctor.findings.n, 1, "%zu", doctor.findings.n);
	return &doctor.findings.list[0];
}

static void expect(enum status status, const char *found, const char *fix)
{
	const struct finding *finding = only();
	cr_expect_eq(finding->status, status, "%s: %s", status_name(finding->status),
		     finding->found);
	cr_expect_not_null(strstr(finding->found, found), "%s", finding->found);
	cr_expect_str_eq(finding->fix, fix);
}

// ---- the fast path -----------------------------------------------------------------------------

static int answer_to_be_given;

static int answer_for_programs(void)
{
	return answer_to_be_given;
}

static void look_for_fast_path(uint64_t capabilities, struct config_passthrough wanted, int answer)
{
	static struct config packet_config;
	packet_config = (struct config){.mode = MODE_DSR, .path = "f", .passthrough = wanted};
	answer_to_be_given = answer;
	doctor.config = &packet_config;
	doctor.capabilities = capabilities;
	doctor.ask_for_programs = answer_for_programs;
	check_fast_path(&doctor);
}

static const uint64_t net_admin = UINT64_C(1) << CAP_NET_ADMIN;
static const uint64_t bpf = UINT64_C(1) << CAP_BPF;
static const struct config_passthrough by_default = {.io = IO_AFPACKET};

Test(doctor_fast_path, is_fine_where_programs_can_be, .init = setup, .fini = teardown)
{
	look_for_fast_path(net_admin | bpf, by_default, 0);
	expect(STATUS_OK, "can forward", "");
}

Test(doctor_fast_path, an_older_kernel_is_a_note, .init = setup, .fini = teardown)
{
	look_for_fast_path(net_admin | bpf, by_default, -EINVAL);
	expect(STATUS_NOTE, "by filters of tc, as Linux ",
	       "use Linux 6.6 or later, which needs none");
}

Test(doctor_fast_path, a_kernel_that_refuses_is_a_note, .init = setup, .fini = teardown)
{
	look_for_fast_path(net_admin | bpf, by_default, -EPERM);
	expect(STATUS_NOTE, "Operation not permitted",
	       "let culvert use the bpf system call, which a sandbox may forbid");
}

Test(doctor_fast_path, a_missing_capability_is_a_note, .init = setup, .fini = teardown)
{
	look_for_fast_path(net_admin, by_default, 0);
	expect(STATUS_NOTE, "without CAP_BPF",
	       "sudo culvert --dsr --config=f # or run it by the systemd unit");
}

Test(doctor_fast_path, what_is_not_wanted_is_not_looked_for, .init = setup, .fini = teardown)
{
	look_for_fast_path(0, (struct config_passthrough){.io = IO_XDP}, -EINVAL);
	look_for_fast_path(0, (struct config_passthrough){.fast_path = FAST_PATH_OFF}, -EINVAL);
	cr_expect_eq(doctor.findings.n, 0);
}

// ---- connection tracking -----------------------------------------------------------------------

static void put_conntrack(const char *count)
{
	put("/proc/sys/net/netfilter/nf_conntrack_max", "1000\n");
	put("/proc/sys/net/netfilter/nf_conntrack_count", count);
}

#define MORE "sysctl -w net.netfilter.nf_conntrack_max=2000"

Test(doctor_conntrack, absent_is_fine, .init = setup, .fini = teardown)
{
	check_conntrack(&doctor);
	expect(STATUS_OK, "not in use", "");
}

Test(doctor_conntrack, room_is_fine, .init = setup, .fini = teardown)
{
	put_conntrack("899\n");
	check_conntrack(&doctor);
	expect(STATUS_OK, "899 of 1000", "");
}

Test(doctor_conntrack, nearly_full_is_a_warning, .init = setup, .fini = teardown)
{
	put_conntrack("900\n");
	check_conntrack(&doctor);
	expect(STATUS_WARNING, "900 of 1000", MORE);
}

Test(doctor_conntrack, full_is_an_error, .init = setup, .fini = teardown)
{
	put_conntrack("1000\n");
	check_conntrack(&doctor);
	expect(STATUS_ERROR, "new connections", MORE);
}

// ---- listen queues -----------------------------------------------------------------------------

static void put_backlog(const char *somaxconn, const char *syn_backlog, const char *cookies)
{
	put("/proc/sys/net/core/somaxconn", somaxconn);
	put("/proc/sys/net/ipv4/tcp_max_syn_backlog", syn_backlog);
	put("/proc/sys/net/ipv4/tcp_syncookies", cookies);
	check_backlog(&doctor);
}

Test(doctor_backlog, usual_values_are_fine, .init = setup, .fini = teardown)
{
	put_backlog("4096", "128", "1");
	expect(STATUS_OK, "4096", "");
}

Test(doctor_backlog, a_short_queue_is_a_warning, .init = setup, .fini = teardown)
{
	put_backlog("128", "1024", "1");
	expect(STATUS_WARNING, "128", "sysctl -w net.core.somaxconn=4096");
}

Test(doctor_backlog, a_short_queue_of_syns_without_cookies_is, .init = setup, .fini = teardown)
{
	put_backlog("4096", "128", "0");
	expect(STATUS_WARNING, "cookies", "sysctl -w net.ipv4.tcp_syncookies=1");
}

Test(doctor_backlog, without_proc_nothing_is_claimed, .init = setup, .fini = teardown)
{
	check_backlog(&doctor);
	expect(STATUS_SKIPPED, "cannot be read", "");
}

// ---- the clock ---------------------------------------------------------------------------------

static int good_clock(struct timex *state)
{
	cr_assert_eq(state->modes, 0, "nothing may be set");
	state->time.tv_sec = GOOD_SECONDS;
	return TIME_OK;
}

static int free_clock(struct timex *state)
{
	state->time.tv_sec = GOOD_SECONDS;
	state->status = STA_UNSYNC;
	return TIME_ERROR;
}

static int old_clock(struct timex *state)
{
	state->time.tv_sec = 0;
	return TIME_OK;
}

static int no_clock(struct timex *state)
{
	(void)state;
	return -1;
}

Test(doctor_clock, is_asked_and_not_set, .init = setup, .fini = teardown)
{
	doctor.clock = good_clock;
	check_clock(&doctor);
	expect(STATUS_OK, "2027-01-15", "");
}

Test(doctor_clock, unsynchronised_is_a_warning, .init = setup, .fini = teardown)
{
	doctor.clock = free_clock;
	check_clock(&doctor);
	expect(STATUS_WARNING, "nothing keeps it right", "let chrony or another NTP client run");
}

Test(doctor_clock, systemd_can_be_told_to_keep_it, .init = setup, .fini = teardown)
{
	put("/run/systemd/system/unit", "");
	doctor.clock = free_clock;
	check_clock(&doctor);
	expect(STATUS_WARNING, "nothing keeps it right", "timedatectl set-ntp true");
}

Test(doctor_clock, of_another_age_is_a_warning, .init = setup, .fini = teardown)
{
	doctor.clock = old_clock;
	check_clock(&doctor);
	expect(STATUS_WARNING, "1970", "let chrony or another NTP client run");
}

Test(doctor_clock, unreadable_is_skipped, .init = setup, .fini = teardown)
{
	doctor.clock = no_clock;
	check_clock(&doctor);
	expect(STATUS_SKIPPED, "cannot be read", "");
}

// ---- files -------------------------------------------------------------------------------------

Test(doctor_host, the_larger_of_all_and_the_interface_counts, .init = setup, .fini = teardown)
{
	put("/proc/sys/net/ipv4/conf/all/rp_filter", "1\n");
	put("/proc/sys/net/ipv4/conf/eth0/rp_filter", "2\n");
	put("/proc/sys/net/ipv4/conf/eth1/rp_filter", "0\n");
	cr_expect_eq(doctor_conf(&doctor, "eth0", "rp_filter"), 2);
	cr_expect_eq(doctor_conf(&doctor, "eth1", "rp_filter"), 1);
	cr_expect_eq(doctor_conf(&doctor, "eth2", "rp_filter"), 1);
	cr_expect_eq(doctor_conf(&doctor, "eth0", "arp_ignore"), 0);
}

Test(doctor_host, what_is_no_number_is_none, .init = setup, .fini = teardown)
{
	long value = 7;
	put("/proc/sys/net/a", "many\n");
	put("/proc/sys/net/b", "");
	cr_expect_not(doctor_sysctl(&doctor, &value, "net/a"));
	cr_expect_not(doctor_sysctl(&doctor, &value, "net/b"));
	cr_expect_not(doctor_sysctl(&doctor, &value, "net/c"));
	cr_expect_eq(value, 7);
}

struct seen {
	size_t n;
	struct tcp_socket sockets[4];
};

static bool see(void *arg, const struct tcp_socket *socket)
{
	struct seen *seen = arg;
	seen->sockets[seen->n++] = *socket;
	return seen->n < 4;
}

Test(doctor_process, reads_the_kernels_table_of_sockets, .init = setup, .fini = teardown)
{
	struct seen seen = {0};
	char text[ENDPOINT_TEXT_MAX];
	put("/proc/net/tcp",
	    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
	    "   0: 0100000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0  "
	    "      0 4242 1 0 100 0 0 10 0\n"
	    "   1: 0200000A:9C40 6500000A:0050 01 00000000:00000000 00:00000000 00000000     0  "
	    "      0 4243 1 0 20 4 30 10 -1\n"
	    "nonsense\n");
	put("/proc/net/tcp6",
	    "  sl  local_address\n"
	    "   0: 000000FD000000000000000001000000:1F90 00000000000000000000000000000000:0000 06 "
	    "00000000:00000000 03:00000F00 00000000     0        0 0 3 0\n");
	cr_assert(tcp_sockets_walk(&doctor, see, &seen));
	cr_assert_eq(seen.n, 3, "%zu", seen.n);
	cr_expect(seen.sockets[0].is_listening);
	cr_expect_eq(seen.sockets[0].inode, 4242);
	cr_expect_str_eq(endpoint_format(&seen.sockets[0].local, text), "10.0.0.1:80");
	cr_expect_str_eq(endpoint_format(&seen.sockets[1].local, text), "10.0.0.2:40000");
	cr_expect_str_eq(endpoint_format(&seen.sockets[1].remote, text), "10.0.0.101:80");
	cr_expect(seen.sockets[2].is_waiting);
	cr_expect_str_eq(endpoint_format(&seen.sockets[2].local, text), "[fd00::1]:8080");
}

Test(doctor_process, finds_who_listens, .init = setup, .fini = teardown)
{
	char link[PATH_ROOM];
	struct endpoint endpoint;
	endpoint_parse("10.0.0.1:80", &endpoint);
	put("/proc/net/tcp", "head\n 0: 00000000:0050 00000000:0000 0A 0:0 00:0 0 0 0 4242 1\n");
	put("/proc/17/fd/0", "");
	put("/proc/17/comm", "nginx\n");
	snprintf(link, sizeof(link), "%s/proc/17/fd/5", root);
	cr_assert_eq(symlink("socket:[4242]", link), 0);
	cr_expect_eq(tcp_listener_of(&doctor, &endpoint), 17);
	cr_expect_str_eq(process_name(&doctor, 17, link), "nginx");
	endpoint_parse("10.0.0.1:81", &endpoint);
	cr_expect_eq(tcp_listener_of(&doctor, &endpoint), 0);
}

// ---- reserved ports ----------------------------------------------------------------------------

static const struct {
	const char *reserved;
	int holder;
	bool is_managed;
	const char *fix; // NULL: nothing to say
} leavings[] = {
	{"33768-61000\n", -ENOENT, true, ""},
	{"22,8080,30000-65000\n", -ENOENT, true, "22,8080,30000-33767,61001-65000"},
	{"33768-50000,50001-61001,62000\n", -ENOENT, true, "61001,62000"},
	{"33768-60999\n", -ENOENT, true, NULL},
	{"\n", -ENOENT, true, NULL},
	{"33768-61000\n", 4242, true, NULL},
	{"33768-61000\n", -ENOENT, false, NULL},
};

Test(doctor_ports, those_that_were_left_reserved_are_a_note, .init = setup, .fini = teardown)
{
	char fix[PATH_ROOM];
	struct config packets = {
		.mode = MODE_PASSTHROUGH,
		.passthrough = {.nat_port_min = 33768, .nat_port_max = 61000},
	};
	doctor.config = &packets;
	put("/proc/net/tcp", "head\n");
	for (size_t i = 0; i < sizeof(leavings) / sizeof(leavings[0]); i++) {
		packets.firewall_manage = leavings[i].is_managed;
		doctor.holder = leavings[i].holder;
		put("/proc/sys/net/ipv4/ip_local_reserved_ports", leavings[i].reserved);
		check_nat_ports(&doctor);
		const struct finding *first = &doctor.findings.list[0];
		cr_expect_eq(doctor.findings.n, leavings[i].fix ? 2 : 1, "case %zu", i);
		cr_expect_eq(first->status, leavings[i].fix ? STATUS_NOTE : STATUS_OK);
		snprintf(fix, sizeof(fix), "sysctl -w net.ipv4.ip_local_reserved_ports=%s",
			 leavings[i].fix ? leavings[i].fix : "");
		cr_expect_str_eq(first->fix, leavings[i].fix ? fix : "");
		findings_fini(&doctor.findings);
	}
}

// ---- the report --------------------------------------------------------------------------------

static char *printed(struct findings_style style)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	findings_print(&doctor.findings, style, out);
	fclose(out);
	return text;
}

Test(doctor_findings, what_says_the_same_shares_a_line, .init = setup, .fini = teardown)
{
	doctor_say(&doctor, STATUS_OK, "a", "connected in 6.4 ms");
	doctor_say(&doctor, STATUS_NOTE, "b", "not checked");
	doctor_say(&doctor, STATUS_OK, "c", "connected in 10 ms");
	doctor_say(&doctor, STATUS_NOTE, "d", "not checked");
	doctor_say(&doctor, STATUS_OK, "e", "answered in 10 ms");
	doctor_say(&doctor, STATUS_NOTE, "f", "not checked");
	doctor_fix(&doctor, "mend f");
	char *text = printed((struct findings_style){0});
	cr_expect_str_eq(text,
			 "ok       check           a: connected in 6.4 ms (and 1 more)\n"
			 "note     check           b: not checked (and 1 more)\n"
			 "ok       check           e: answered in 10 ms\n"
			 "note     check           f: not checked\n"
			 "           -> mend f\n"
			 "0 errors, 0 warnings, 3 notes\n",
			 "%s", text);
	free(text);
}

Test(doctor_findings, what_is_ok_shares_a_line, .init = setup, .fini = teardown)
{
	doctor_say(&doctor, STATUS_OK, "a", "fine");
	doctor_say(&doctor, STATUS_ERROR, "b", "broken");
	doctor_fix(&doctor, "mend b");
	doctor_say(&doctor, STATUS_OK, "c", "fine");
	char *text = printed((struct findings_style){0});
	cr_expect_str_eq(text, "ok       check           a: fine (and 1 more)\n"
			       "error    check           b: broken\n"
			       "           -> mend b\n"
			       "1 error, 0 warnings\n");
	free(text);
	text = printed((struct findings_style){.is_verbose = true});
	cr_expect_not_null(strstr(text, "c: fine\n"));
	cr_expect_null(strstr(text, "more"));
	free(text);
}

Test(doctor_findings, bytes_that_are_no_text_do_not_spoil_the_json, .init = setup, .fini = teardown)
{
	char *text = NULL;
	size_t size;
	doctor_say(&doctor, STATUS_WARNING, "eth\xff", "odd");
	FILE *out = open_memstream(&text, &size);
	cr_expect_eq(findings_print_json(&doctor.findings, "/tmp/\xfe.toml", "proxy", out), 0);
	fclose(out);
	cr_expect_not_null(strstr(text, "\"subject\": \"eth?\""), "%s", text);
	cr_expect_not_null(strstr(text, "\"warning\": 1"), "%s", text);
	free(text);
}

// Any user may call a process as it likes, and have it hold a port.
Test(doctor_findings, names_of_others_reach_no_terminal_as_they_are, .init = setup,
     .fini = teardown)
{
	doctor_say(&doctor, STATUS_ERROR, "a\x1b[2Jb", "x\x1b]0;y\a\nok \xc2\x9b");
	doctor_fix(&doctor, "kill '\x1b'");
	char *text = printed((struct findings_style){0});
	cr_expect_not_null(strstr(text, "a\\x1b[2Jb: x\\x1b]0;y\\x07\\nok \\xc2\\x9b\n"), "%s",
			   text);
	cr_expect_not_null(strstr(text, "-> kill '\\x1b'\n"), "%s", text);
	free(text);
}
