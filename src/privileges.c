// SPDX-License-Identifier: Apache-2.0
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "culvert/base/log.h"

enum { LOG_DIRECTORY_MODE = 0750, SOCKET_DIRECTORY_MODE = 0755, CAPABILITIES_TEXT_MAX = 128 };

// What a mode asks the kernel for: while it starts, and from then on.
struct needs {
	unsigned capability;
	bool at_start;
	bool later;
};

// Rules and reserved ports are changed and removed; links come and go, and readiness is probed;
// a listener may be opened on a low port at any time.
static const struct needs packet_needs[] = {
	{CAP_NET_ADMIN, true, true},
	{CAP_NET_RAW, true, true},
	{CAP_NET_BIND_SERVICE, true, true},
	{0, false, false},
};

// The programs of the fast path are loaded and attached once. Their map is changed by reloads where
// the kernel has tcx, and asks for no right then.
static const struct needs fast_needs[] = {
	{CAP_NET_ADMIN, true, true}, {CAP_NET_RAW, true, true}, {CAP_NET_BIND_SERVICE, true, true},
	{CAP_BPF, true, false},      {0, false, false},
};

// The XDP program's map is changed by each reload; memory that is shared with the kernel is locked.
static const struct needs xdp_needs[] = {
	{CAP_NET_ADMIN, true, true}, {CAP_NET_RAW, true, true},  {CAP_NET_BIND_SERVICE, true, true},
	{CAP_BPF, true, true},       {CAP_IPC_LOCK, true, true}, {0, false, false},
};

// At start it removes the rules that DSR mode may have left.
static const struct needs proxy_needs[] = {
	{CAP_NET_ADMIN, true, false},
	{CAP_NET_BIND_SERVICE, true, true},
	{0, false, false},
};

// ---- capabilities ------------------------------------------------------------------------------

static const struct needs *needs_of(const struct config *config)
{
	if (config->mode == MODE_PROXY)
		return proxy_needs;
	if (config->passthrough.io == IO_XDP)
		return xdp_needs;
	return config->passthrough.fast_path == FAST_PATH_OFF ? packet_needs : fast_needs;
}

// The library's idea of this process becomes: those of the mode's that it has, and no other. The
// bounding set stays for capng_change_id() to clear.
static int select_needs(const struct config *config, bool is_start, char *text, struct err *err)
{
	const struct needs *needs = needs_of(config);
	bool has[CAP_LAST_CAP + 1];
	size_t used = 0;
	if (capng_get_caps_process())
		return err_set(err, -EPERM, "cannot find out which capabilities there are");
	for (const struct needs *n = needs; n->at_start; n++)
		has[n->capability] = capng_have_capability(CAPNG_PERMITTED, n->capability);
	capng_clear(CAPNG_SELECT_CAPS);
	text[0] = '\0';
	for (const struct needs *n = needs; n->at_start; n++) {
		if (!has[n->capability] || (!is_start && !n->later))
			continue;
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, n->capability);
		used += (size_t)snprintf(text + used, CAPABILITIES_TEXT_MAX - used, " %s",
					 capng_capability_to_name(n->capability));
	}
	return 0;
}

static int apply(const struct config *config, bool is_start, struct err *err)
{
	char text[CAPABILITIES_TEXT_MAX] = "";
	int code = select_needs(config, is_start, text, err);
	if (code)
		return code;
	if (capng_apply(CAPNG_SELECT_CAPS))
		return err_set(err, -EPERM, "cannot give up capabilities");
	log_debug("culvert", "capabilities from here on:%s", text[0] ? text : " none");
	return 0;
}

// ---- the user ----------------------------------------------------------------------------------

// Its directory, when it is not there: one level, as `install -d` would make it.
static void make_directory_of(const char *path, mode_t mode, const struct passwd *user)
{
	char directory[PATH_MAX];
	snprintf(directory, sizeof(directory), "%s", path);
	char *slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return;
	*slash = '\0';
	// Whoever opens the file says what is wrong.
	if (mkdir(directory, mode) == 0)
		(void)!chown(directory, user->pw_uid, user->pw_gid);
}

static int change_user(const struct passwd *user, const struct config *config, struct err *err)
{
	char text[CAPABILITIES_TEXT_MAX];
	if (config->flow_log.path)
		make_directory_of(config->flow_log.path, LOG_DIRECTORY_MODE, user);
	if (config->api_socket)
		make_directory_of(config->api_socket, SOCKET_DIRECTORY_MODE, user);
	int code = select_needs(config, true, text, err);
	if (code)
		return code;
	capng_flags_t flags = CAPNG_INIT_SUPP_GRP;
	if (capng_have_capability(CAPNG_BOUNDING_SET, CAP_SETPCAP))
		flags |= CAPNG_CLEAR_BOUNDING;
	code = capng_change_id((int)user->pw_uid, (int)user->pw_gid, flags);
	if (code)
		return err_set(err, -EPERM,
			       "cannot become user %s (libcap-ng's code %d); CAP_SETUID and "
			       "CAP_SETGID are needed",
			       user->pw_name, code);
	// The kernel takes away core dumps as well; who has no more than its user has may have
	// them.
	(void)prctl(PR_SET_DUMPABLE, 1);
	log_info("culvert", "running as user %s, with%s", user->pw_name,
		 text[0] ? text : " no capability");
	return 0;
}

int privileges_enter(const char *user, const struct config *config, struct err *err)
{
	errno = 0;
	const struct passwd *entry = getpwnam(user);
	if (!entry)
		return err_set(
			err, -ENOENT,
			"there is no user %s (useradd --system --user-group --no-create-home "
			"--shell /usr/sbin/nologin %s makes one)",
			user, user);
	if (geteuid() != 0 && geteuid() != entry->pw_uid)
		return err_set(err, -EPERM,
			       "only root can become user %s; start it as root, or as %s", user,
			       user);
	// Nothing that it may start can have more than it has.
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(err, -errno, "cannot set no_new_privs");
	if (geteuid() == entry->pw_uid)
		return apply(config, true, err);
	return change_user(entry, config, err);
}

int privileges_settle(const struct config *config, struct err *err)
{
	return config->service_user ? apply(config, false, err) : 0;
}
