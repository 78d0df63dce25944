// SPDX-License-Identifier: Apache-2.0
#include "control/api_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// Where no more may wait a client is told to try again, as it is not on a port: so many that it
// never comes to that.
enum { BACKLOG = 1024, FILE_MODE = 0600, DIRECTORY_MODE = 0755 };

static int make_directory(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	const char *slash = strrchr(path, '/');
	char directory[sizeof(addr.sun_path)];
	if (!slash || slash == path)
		return 0;
	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
	if (mkdir(directory, DIRECTORY_MODE) == 0 || errno == EEXIST)
		return 0;
	return err_sys(err, -errno, "cannot make the directory %s", directory);
}

// 0 when the place is free now, having removed what nobody listens on any more.
static int clear_place(int fd, const struct sockaddr_un *addr, struct err *err)
{
	struct stat status;
	const char *path = addr->sun_path;
	if (lstat(path, &status))
		return errno == ENOENT ? 0 : err_sys(err, -errno, "cannot look at %s", path);
	if (!S_ISSOCK(status.st_mode))
		return err_set(err, -EEXIST, "%s is there, and is not a socket", path);
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return err_set(err, -EADDRINUSE, "another process answers at %s", path);
	if (errno != ECONNREFUSED)
		return err_sys(err, -errno, "cannot tell whether somebody answers at %s", path);
	if (unlink(path) && errno != ENOENT)
		return err_sys(err, -errno, "cannot remove what is left of %s", path);
	return 0;
}

static int open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int claim_place(const char *path, struct sockaddr_un *addr, struct err *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return err_set(err, -ENAMETOOLONG, "%s is too long for a socket", path);
	memcpy(addr->sun_path, path, strlen(path));
	int fd = open_socket();
	if (fd < 0)
		return err_sys(err, -errno, "cannot open a Unix socket");
	int code = clear_place(fd, addr, err);
	close(fd);
	return code;
}

// Who has once run it as another user has left a directory that is this user's no more.
static int fail_to_listen(const char *path, int code, struct err *err)
{
	struct stat status;
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
	const char *slash = strrchr(path, '/');
	if (slash)
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
	if (code != -EACCES || stat(directory, &status) || status.st_uid == geteuid())
		return err_sys(err, code, "cannot listen at %s", path);
	return err_set(err, code,
		       "cannot listen at %s: %s belongs to user %u, and this is user %u (chown %u "
		       "%s)",
		       path, directory, status.st_uid, geteuid(), geteuid(), directory);
}

int api_socket_open(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	int code = make_directory(path, err);
	if (!code)
		code = claim_place(path, &addr, err);
	if (code)
		return code;
	int fd = open_socket();
	// The file that bind() makes has the mode of the descriptor from the start: nobody slips
	// in.
	if (fd >= 0 && fchmod(fd, FILE_MODE) == 0 &&
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	code = -errno;
	if (fd >= 0)
		close(fd);
	return fail_to_listen(path, code, err);
}

void api_socket_remove(const char *path)
{
	struct sockaddr_un addr;
	(void)claim_place(path, &addr, NULL);
}
