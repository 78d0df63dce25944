// SPDX-License-Identifier: Apache-2.0
#include "frame_log.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

enum { SNAP_LENGTH = 262144, PATH_MAX_LEN = 200 };

struct frame_log {
	pcap_t *dead; // owned, as the rest
	pcap_dumper_t *frames;
	FILE *notes;
};

__attribute__((noreturn)) static void give_up(const char *path)
{
	perror(path);
	abort();
}

struct frame_log *frame_log_open(const char *dir)
{
	char path[PATH_MAX_LEN];
	struct frame_log *log = calloc(1, sizeof(*log));
	if (!log)
		give_up(dir);
	snprintf(path, sizeof(path), "%s/frames.txt", dir);
	log->notes = fopen(path, "we");
	if (!log->notes)
		give_up(path);
	snprintf(path, sizeof(path), "%s/frames.pcap", dir);
	log->dead = pcap_open_dead(DLT_EN10MB, SNAP_LENGTH);
	log->frames = log->dead ? pcap_dump_open(log->dead, path) : NULL;
	if (!log->frames)
		give_up(path);
	return log;
}

void frame_log_close(struct frame_log *log)
{
	if (!log)
		return;
	pcap_dump_close(log->frames);
	pcap_close(log->dead);
	if (fclose(log->notes))
		give_up("frames.txt");
	free(log);
}

void frame_log_add(struct frame_log *log, const struct frame_note *note, const uint8_t *frame,
		   uint32_t len, const struct virtio_net_hdr *vnet)
{
	struct pcap_pkthdr header = {.caplen = len, .len = len};
	if (!log)
		return;
	pcap_dump((u_char *)log->frames, &header, frame);
	fprintf(log->notes, "%s\t%u\t%s:%u\t%s\t%s\n", note->is_output ? "out" : "in", vnet->flags,
		note->table, note->line, note->test, note->text);
}
