// SPDX-License-Identifier: Apache-2.0
// What the service manager hears, by a path and by an abstract name; and that silence harms nobody.
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "culvert/base/clock.h"
#include "culvert/base/notify.h"

enum { MESSAGE_MAX = 2048 };

static char got[MESSAGE_MAX];

// "@NAME" is abstract.
static int listen_at(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	strcpy(addr.sun_path, name);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *receive(int fd)
{
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
	got[n > 0 ? n : 0] = '\0';
	return got;
}

static int listen_abstract(void)
{
	char name[64];
	snprintf(name, sizeof(name), "@culvert-notify-%d", (int)getpid());
	return listen_at(name);
}

Test(notify, the_manager_hears_by_an_abstract_name)
{
	int fd = listen_abstract();
	notify_ready("%d backends", 3);
	cr_assert_str_eq(receive(fd), "READY=1\nSTATUS=3 backends");
	notify_status("draining");
	cr_assert_str_eq(receive(fd), "STATUS=draining");
	notify_watchdog();
	cr_assert_str_eq(receive(fd), "WATCHDOG=1");
	notify_stopping();
	cr_assert_str_eq(receive(fd), "STOPPING=1\nSTATUS=stopping");
	close(fd);
}

Test(notify, the_manager_hears_by_a_path)
{
	char directory[] = "/tmp/culvert-notify-XXXXXX";
	char path[64];
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	int fd = listen_at(path);
	notify_ready("up");
	cr_assert_str_eq(receive(fd), "READY=1\nSTATUS=up");
	close(fd);
	unlink(path);
	rmdir(directory);
}

Test(notify, reloading_has_the_time_at_which_it_began)
{
	int fd = listen_abstract();
	uint64_t before = clock_now_ns() / 1000;
	static const char expected[] = "RELOADING=1\nMONOTONIC_USEC=";
	notify_reloading();
	cr_assert_eq(strncmp(receive(fd), expected, strlen(expected)), 0, "%s", got);
	uint64_t at = strtoull(got + strlen(expected), NULL, 10);
	cr_assert(at >= before && at <= clock_now_ns() / 1000);
	close(fd);
}

Test(notify, a_status_cannot_bring_a_state_of_its_own)
{
	int fd = listen_abstract();
	notify_status("%s", "x\nSTOPPING=1");
	cr_assert_str_eq(receive(fd), "STATUS=x\\nSTOPPING=1");
	close(fd);
}

Test(notify, nobody_listening_is_no_trouble, .timeout = 30)
{
	static const char *const names[] = {"/nonexistent/socket", "@culvert-nobody", "",
					    "relative"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_ready("up");
	}
	char longest[300];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	notify_ready("up");
	unsetenv("NOTIFY_SOCKET");
	notify_ready("up");
	int fd = listen_abstract(); // and one that is full
	for (int i = 0; i < 10000; i++)
		notify_watchdog();
	close(fd);
}

Test(notify, the_watchdog_is_for_the_process_that_it_names)
{
	char own[32];
	snprintf(own, sizeof(own), "%d", (int)getpid());
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	cr_assert_eq(notify_watchdog_period_us(), 0);
	setenv("WATCHDOG_USEC", "3000000", 1);
	cr_assert_eq(notify_watchdog_period_us(), 1500000);
	setenv("WATCHDOG_PID", own, 1);
	cr_assert_eq(notify_watchdog_period_us(), 1500000);
	setenv("WATCHDOG_PID", "1", 1);
	cr_assert_eq(notify_watchdog_period_us(), 0);
}
