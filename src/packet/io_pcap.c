// SPDX-License-Identifier: Apache-2.0
// Capture files instead of interfaces: each link reads one and writes another. Files of link type
// USER0 carry a virtio_net_hdr before each Ethernet header, so that checksum and segmentation
// state can be told; Ethernet files have none. What is written has the type of what was read.
#include <errno.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/packet/io.h"
#include "packet/packet.h"

enum { MAX_LINKS = 16, SNAP_LENGTH = 262144 };

struct pcap_link {
	pcap_t *in;         // owned
	pcap_dumper_t *out; // owned; NULL: nothing is written
	bool has_vnet;
	bool is_finished;
};

struct io {
	uint32_t n_links;
	struct pcap_link links[MAX_LINKS];
	uint8_t scratch[sizeof(struct virtio_net_hdr) + PACKET_SLOT_BYTES]; // transmit's
};

static void pcap_close_all(struct io *io)
{
	if (!io)
		return;
	for (uint32_t i = 0; i < io->n_links; i++) {
		if (io->links[i].out)
			pcap_dump_close(io->links[i].out);
		if (io->links[i].in)
			pcap_close(io->links[i].in);
	}
	free(io);
}

static int open_link(struct pcap_link *link, const struct io_link *from, struct err *err)
{
	char reason[PCAP_ERRBUF_SIZE];
	link->in = pcap_open_offline(from->name, reason);
	if (!link->in)
		return err_set(err, -EINVAL, "cannot read the capture file: %s", reason);
	link->has_vnet = pcap_datalink(link->in) == DLT_USER0;
	if (!link->has_vnet && pcap_datalink(link->in) != DLT_EN10MB)
		return err_set(err, -EINVAL, "%s holds neither Ethernet frames nor link type USER0",
			       from->name);
	if (!from->write_to)
		return 0;
	link->out = pcap_dump_open(link->in, from->write_to);
	if (!link->out)
		return err_set(err, -EIO, "cannot write the capture file: %s",
			       pcap_geterr(link->in));
	return 0;
}

static int pcap_open_links(struct io **io, const struct io_link *links, uint32_t n_links,
			   struct err *err)
{
	if (n_links > MAX_LINKS)
		return err_set(err, -E2BIG, "more than %d capture files", MAX_LINKS);
	struct io *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "not enough memory for the capture files");
	for (uint32_t i = 0; i < n_links; i++) {
		made->n_links++;
		int code = open_link(&made->links[i], &links[i], err);
		if (code) {
			pcap_close_all(made);
			return code;
		}
	}
	*io = made;
	return 0;
}

// A record may be shorter than a vnet header, or cut by whoever captured it.
static void fill_packet(struct packet *packet, const struct pcap_link *link,
			const struct pcap_pkthdr *header, const u_char *bytes)
{
	uint32_t skip = link->has_vnet ? sizeof(packet->vnet) : 0;
	memset(&packet->vnet, 0, sizeof(packet->vnet));
	packet->len = 0;
	if (header->caplen < skip)
		return;
	memcpy(&packet->vnet, bytes, skip);
	packet->len = header->caplen - skip;
	if (header->caplen < header->len || packet->len > PACKET_FRAME_MAX)
		packet->len = PACKET_FRAME_MAX + 1;
	else
		memcpy(packet->frame, bytes + skip, packet->len);
}

static int pcap_recv_burst(struct io *io, uint32_t index, struct packet *const *packets, uint32_t n)
{
	struct pcap_link *link = &io->links[index];
	uint32_t received = 0;
	while (received < n && !link->is_finished) {
		struct pcap_pkthdr *header;
		const u_char *bytes;
		if (pcap_next_ex(link->in, &header, &bytes) == 1)
			fill_packet(packets[received++], link, header, bytes);
		else
			link->is_finished = true;
	}
	return received ? (int)received : -ENODATA;
}

static void pcap_wait(struct io *io, int wake_fd, int timeout_ms)
{
	(void)io;
	struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
	(void)poll(&wake, 1, timeout_ms);
}

static void write_frame(struct io *io, const struct pcap_link *link, const struct packet *packet,
			uint32_t i)
{
	struct packet_frame frame = packet_frame_at(packet, i);
	uint32_t skip = link->has_vnet ? sizeof(packet->vnet) : 0;
	uint32_t len = skip + frame.header_len + frame.piece_len;
	struct pcap_pkthdr header = {.caplen = len, .len = len};
	uint8_t *at = io->scratch;
	memcpy(at, &packet->vnet, skip);
	memcpy(at + skip, frame.header, frame.header_len);
	if (frame.piece_len)
		memcpy(at + skip + frame.header_len, frame.piece, frame.piece_len);
	pcap_dump((u_char *)link->out, &header, io->scratch);
}

static void pcap_send_burst(struct io *io, uint32_t index, struct packet *const *packets,
			    uint32_t n)
{
	struct pcap_link *link = &io->links[index];
	for (uint32_t i = 0; i < n && link->out; i++) {
		for (uint32_t k = 0; k < packet_n_frames(packets[i]); k++)
			write_frame(io, link, packets[i], k);
	}
}

static uint64_t pcap_kernel_drops(struct io *io)
{
	(void)io;
	return 0;
}

const struct io_driver io_pcap = {
	.name = "pcap",
	.open = pcap_open_links,
	.close = pcap_close_all,
	.recv_burst = pcap_recv_burst,
	.wait = pcap_wait,
	.send_burst = pcap_send_burst,
	.kernel_drops = pcap_kernel_drops,
};
