// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/line.h"

enum { MESSAGE_MAX = 1024, STATUS_MAX = 512 };

// A path, or "@" and a name in the abstract namespace. Returns 0 when it is neither.
static socklen_t fill_address(const char *name, struct sockaddr_un *addr)
{
	size_t len = strlen(name);
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(addr->sun_path))
		return 0;
	memcpy(addr->sun_path, name, len);
	if (name[0] == '@')
		addr->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void send_message(const char *message)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr;
	socklen_t len = name ? fill_address(name, &addr) : 0;
	if (len == 0)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL,
		     (const struct sockaddr *)&addr, len);
	close(fd);
}

__attribute__((format(printf, 2, 0))) static void send_status(const char *state, const char *status,
							      va_list args)
{
	char text[STATUS_MAX];
	char clean[STATUS_MAX];
	char message[MESSAGE_MAX];
	vsnprintf(text, sizeof(text), status, args);
	line_escape(text, clean, sizeof(clean));
	snprintf(message, sizeof(message), "%sSTATUS=%s", state, clean);
	send_message(message);
}

void notify_ready(const char *status, ...)
{
	va_list args;
	va_start(args, status);
	send_status("READY=1\n", status, args);
	va_end(args);
}

void notify_status(const char *status, ...)
{
	va_list args;
	va_start(args, status);
	send_status("", status, args);
	va_end(args);
}

void notify_reloading(void)
{
	char message[MESSAGE_MAX];
	snprintf(message, sizeof(message),
		 "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
		 clock_now_ns() / 1000);
	send_message(message);
}

void notify_stopping(void)
{
	send_message("STOPPING=1\nSTATUS=stopping");
}

void notify_watchdog(void)
{
	send_message("WATCHDOG=1");
}

uint64_t notify_watchdog_period_us(void)
{
	const char *process = getenv("WATCHDOG_PID");
	const char *period = getenv("WATCHDOG_USEC");
	if (!period || (process && strtol(process, NULL, 10) != (long)getpid()))
		return 0;
	return strtoull(period, NULL, 10) / 2;
}
