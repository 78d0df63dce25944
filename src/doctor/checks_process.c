// SPDX-License-Identifier: Apache-2.0
// Whether culvert could start here as the one who asks: its file, privileges, its place, its
// limits.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "culvert/control/instance.h"
#include "doctor/checks.h"
#include "doctor/process.h"

enum {
	FILES_APART = 64,       // the program's own, roughly
	CONNECTIONS_FEW = 1024, // fewer are a limit that somebody has forgotten
	CAPABILITIES_MAX = 96,  // a list of their names
};

// ---- the file ----------------------------------------------------------------------------------

// Messages put the commands that they advise between backticks.
static void fix_from_message(struct doctor *doctor, const char *message)
{
	const char *start = strchr(message, '`');
	const char *end = start ? strchr(start + 1, '`') : NULL;
	if (end)
		doctor_fix(doctor, "%.*s", (int)(end - start - 1), start + 1);
	else
		doctor_fix(doctor, "correct %s", doctor->config->path);
}

void check_configuration(struct doctor *doctor)
{
	const struct config *config = doctor->config;
	struct config_errors errors = {0};
	if (config_check_mode(config, config->mode, &errors) == 0)
		doctor_say(doctor, STATUS_OK, config->path, "valid for mode %s",
			   mode_name(config->mode));
	for (size_t i = 0; i < errors.count; i++) {
		char at[SUBJECT_MAX];
		const struct err *error = &errors.list[i];
		if (error->line)
			snprintf(at, sizeof(at), "%s:%u:%u", config->path, error->line,
				 error->column);
		else
			snprintf(at, sizeof(at), "%s", config->path);
		doctor_say(doctor, STATUS_ERROR, at, "%s", error->message);
		fix_from_message(doctor, error->message);
	}
	config_errors_fini(&errors);
}

// ---- privileges --------------------------------------------------------------------------------

static bool needs_low_port(const struct doctor *doctor, long *first_free)
{
	*first_free = 1024;
	(void)doctor_sysctl(doctor, first_free, "net/ipv4/ip_unprivileged_port_start");
	for (size_t i = 0; i < doctor->config->n_frontends; i++) {
		if (ntohs(doctor->config->frontends[i].endpoint.port_be) < *first_free)
			return true;
	}
	return false;
}

static void check_low_ports(struct doctor *doctor)
{
	long first_free;
	if (!needs_low_port(doctor, &first_free)) {
		doctor_say(doctor, STATUS_OK, "", "proxy mode needs none for these ports");
		return;
	}
	if (doctor_has_capability(doctor, CAP_NET_BIND_SERVICE)) {
		doctor_say(doctor, STATUS_OK, "", "CAP_NET_BIND_SERVICE is there");
		return;
	}
	doctor_say(doctor, STATUS_ERROR, "",
		   "CAP_NET_BIND_SERVICE is missing, and a frontend has a port below %ld",
		   first_free);
	doctor_fix(doctor, "sudo culvert --proxy --config=%s # or run it by the systemd unit",
		   doctor->config->path);
}

static const struct {
	int number;
	const char *name;
	bool is_for_xdp;
} packet_capabilities[] = {
	{CAP_NET_RAW, "CAP_NET_RAW", false},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
	{CAP_BPF, "CAP_BPF", true},
	{CAP_IPC_LOCK, "CAP_IPC_LOCK", true},
};

enum { N_PACKET_CAPABILITIES = sizeof(packet_capabilities) / sizeof(packet_capabilities[0]) };

// Those that are needed and that this process has or lacks, as words; returns how many.
static unsigned list_capabilities(const struct doctor *doctor, bool has, char *text, size_t size)
{
	bool is_xdp = doctor->config->passthrough.io == IO_XDP;
	const char *names[N_PACKET_CAPABILITIES];
	unsigned n = 0;
	size_t used = 0;
	for (size_t i = 0; i < N_PACKET_CAPABILITIES; i++) {
		if (packet_capabilities[i].is_for_xdp && !is_xdp)
			continue;
		if (doctor_has_capability(doctor, packet_capabilities[i].number) == has)
			names[n++] = packet_capabilities[i].name;
	}
	for (unsigned i = 0; i < n; i++) {
		const char *separator = i + 1 == n ? " and " : ", ";
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? separator : "",
					 names[i]);
	}
	return n;
}

void check_capabilities(struct doctor *doctor)
{
	char names[CAPABILITIES_MAX] = "";
	const struct config *config = doctor->config;
	if (config->mode == MODE_PROXY) {
		check_low_ports(doctor);
		return;
	}
	unsigned n = list_capabilities(doctor, false, names, sizeof(names));
	if (n == 0) {
		(void)list_capabilities(doctor, true, names, sizeof(names));
		doctor_say(doctor, STATUS_OK, "", "%s are there", names);
		return;
	}
	doctor_say(doctor, STATUS_ERROR, "", "%s %s missing, which mode %s needs", names,
		   n == 1 ? "is" : "are", mode_name(config->mode));
	doctor_fix(doctor, "sudo culvert --%s --config=%s # or run it by the systemd unit",
		   mode_name(config->mode), config->path);
}

// ---- another culvert ---------------------------------------------------------------------------

// The place is a name that any program can take.
static bool is_culvert(const struct doctor *doctor, int process)
{
	char name[PROCESS_NAME_MAX];
	return process > 0 && strcmp(process_name(doctor, process, name), "culvert") == 0;
}

void check_instance(struct doctor *doctor)
{
	int process = doctor->holder;
	bool is_proxy = doctor->config->mode == MODE_PROXY;
	if (process == -ENOENT) {
		doctor_say(doctor, STATUS_OK, "",
			   "no other culvert forwards packets in this network namespace");
		return;
	}
	if (process > 0 && !is_proxy && process_serves(doctor, process)) {
		doctor_say(doctor, STATUS_OK, "", "culvert runs with this file (process %d)",
			   process);
		return;
	}
	char number[32] = "";
	if (process > 0)
		snprintf(number, sizeof(number), " (process %d)", process);
	doctor_say(doctor, is_proxy ? STATUS_WARNING : STATUS_ERROR, "",
		   "another culvert%s forwards packets in this network namespace; %s", number,
		   is_proxy ? "clients of what it serves do not come here"
			    : "there can be one only");
	if (is_culvert(doctor, process))
		doctor_fix(doctor, "kill %d", process);
	else
		doctor_fix(doctor, "sudo ss -xlp src @culvert # shows the process to stop");
}

// ---- descriptors -------------------------------------------------------------------------------

static uint64_t count_apart(const struct doctor *doctor)
{
	cpu_set_t usable;
	uint64_t n_threads = 1;
	if (doctor->config->proxy.threads != THREADS_AUTO)
		n_threads = (uint64_t)doctor->config->proxy.threads;
	else if (sched_getaffinity(0, sizeof(usable), &usable) == 0)
		n_threads = (uint64_t)CPU_COUNT(&usable);
	return FILES_APART + doctor->n_hops + n_threads * (doctor->config->n_frontends + 2);
}

// Of the hard limit: culvert raises the soft one to it. A session has two descriptors, and every
// eighth a pipe.
void check_files(struct doctor *doctor)
{
	struct rlimit limit;
	uint64_t apart = count_apart(doctor);
	uint64_t wanted = doctor->config->proxy.max_connections;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	uint64_t possible = limit.rlim_max > apart ? (limit.rlim_max - apart) * 4 / 9 : 0;
	if (possible >= wanted && possible >= CONNECTIONS_FEW) {
		doctor_say(doctor, STATUS_OK, "",
			   "%llu open files are allowed, about %llu connections",
			   (unsigned long long)limit.rlim_max, (unsigned long long)possible);
		return;
	}
	if (wanted && possible >= wanted) {
		doctor_say(doctor, STATUS_OK, "",
			   "%llu open files are allowed, enough for %llu connections",
			   (unsigned long long)limit.rlim_max, (unsigned long long)wanted);
		return;
	}
	doctor_say(doctor, wanted ? STATUS_ERROR : STATUS_WARNING, "",
		   "%llu open files are allowed: about %llu connections%s",
		   (unsigned long long)limit.rlim_max, (unsigned long long)possible,
		   wanted ? ", fewer than max_connections" : "");
	uint64_t needed = (wanted ? wanted : CONNECTIONS_FEW) * 9 / 4 + apart + 1;
	doctor_fix(doctor, "ulimit -Hn %llu; ulimit -n %llu # systemd: LimitNOFILE=%llu",
		   (unsigned long long)needed, (unsigned long long)needed,
		   (unsigned long long)needed);
}
