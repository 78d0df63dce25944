// SPDX-License-Identifier: Apache-2.0
// One culvert per network namespace, and who it is: others ask the holder of the place.
#include "culvert/control/instance.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/lib/netns.h"

enum { N_ASKED = 3, MORE_THAN_WAIT = 40 };

static void enter_namespace(void)
{
	if (!netns_enter())
		cr_skip("needs root, for a private network namespace");
}

static int claim(void)
{
	struct err err = {0};
	int fd = instance_claim(&err);
	cr_assert_geq(fd, 0, "%s", err.message);
	return fd;
}

// What another process is told; its exit status says whether that is `expected`.
static bool is_told(int (*ask)(void), int expected)
{
	pid_t child = fork();
	if (child == 0)
		_exit(ask() == expected ? 0 : 1);
	int status = -1;
	waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int try_to_claim(void)
{
	struct err err = {0};
	return instance_claim(&err);
}

Test(instance, a_free_place_has_no_holder)
{
	enter_namespace();
	cr_expect_eq(instance_holder(), -ENOENT);
	close(claim());
	cr_expect_eq(instance_holder(), -ENOENT, "who has closed it is gone");
}

Test(instance, the_holder_is_named_each_time_it_is_asked)
{
	enter_namespace();
	int fd = claim();
	for (int i = 0; i < N_ASKED; i++) {
		cr_expect(is_told(instance_holder, getpid()), "time %d", i + 1);
		instance_answer(fd);
	}
	close(fd);
}

Test(instance, a_holder_that_does_not_answer_is_named_for_some_and_keeps_its_place)
{
	enter_namespace();
	int fd = claim();
	for (int i = 0; i < N_ASKED; i++)
		cr_expect(is_told(instance_holder, getpid()), "time %d", i + 1);
	for (int i = 0; i < MORE_THAN_WAIT; i++)
		instance_holder();
	cr_expect_eq(instance_holder(), 0, "somebody is there, and cannot be asked");
	cr_expect(is_told(try_to_claim, -EBUSY));
	instance_answer(fd);
	cr_expect(is_told(instance_holder, getpid()), "all who had waited have been answered");
	close(fd);
}

Test(instance, a_second_one_is_refused_and_told_of_the_first)
{
	char process[32];
	struct err err = {0};
	enter_namespace();
	int fd = claim();
	snprintf(process, sizeof(process), "(process %d)", getpid());
	for (int i = 0; i < N_ASKED; i++) {
		cr_expect_eq(instance_claim(&err), -EBUSY);
		cr_expect(strstr(err.message, process), "%s", err.message);
		instance_answer(fd);
	}
	close(fd);
}

Test(instance, each_namespace_has_a_place_of_its_own)
{
	enter_namespace();
	int fd = claim();
	enter_namespace();
	cr_expect_eq(instance_holder(), -ENOENT);
	close(claim());
	close(fd);
}
