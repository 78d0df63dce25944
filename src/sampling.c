// SPDX-License-Identifier: Apache-2.0
#include "sampling.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "culvert/base/log.h"
#include "culvert/packet/query.h"

enum { AGAIN_US = 2000, MS_PER_S = 1000, US_PER_MS = 1000 };

struct sampling {
	struct engine *engine;
	int wake_fd;
	struct event *wake;          // enough has come
	struct event *timer;         // or time is up; and to come again for what a thread still has
	struct sample *sample;       // owned; NULL: none is under way
	struct api_request *request; // NULL: nobody waits
};

static void answer(struct sampling *sampling)
{
	char *bytes = NULL;
	size_t size = 0;
	if (!sampling->request)
		return;
	if (sample_to_pcap(sampling->sample, &bytes, &size))
		api_answer_error(sampling->request, 503, "ask for fewer packets",
				 "not enough memory for the sample");
	else
		api_answer_bytes(sampling->request, 200, "application/vnd.tcpdump.pcap", bytes,
				 size);
	sampling->request = NULL;
	free(bytes);
}

static void finish(struct sampling *sampling)
{
	static const struct timeval again = {.tv_usec = AGAIN_US};
	if (!sampling->sample)
		return;
	if (!engine_disarm(sampling->engine, sampling->sample)) {
		event_add(sampling->timer, &again);
		return;
	}
	event_del(sampling->timer);
	answer(sampling);
	sample_destroy(sampling->sample);
	sampling->sample = NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct sampling *sampling = arg;
	uint64_t rung;
	(void)!read(fd, &rung, sizeof(rung));
	// A bell that is rung late may be about the sample before.
	if (sampling->sample && sample_is_full(sampling->sample))
		finish(sampling);
}

void sampling_begin(struct sampling *sampling, const struct api_sample_query *asked,
		    struct api_request *request)
{
	struct timeval duration = {
		.tv_sec = asked->duration_ms / MS_PER_S,
		.tv_usec = (suseconds_t)(asked->duration_ms % MS_PER_S) * US_PER_MS,
	};
	if (sampling->request && api_request_is_abandoned(sampling->request))
		finish(sampling);
	if (sampling->sample) {
		api_answer_error(request, 409, "wait until it has ended",
				 "another sample is under way");
		return;
	}
	struct sample *sample = sample_create(asked->reason, asked->n_packets, sampling->wake_fd);
	if (!sample || event_add(sampling->timer, &duration)) {
		sample_destroy(sample);
		api_answer_error(request, 503, "ask for fewer packets",
				 "not enough memory for a sample");
		return;
	}
	sampling->sample = sample;
	sampling->request = request;
	engine_arm(sampling->engine, sample);
	log_info("api", "a sample of %s: %u packets, or %u ms", verdict_name(asked->reason),
		 asked->n_packets, asked->duration_ms);
}

// ---- opening and closing -----------------------------------------------------------------------

int sampling_open(struct sampling **sampling, struct event_base *base, struct engine *engine,
		  struct err *err)
{
	struct sampling *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for samples");
	made->engine = engine;
	made->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (made->wake_fd < 0) {
		int code = err_sys(err, -errno, "cannot open an eventfd");
		free(made);
		return code;
	}
	made->wake = event_new(base, made->wake_fd, EV_READ | EV_PERSIST, on_wake, made);
	made->timer = evtimer_new(base, on_timer, made);
	if (!made->wake || !made->timer || event_add(made->wake, NULL)) {
		sampling_close(made);
		return err_set(err, -ENOMEM, "not enough memory for samples");
	}
	*sampling = made;
	return 0;
}

void sampling_forget(struct sampling *sampling)
{
	if (!sampling)
		return;
	sampling->request = NULL;
	event_del(sampling->timer);
}

void sampling_close(struct sampling *sampling)
{
	if (!sampling)
		return;
	sample_destroy(sampling->sample);
	if (sampling->timer)
		event_free(sampling->timer);
	if (sampling->wake)
		event_free(sampling->wake);
	close(sampling->wake_fd);
	free(sampling);
}
