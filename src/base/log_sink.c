// SPDX-License-Identifier: Apache-2.0
#include "base/log_sink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool log_sink_is_journal_stream(int fd)
{
	const char *text = getenv("JOURNAL_STREAM");
	struct stat status;
	char own[64];
	if (!text || fstat(fd, &status))
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	return strcmp(own, text) == 0;
}

static int fill_address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	size_t len = strlen(path);
	if (len >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, path, len);
	return 0;
}

// Not connected: who listens there may be started again meanwhile.
int log_sink_open_socket(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	int code = fill_address(&addr, path);
	if (code)
		return err_sys(err, code, "cannot log to %s", path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open a socket for the log");
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		code = -errno;
		close(fd);
		return err_sys(err, code, "cannot log to %s (is its daemon running?)", path);
	}
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	(void)connect(fd, &none, sizeof(none));
	return fd;
}

int log_sink_send(int fd, const char *path, const char *message, size_t len)
{
	struct sockaddr_un addr;
	int code = fill_address(&addr, path);
	if (code)
		return code;
	ssize_t n = sendto(fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL,
			   (const struct sockaddr *)&addr, sizeof(addr));
	return n < 0 ? -errno : 0;
}

// The open file may be shared with a shell, so it is not for us to make it non-blocking. A pipe
// that is said to be writable takes LOG_LINE_MAX bytes.
int log_sink_write(int fd, const char *line, size_t len)
{
	struct pollfd ask = {.fd = fd, .events = POLLOUT};
	if (poll(&ask, 1, 0) != 1 || !(ask.revents & POLLOUT))
		return -EAGAIN;
	return write(fd, line, len) == (ssize_t)len ? 0 : -EIO;
}
