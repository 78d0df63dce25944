// SPDX-License-Identifier: Apache-2.0
#include "culvert/packet/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { SNAP_LENGTH = 262144 };

static void write_frontend(FILE *out, const struct endpoint *endpoint)
{
	char addr[IP_ADDR_TEXT_MAX];
	ip_addr_format(&endpoint->addr, addr);
	fprintf(out, " or (dst host %s and (%s dst port %u or (ip[6:2] & 0x3fff != 0)", addr,
		endpoint->proto == IPPROTO_TCP ? "tcp" : "udp", ntohs(endpoint->port_be));
	fprintf(out, "))");
}

static void write_head(FILE *out, const struct mac_addr *mac)
{
	char text[MAC_ADDR_TEXT_MAX];
	fprintf(out, "ether dst %s and ip and (", mac_addr_format(mac, text));
}

// The stream's text, or NULL when memory was short.
static char *finish_text(FILE *out, char **text)
{
	if (fclose(out) == 0)
		return *text;
	free(*text);
	return NULL;
}

char *filter_text(const struct config *config, const struct mac_addr *mac)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	write_head(out, mac);
	fprintf(out, "((tcp or udp) and dst portrange %u-%u)", config->passthrough.nat_port_min,
		config->passthrough.nat_port_max);
	// Destination unreachable, time exceeded, parameter problem (RFC 792).
	fprintf(out, " or (icmp and (icmp[0] == 3 or icmp[0] == 11 or icmp[0] == 12))");
	for (size_t i = 0; i < config->n_frontends; i++)
		write_frontend(out, &config->frontends[i].endpoint);
	fprintf(out, ")");
	return finish_text(out, &text);
}

char *filter_text_coarse(const struct mac_addr *mac)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	write_head(out, mac);
	fprintf(out, "tcp or udp or icmp)");
	return finish_text(out, &text);
}

// On success the program is for pcap_freecode(); on failure it is empty.
static int compile(struct bpf_program *program, const char *text, struct err *err)
{
	*program = (struct bpf_program){0};
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, SNAP_LENGTH);
	if (!dead)
		return err_set(err, -ENOMEM, "not enough memory to compile the capture filter");
	int code = 0;
	if (pcap_compile(dead, program, text, 1, PCAP_NETMASK_UNKNOWN))
		code = err_set(err, -EINVAL, "cannot compile the capture filter: %s",
			       pcap_geterr(dead));
	pcap_close(dead);
	return code;
}

int filter_check(const char *text, struct err *err)
{
	struct bpf_program program;
	int code = compile(&program, text, err);
	if (code)
		return code;
	if (program.bf_len > BPF_MAXINSNS)
		code = err_set(err, -E2BIG,
			       "the capture filter has %u instructions, %d are allowed",
			       program.bf_len, BPF_MAXINSNS);
	pcap_freecode(&program);
	return code;
}

int filter_attach(int fd, const char *text, struct err *err)
{
	struct bpf_program program;
	int code = compile(&program, text, err);
	if (code)
		return code;
	// The two structures name the same instructions.
	struct sock_fprog attached = {
		.len = (unsigned short)program.bf_len,
		.filter = (struct sock_filter *)(void *)program.bf_insns,
	};
	if (program.bf_len > BPF_MAXINSNS)
		code = err_set(err, -E2BIG, "the capture filter is too long");
	else if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)))
		code = err_sys(err, -errno, "cannot attach the capture filter");
	pcap_freecode(&program);
	return code;
}
