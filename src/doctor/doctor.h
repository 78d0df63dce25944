// SPDX-License-Identifier: Apache-2.0
// What every check gets: the configuration, a way to look at this host, and a report to write into.
// Thread: the only one. Nothing here changes anything on this host.
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "culvert/config/config.h"
#include "culvert/control/netwatch.h"
#include "doctor/findings.h"

struct event_base;
struct timex;

enum {
	DOCTOR_PATH_MAX = 256,
	SUBJECT_MAX = 512, // "POOL/SERVER ADDRESS:PORT", cut if need be
	DOCTOR_MAX_LINKS = CONFIG_MAX_INTERFACES,
};

// An interface that traffic of this configuration uses.
struct doctor_link {
	struct link_info info;
	bool is_front; // clients' packets come in here
	bool is_back;  // towards backends
};

// Where a backend is, as the kernel's routes say.
struct doctor_hop {
	const struct config_backend *backend; // borrowed
	const struct config_pool *pool;       // borrowed
	struct next_hop hop;                  // all zero: not asked for, or no route
	bool has_failed;                      // its check did not pass
};

struct doctor {
	const struct config *config; // borrowed
	const char *root;            // borrowed: what /proc and /sys are below, "" but in tests
	struct findings findings;    // owned
	const char *check;           // borrowed: the name of the one that runs
	struct event_base *base;     // owned
	struct netwatch *netwatch;   // owned; NULL: the network could not be looked at
	struct doctor_link links[DOCTOR_MAX_LINKS];
	size_t n_links;
	struct doctor_hop *hops; // owned; by running number of the backend
	size_t n_hops;
	uint64_t capabilities;         // that this process has, one bit each
	int holder;                    // process of the culvert in this namespace, or as instance.h
	int (*clock)(struct timex *);  // adjtimex(), but in tests
	int (*ask_for_programs)(void); // of checks.h, but in tests
};

// What the check that runs says of `subject` ("": this host).
#define doctor_say(doctor, status, subject, ...) \
	findings_add(&(doctor)->findings, (doctor)->check, status, subject, __VA_ARGS__)
#define doctor_fix(doctor, ...) findings_fix(&(doctor)->findings, __VA_ARGS__)

bool doctor_has_capability(const struct doctor *doctor, int capability);

// Read a small file below `root`, without its last newline; `text` is empty on failure. 0 or
// -errno.
__attribute__((format(printf, 4, 5))) int doctor_read(const struct doctor *doctor, char *text,
						      size_t size, const char *path, ...);
// The number in a file of /proc/sys, "net/ipv4/ip_forward". False: it is not there.
__attribute__((format(printf, 3, 4))) bool doctor_sysctl(const struct doctor *doctor, long *value,
							 const char *name, ...);
// The larger one of `all` and the interface's own: that is what the kernel goes by for most of the
// keys of net.ipv4.conf. 0 when they are not there.
long doctor_conf(const struct doctor *doctor, const char *link, const char *key);

// Find links and hops; what is not there is left out.
void doctor_find_network(struct doctor *doctor);
bool doctor_is_frontend_addr(const struct doctor *doctor, const struct ip_addr *addr);
// Whether any frontend is of the family.
bool doctor_has_family(const struct doctor *doctor, bool is_v4);

// "web/b1 10.0.0.101:80", "web 10.0.0.1:80". `text` has room for SUBJECT_MAX. Return `text`.
const char *doctor_backend_name(const struct doctor_hop *hop, char *text);
const char *doctor_frontend_name(const struct config_frontend *frontend, char *text);
