// SPDX-License-Identifier: Apache-2.0
// Files and sockets that culvert makes where the configuration says: whether the user that it runs
// as may make them there. Nothing is made here.
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "doctor/checks.h"
#include "doctor/process.h"

enum { USER_NAME_MAX = 256 };

// Who culvert is by the time that it makes them.
struct user {
	char name[USER_NAME_MAX];
	uid_t uid;
	gid_t gid;
	bool is_other; // than who asks
};

// Something to be made, and how bad it is if that cannot be.
struct place {
	const char *path;
	const char *subject;
	const char *key; // "[api] socket"
	enum status status;
	bool may_lack_directory; // culvert makes it then, one level
};

// ---- the user ----------------------------------------------------------------------------------

static bool find_user(struct doctor *doctor, struct user *user)
{
	const char *name = doctor->config->service_user;
	const struct passwd *entry = name ? getpwnam(name) : getpwuid(geteuid());
	*user = (struct user){.uid = geteuid(), .gid = getegid()};
	if (!name && !entry) {
		snprintf(user->name, sizeof(user->name), "%u", user->uid);
		return true;
	}
	if (!entry) {
		doctor_say(doctor, STATUS_ERROR, "user", "there is no user %s", name);
		doctor_fix(doctor,
			   "useradd --system --user-group --no-create-home --shell "
			   "/usr/sbin/nologin %s",
			   name);
		return false;
	}
	snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
	user->is_other = entry->pw_uid != user->uid;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	if (!user->is_other || geteuid() == 0)
		return true;
	doctor_say(doctor, STATUS_SKIPPED, "user", "what %s may write can only be seen as root",
		   user->name);
	return false;
}

// The exit code of a process that has become the user: an errno, for which there is room.
static int access_as(const struct user *user, const char *path, int mode)
{
	if (initgroups(user->name, user->gid) || setgid(user->gid) || setuid(user->uid))
		return errno;
	return access(path, mode) ? errno : 0;
}

// What the kernel says, so that groups and access lists count. 0 or -errno.
static int try_access(const struct user *user, const char *path, int mode)
{
	int status;
	if (!user->is_other)
		return access(path, mode) ? -errno : 0;
	pid_t child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		_exit(access_as(user, path, mode));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

// ---- directories -------------------------------------------------------------------------------

// "/run/culvert" of "/run/culvert/culvert.sock"; paths of a configuration are whole.
static void directory_of(const char *path, char *directory)
{
	const char *slash = strrchr(path, '/');
	snprintf(directory, PATH_MAX, "%.*s", (int)(slash > path ? slash - path : 1), path);
}

// The first directory on the way that the user cannot pass through. False: there is none.
static bool find_barrier(const struct user *user, const char *directory, char *barrier)
{
	for (const char *end = strchr(directory + 1, '/'); end; end = strchr(end + 1, '/')) {
		snprintf(barrier, PATH_MAX, "%.*s", (int)(end - directory), directory);
		if (try_access(user, barrier, X_OK) == -EACCES)
			return true;
	}
	return false;
}

static void fix_by_another_path(struct doctor *doctor, const struct place *place)
{
	doctor_fix(doctor, "in %s: let %s name another path", doctor->config->path, place->key);
}

static void say_missing(struct doctor *doctor, const struct place *place, const struct user *user,
			const char *directory)
{
	char parent[PATH_MAX];
	directory_of(directory, parent);
	// Made before culvert becomes another user, so it is who asks that has to be able to.
	if (place->may_lack_directory && access(parent, W_OK | X_OK) == 0) {
		doctor_say(doctor, STATUS_OK, place->subject, "culvert makes the directory %s",
			   directory);
		return;
	}
	doctor_say(doctor, place->status, place->subject, "there is no directory %s", directory);
	doctor_fix(doctor, "install -d -m 755 -o %s %s", user->name, directory);
}

// Whether it holds nothing but what belongs to the path. Else, as with /var/log, it is not to be
// given to anybody; nor is one that cannot be looked into.
static bool is_for_it_alone(const char *directory, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	const struct dirent *entry;
	DIR *stream = opendir(directory);
	bool is_alone = stream;
	while (is_alone && (entry = readdir(stream))) {
		const char *other = entry->d_name; // flows.log.1 belongs to it
		is_alone = strcmp(other, ".") == 0 || strcmp(other, "..") == 0 ||
			   strncmp(other, name, strlen(name)) == 0;
	}
	if (stream)
		closedir(stream);
	return is_alone;
}

static void say_denied(struct doctor *doctor, const struct place *place, const struct user *user,
		       const char *directory)
{
	char barrier[PATH_MAX];
	if (find_barrier(user, directory, barrier)) {
		doctor_say(doctor, place->status, place->subject, "%s keeps user %s out", barrier,
			   user->name);
		fix_by_another_path(doctor, place);
		return;
	}
	doctor_say(doctor, place->status, place->subject, "user %s may not write in %s", user->name,
		   directory);
	if (is_for_it_alone(directory, place->path))
		doctor_fix(doctor, "chown %s %s", user->name, directory);
	else
		doctor_fix(doctor,
			   "install -d -m 755 -o %s %s/culvert # and in %s: let %s be there",
			   user->name, directory, doctor->config->path, place->key);
}

static void check_directory(struct doctor *doctor, const struct place *place,
			    const struct user *user)
{
	char directory[PATH_MAX];
	struct stat file;
	directory_of(place->path, directory);
	int code = try_access(user, directory, W_OK | X_OK);
	if (stat(directory, &file) == 0 && !S_ISDIR(file.st_mode))
		code = -ENOTDIR;
	switch (code) {
	case 0:
		doctor_say(doctor, STATUS_OK, place->subject, "user %s may make it", user->name);
		break;
	case -ENOENT:
		say_missing(doctor, place, user, directory);
		break;
	case -EACCES:
		say_denied(doctor, place, user, directory);
		break;
	default:
		doctor_say(doctor, place->status, place->subject, "%s: %s", directory,
			   strerrordesc_np(-code));
		fix_by_another_path(doctor, place);
		break;
	}
}

// ---- the API's socket --------------------------------------------------------------------------

// The process that answers there (0: unseen), or -errno.
static int holder_of(const char *path)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int code = 0;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		code = errno == EAGAIN ? 0 : -errno; // full: somebody is there
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		code = peer.pid;
	close(fd);
	return code;
}

static void say_held(struct doctor *doctor, const struct place *place, int process)
{
	char name[PROCESS_NAME_MAX];
	if (process && process_serves(doctor, process)) {
		doctor_say(doctor, STATUS_OK, place->subject, "culvert has it (process %d)",
			   process);
		return;
	}
	if (process)
		doctor_say(doctor, place->status, place->subject,
			   "%s (process %d) has it; culvert goes on without a socket",
			   process_name(doctor, process, name), process);
	else
		doctor_say(doctor, place->status, place->subject,
			   "another process has it; culvert goes on without a socket");
	fix_by_another_path(doctor, place);
}

static void check_socket(struct doctor *doctor, const struct user *user)
{
	struct stat file;
	char subject[SUBJECT_MAX];
	const char *path = doctor->config->api_socket;
	if (!path)
		return;
	snprintf(subject, sizeof(subject), "socket %s", path);
	// Without it culvert starts all the same.
	const struct place place = {path, subject, "[api] socket", STATUS_WARNING, true};
	bool is_there = lstat(path, &file) == 0;
	if (is_there && !S_ISSOCK(file.st_mode)) {
		doctor_say(doctor, place.status, subject, "something else is there");
		fix_by_another_path(doctor, &place);
		return;
	}
	int process = is_there ? holder_of(path) : -ENOENT;
	if (process >= 0)
		say_held(doctor, &place, process);
	else if (process == -EACCES)
		doctor_say(doctor, STATUS_SKIPPED, subject, "who has it can only be seen as root");
	else // it takes the place of one that nobody listens on any more
		check_directory(doctor, &place, user);
}

// ---- logs --------------------------------------------------------------------------------------

// A file that is there, in a directory that the user gets into.
static void check_file(struct doctor *doctor, const struct place *place, const struct user *user)
{
	if (try_access(user, place->path, W_OK) == 0) {
		doctor_say(doctor, STATUS_OK, place->subject, "user %s may write to it",
			   user->name);
		return;
	}
	doctor_say(doctor, place->status, place->subject, "user %s may not write to it",
		   user->name);
	doctor_fix(doctor, "chown %s %s", user->name, place->path);
}

static void check_flow_log(struct doctor *doctor, const struct user *user)
{
	struct stat file;
	char subject[SUBJECT_MAX];
	const char *path = doctor->config->flow_log.path;
	if (!path)
		return;
	snprintf(subject, sizeof(subject), "flow log %s", path);
	const struct place place = {path, subject, "[flow_log] path", STATUS_ERROR, user->is_other};
	if (stat(path, &file) || try_access(user, path, F_OK)) {
		check_directory(doctor, &place, user);
	} else if (S_ISDIR(file.st_mode)) {
		doctor_say(doctor, place.status, subject, "this is a directory");
		fix_by_another_path(doctor, &place);
	} else {
		check_file(doctor, &place, user);
	}
}

// As culvert opens it, for a moment; nothing is sent.
static void check_log(struct doctor *doctor)
{
	static const struct log_settings own = {.level = LOG_ERROR};
	struct log_settings settings = {.level = LOG_ERROR, .output = doctor->config->log_output};
	struct err err = {0};
	if (settings.output == LOG_TO_STDERR)
		return;
	if (log_open(&settings, &err)) {
		doctor_say(doctor, STATUS_ERROR, "log", "%s", err.message);
		doctor_fix(doctor, "in %s: [log] output = \"stderr\" # or start that daemon",
			   doctor->config->path);
		return;
	}
	(void)log_open(&own, NULL);
	doctor_say(doctor, STATUS_OK, "log", "it is taken");
}

void check_paths(struct doctor *doctor)
{
	struct user user;
	check_log(doctor);
	if (!find_user(doctor, &user))
		return;
	check_socket(doctor, &user);
	check_flow_log(doctor, &user);
}
