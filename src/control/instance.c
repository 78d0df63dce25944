// SPDX-License-Identifier: Apache-2.0
// The place is a name in the abstract namespace of Unix sockets (unix(7)): that belongs to the
// network namespace, no file stays behind, and who listens there can be asked for its process.
#include "culvert/control/instance.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char name[] = "culvert";

enum { ASKERS_MAX = 16 }; // at a time

static socklen_t fill_address(struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(addr->sun_path + 1, name, sizeof(name) - 1); // the first byte stays 0: abstract
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name));
}

int instance_holder(void)
{
	struct sockaddr_un addr;
	socklen_t len = fill_address(&addr);
	struct ucred peer = {0};
	socklen_t peer_len = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)&addr, len))
		peer.pid = errno == ECONNREFUSED ? -ENOENT : 0;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len))
		peer.pid = 0;
	close(fd);
	return peer.pid;
}

int instance_claim(struct err *err)
{
	struct sockaddr_un addr;
	socklen_t len = fill_address(&addr);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open a Unix socket");
	if (bind(fd, (const struct sockaddr *)&addr, len) == 0 && listen(fd, ASKERS_MAX) == 0)
		return fd;
	int code = -errno;
	close(fd);
	if (code != -EADDRINUSE)
		return err_sys(err, code, "cannot claim this network namespace");
	int process = instance_holder();
	char text[32] = "";
	if (process > 0)
		snprintf(text, sizeof(text), " (process %d)", process);
	return err_set(err, -EBUSY,
		       "culvert runs already in this network namespace%s; stop it first, one "
		       "process serves all frontends of a file",
		       text);
}

void instance_answer(int fd)
{
	int asker;
	while ((asker = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(asker);
}
