// SPDX-License-Identifier: Apache-2.0
// What the kernel offers, how full it is, and its clock.
#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "doctor/checks.h"
#include "doctor/ruleset.h"

enum {
	CLOCK_EARLIEST = 1767225600, // 2026-01-01: no culvert is older
	CONNTRACK_PERCENT = 90,
	SOMAXCONN_MIN = 1024,
	SYN_BACKLOG_MIN = 256,
	LOOPBACK = 1,     // its number in every network namespace
	TCX_INGRESS = 46, // of linux/bpf.h since Linux 6.6
};

// ---- features ----------------------------------------------------------------------------------

static void check_packet_socket(struct doctor *doctor)
{
	static const int on = 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int code = fd < 0 ? -errno : 0;
	if (!code && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		code = -errno;
	if (fd >= 0)
		close(fd);
	if (!code) {
		doctor_say(doctor, STATUS_OK, "packet sockets",
			   "they are there, with segmentation offload");
		return;
	}
	doctor_say(doctor, STATUS_ERROR, "packet sockets", "the kernel refuses them: %s",
		   strerrordesc_np(-code));
	doctor_fix(doctor, "modprobe af_packet");
}

static void check_xdp(struct doctor *doctor)
{
	if (doctor->config->passthrough.io != IO_XDP)
		return;
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		close(fd);
		doctor_say(doctor, STATUS_OK, "AF_XDP", "the kernel has such sockets");
		return;
	}
	doctor_say(doctor, STATUS_ERROR, "AF_XDP", "the kernel refuses such sockets: %s",
		   strerrordesc_np(errno));
	doctor_fix(doctor, "set [passthrough] io = \"afpacket\" in %s", doctor->config->path);
}

static void check_ingress(struct doctor *doctor)
{
	struct err err = {0};
	if (!doctor->config->firewall_manage)
		return;
	if (ruleset_try_ingress(&err) == 0) {
		doctor_say(doctor, STATUS_OK, "nftables", "rules at ingress are possible");
		return;
	}
	doctor_say(doctor, STATUS_ERROR, "nftables", "%s", err.message);
	doctor_fix(doctor, "modprobe nf_tables # or set [firewall] manage = false, and use "
			   "iptables/setup.sh");
}

void check_kernel(struct doctor *doctor)
{
	if (!doctor_has_capability(doctor, CAP_NET_RAW) ||
	    !doctor_has_capability(doctor, CAP_NET_ADMIN)) {
		doctor_say(doctor, STATUS_SKIPPED, "",
			   "trying packet sockets and rules needs root");
		return;
	}
	check_packet_socket(doctor);
	check_xdp(doctor);
	check_ingress(doctor);
}

// ---- the fast path -----------------------------------------------------------------------------

int kernel_ask_for_programs(void)
{
	LIBBPF_OPTS(bpf_prog_query_opts, options);
	return bpf_prog_query_opts(LOOPBACK, (enum bpf_attach_type)TCX_INGRESS, &options);
}

// Filters of tc do as well, but for what they leave behind.
static void say_without_tcx(struct doctor *doctor)
{
	struct utsname system = {0};
	(void)uname(&system);
	doctor_say(doctor, STATUS_NOTE, "",
		   "by filters of tc, as Linux %s has no tcx; a qdisc clsact stays at the "
		   "interfaces",
		   system.release);
	doctor_fix(doctor, "use Linux 6.6 or later, which needs none");
}

static void say_refused(struct doctor *doctor, int code)
{
	doctor_say(doctor, STATUS_NOTE, "",
		   "the kernel refuses it: %s; all packets go through culvert's threads",
		   strerrordesc_np(-code));
	doctor_fix(doctor, "let culvert use the bpf system call, which a sandbox may forbid");
}

// Not to have it is no fault: culvert does without.
void check_fast_path(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	if (config->passthrough.io != IO_AFPACKET || config->passthrough.fast_path == FAST_PATH_OFF)
		return;
	if (!doctor_has_capability(doctor, CAP_BPF) ||
	    !doctor_has_capability(doctor, CAP_NET_ADMIN)) {
		doctor_say(doctor, STATUS_NOTE, "",
			   "without CAP_BPF and CAP_NET_ADMIN all packets go through culvert's "
			   "threads");
		doctor_fix(doctor, "sudo culvert --%s --config=%s # or run it by the systemd unit",
			   mode_name(config->mode), config->path);
		return;
	}
	int code = doctor->ask_for_programs();
	if (code == 0)
		doctor_say(doctor, STATUS_OK, "", "the kernel can forward established flows");
	else if (code == -EINVAL)
		say_without_tcx(doctor);
	else
		say_refused(doctor, code);
}

// ---- the clock ---------------------------------------------------------------------------------

static void fix_clock(struct doctor *doctor)
{
	char path[DOCTOR_PATH_MAX];
	snprintf(path, sizeof(path), "%s/run/systemd/system", doctor->root); // sd_booted(3)
	doctor_fix(doctor, "%s",
		   access(path, F_OK) == 0 ? "timedatectl set-ntp true"
					   : "let chrony or another NTP client run");
}

void check_clock(struct doctor *doctor)
{
	struct timex state = {0}; // no modes: nothing is set
	char text[32];
	int code = doctor->clock(&state);
	time_t seconds = state.time.tv_sec;
	struct tm utc;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &utc));
	if (code < 0) {
		doctor_say(doctor, STATUS_SKIPPED, "", "the kernel's clock cannot be read");
	} else if (seconds < CLOCK_EARLIEST) {
		doctor_say(doctor, STATUS_WARNING, "",
			   "it is wrong: %s UTC; times in the log and in the API are useless",
			   text);
		fix_clock(doctor);
	} else if (state.status & STA_UNSYNC) {
		doctor_say(doctor, STATUS_WARNING, "",
			   "nothing keeps it right (%s UTC): its times will not match those of "
			   "other hosts' logs",
			   text);
		fix_clock(doctor);
	} else {
		doctor_say(doctor, STATUS_OK, "", "synchronised (%s UTC)", text);
	}
}

// ---- connection tracking -----------------------------------------------------------------------

void check_conntrack(struct doctor *doctor)
{
	long count;
	long max;
	if (!doctor_sysctl(doctor, &count, "net/netfilter/nf_conntrack_count") ||
	    !doctor_sysctl(doctor, &max, "net/netfilter/nf_conntrack_max") || max <= 0) {
		doctor_say(doctor, STATUS_OK, "", "not in use");
		return;
	}
	if (count < max / 100 * CONNTRACK_PERCENT || count == 0) {
		doctor_say(doctor, STATUS_OK, "", "%ld of %ld entries in use", count, max);
		return;
	}
	doctor_say(doctor, count >= max ? STATUS_ERROR : STATUS_WARNING, "",
		   "%ld of %ld entries are in use; when none is left the kernel drops %s", count,
		   max, doctor->config->mode == MODE_PROXY ? "new connections" : "health checks");
	doctor_fix(doctor, "sysctl -w net.netfilter.nf_conntrack_max=%ld", max * 2);
}

// ---- queues of listeners -----------------------------------------------------------------------

void check_backlog(struct doctor *doctor)
{
	long somaxconn = 0;
	long syn_backlog = 0;
	long cookies = 1;
	bool is_known = doctor_sysctl(doctor, &somaxconn, "net/core/somaxconn") &&
			doctor_sysctl(doctor, &syn_backlog, "net/ipv4/tcp_max_syn_backlog");
	(void)doctor_sysctl(doctor, &cookies, "net/ipv4/tcp_syncookies");
	if (!is_known) {
		doctor_say(doctor, STATUS_SKIPPED, "", "/proc/sys/net cannot be read");
		return;
	}
	if (somaxconn < SOMAXCONN_MIN) {
		doctor_say(
			doctor, STATUS_WARNING, "net.core.somaxconn",
			"%ld: a burst of clients finds the listen queue full, and waits a second",
			somaxconn);
		doctor_fix(doctor, "sysctl -w net.core.somaxconn=4096");
	}
	if (!cookies && syn_backlog < SYN_BACKLOG_MIN) {
		doctor_say(doctor, STATUS_WARNING, "net.ipv4.tcp_max_syn_backlog",
			   "%ld, and no SYN cookies: a small flood keeps clients out", syn_backlog);
		doctor_fix(doctor, "sysctl -w net.ipv4.tcp_syncookies=1");
	} else if (somaxconn >= SOMAXCONN_MIN) {
		doctor_say(doctor, STATUS_OK, "", "somaxconn %ld, tcp_max_syn_backlog %ld",
			   somaxconn, syn_backlog);
	}
}
