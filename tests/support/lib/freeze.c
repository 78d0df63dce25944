// SPDX-License-Identifier: Apache-2.0
#include "freeze.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "culvert/base/clock.h"

enum { PATIENCE_S = 60 };

static bool has_name(pid_t thread, const char *name)
{
	char path[64];
	char found[32] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)thread);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, found, sizeof(found) - 1) : 0;
	if (fd >= 0)
		close(fd);
	return n > 0 && (size_t)n == strlen(name) + 1 && strncmp(found, name, strlen(name)) == 0;
}

static pid_t find_thread(const char *name)
{
	pid_t thread = -1;
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	// One directory, one thread.
	while (dir && thread < 0 && (entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
		pid_t number = (pid_t)strtol(entry->d_name, NULL, 10);
		if (has_name(number, name))
			thread = number;
	}
	if (dir)
		closedir(dir);
	return thread;
}

// Whether the thread waits for events, by the number of the system call that it is in.
static bool is_waiting(pid_t thread)
{
	char path[64];
	long number = -1;
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)thread);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "%ld", &number) != 1) // NOLINT(cert-err34-c): else it says "running"
		number = -1;
	fclose(file);
#ifdef SYS_epoll_wait
	if (number == SYS_epoll_wait)
		return true;
#endif
	return number == SYS_epoll_pwait;
}

// One that stood still in the midst of its work would hold up whoever waits for all threads.
static bool await_waiting(pid_t thread)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_S * NS_PER_SEC;
	while (!is_waiting(thread)) {
		if (clock_now_ns() > deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

enum { READY, LIFELINE, FIRST_OTHER }; // the tracer's only descriptors

// Until the lifeline is cut: then the tracer ends, and what it has stopped goes on. It keeps no
// descriptor of the test open beyond the test's own close().
static void hold(pid_t thread, int ready, int lifeline)
{
	char byte = 0;
	int status;
	(void)dup2(ready, READY);
	(void)dup2(lifeline, LIFELINE);
	if (close_range(FIRST_OTHER, ~0U, 0) == 0 &&
	    ptrace(PTRACE_SEIZE, thread, NULL, NULL) == 0 &&
	    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) == 0 &&
	    waitpid(thread, &status, __WALL) == thread && write(READY, &byte, 1) == 1) {
		close(READY);
		while (read(LIFELINE, &byte, 1) > 0)
			;
	}
	_exit(0);
}

bool freeze_start(struct freeze *freeze, const char *thread_name)
{
	int ready[2];
	int lifeline[2];
	char byte;
	pid_t thread = find_thread(thread_name);
	if (thread < 0 || !await_waiting(thread) || pipe2(ready, O_CLOEXEC))
		return false;
	if (pipe2(lifeline, O_CLOEXEC))
		abort();
	pid_t tracer = fork();
	if (tracer == 0)
		hold(thread, ready[1], lifeline[0]);
	close(lifeline[0]);
	close(ready[1]);
	*freeze = (struct freeze){tracer, lifeline[1]};
	bool is_frozen = tracer > 0 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!is_frozen)
		freeze_end(freeze);
	return is_frozen;
}

void freeze_end(struct freeze *freeze)
{
	close(freeze->lifeline);
	if (freeze->tracer > 0)
		waitpid(freeze->tracer, NULL, 0);
}
