// SPDX-License-Identifier: Apache-2.0
#include "rig_traffic.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { N_CLIENTS = 3000, AT_A_TIME = 64 };

static const uint8_t flags[] = {TCP_FLAG_SYN, TCP_FLAG_ACK, TCP_FLAG_RST};

enum { N_SEGMENTS = sizeof(flags) / sizeof(flags[0]) };

static void *run(void *arg)
{
	struct rig_traffic *traffic = arg;
	const struct rig *rig = traffic->rig;
	uint8_t frame[256];
	struct virtio_net_hdr vnet;
	for (uint32_t i = 0; !atomic_load(&traffic->is_stopping); i++) {
		struct frame_spec spec =
			traffic->spec(i / N_SEGMENTS % N_CLIENTS, flags[i % N_SEGMENTS]);
		spec.dst_mac = rig->scene->link_macs[SCENE_FRONT];
		uint32_t len = frame_build(&spec, frame, &vnet);
		mem_io_push(rig->io, SCENE_FRONT, frame, len, &vnet);
		traffic->n_pushed++;
		if (i % AT_A_TIME == 0)
			sched_yield();
	}
	return NULL;
}

void rig_traffic_start(struct rig_traffic *traffic, struct rig *rig, rig_traffic_spec_fn spec)
{
	*traffic = (struct rig_traffic){.rig = rig, .spec = spec};
	mem_io_forget_sent(rig->io);
	if (pthread_create(&traffic->thread, NULL, run, traffic))
		abort();
}

void rig_traffic_stop(struct rig_traffic *traffic)
{
	atomic_store(&traffic->is_stopping, true);
	pthread_join(traffic->thread, NULL);
	traffic->rig->n_pushed = traffic->n_pushed;
}
