// SPDX-License-Identifier: Apache-2.0
#include "culvert/base/thread.h"

#include <signal.h>
#include <stddef.h>

int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
		 struct err *err)
{
	// A thread inherits the mask of its creator: block all, create, put back.
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return err_sys(err, -code, "cannot start thread %s", name);

	// A longer name is refused by the system; that costs a nicer listing and nothing else.
	(void)pthread_setname_np(*thread, name);
	return 0;
}
