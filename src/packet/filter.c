// SPDX-License-Identifier: Apache-2.0
#include "culvert/packet/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "culvert/net/ipv6_extension.h"

enum { SNAP_LENGTH = 262144, VLAN_ID_MASK = 0x0fff };

// What of one family is looked at.
struct family {
	bool is_v4;
	const char *errors; // ICMP errors (RFC 792, RFC 4443)
};

static const struct family families[] = {
	{true, "ip and ((icmp and (icmp[0] == 3 or icmp[0] == 11 or icmp[0] == 12))"},
	{false, "ip6 and ((icmp6 and ip6[40] >= 1 and ip6[40] <= 4)"},
};

// Fragments, and other packets in which pcap finds no port.
static void write_portless(FILE *out, const struct family *family)
{
	if (family->is_v4) {
		fputs("ip[6:2] & 0x3fff != 0", out);
		return;
	}
	for (size_t i = 0; i < N_IPV6_EXTENSIONS; i++)
		fprintf(out, "%sip6[6] == %u", i ? " or " : "", ipv6_extensions[i]);
}

static void write_frontend(FILE *out, const struct family *family, const struct endpoint *endpoint)
{
	char addr[IP_ADDR_TEXT_MAX];
	if (ip_addr_is_v4(&endpoint->addr) != family->is_v4)
		return;
	ip_addr_format(&endpoint->addr, addr);
	fprintf(out, " or (dst host %s and (%s dst port %u or (", addr,
		endpoint->proto == IPPROTO_TCP ? "tcp" : "udp", ntohs(endpoint->port_be));
	write_portless(out, family);
	fputs(")))", out);
}

// Replies in fragments: to the addresses we speak from, or to any where these are found at run
// time. Without the first of those that are not ours, the others would wait for it.
static void write_fragmented_replies(FILE *out, const struct config_passthrough *passthrough,
				     const struct family *family)
{
	char addr[IP_ADDR_TEXT_MAX];
	if (passthrough->n_snat_addrs == 0) {
		fputs(" or ", out);
		write_portless(out, family);
	}
	for (size_t i = 0; i < passthrough->n_snat_addrs; i++) {
		const struct ip_addr *snat = &passthrough->snat_addrs[i];
		if (ip_addr_is_v4(snat) != family->is_v4)
			continue;
		fprintf(out, " or (dst host %s and (", ip_addr_format(snat, addr));
		write_portless(out, family);
		fputs("))", out);
	}
}

static void write_replies(FILE *out, const struct config_passthrough *passthrough,
			  const struct family *family)
{
	fprintf(out, " or ((tcp or udp) and dst portrange %u-%u)", passthrough->nat_port_min,
		passthrough->nat_port_max);
	write_fragmented_replies(out, passthrough, family);
}

static bool has_frontend(const struct endpoint *vips, size_t n, const struct family *family)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_addr_is_v4(&vips[i].addr) == family->is_v4)
			return true;
	}
	return false;
}

static void write_family(FILE *out, const struct config *config, const struct endpoint *vips,
			 size_t n, const struct family *family)
{
	fprintf(out, "(%s", family->errors);
	if (config->mode != MODE_DSR)
		write_replies(out, &config->passthrough, family);
	for (size_t i = 0; i < n; i++)
		write_frontend(out, family, &vips[i]);
	fprintf(out, "))");
}

// The stream's text, or NULL when memory was short.
static char *finish_text(FILE *out, char **text)
{
	if (fclose(out) == 0)
		return *text;
	free(*text);
	return NULL;
}

char *filter_text(const struct config *config, const struct endpoint *vips, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	const char *separator = "";
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (!has_frontend(vips, n, &families[i]))
			continue;
		fputs(separator, out);
		write_family(out, config, vips, n, &families[i]);
		separator = " or ";
	}
	return finish_text(out, &text);
}

char *filter_text_coarse(void)
{
	return strdup("(ip and (tcp or udp or icmp)) or ip6");
}

// A frame with a VLAN tag belongs to the interface of that VLAN, where it is seen again without;
// one whose tag names no VLAN, but only a priority, is the link's own (IEEE 802.1Q clause 6.9.1).
// The kernel has moved the tag out of the frame, where no pcap expression of a file can see it.
// These instructions stand in front of the compiled ones, whose jumps are relative.
static const struct sock_filter own_vlan_only[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG)),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, VLAN_ID_MASK, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

enum { N_PREFIXED = sizeof(own_vlan_only) / sizeof(own_vlan_only[0]) };

// On success the program is for pcap_freecode(); on failure it is empty.
static int compile(struct bpf_program *program, const char *text, struct err *err)
{
	*program = (struct bpf_program){0};
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, SNAP_LENGTH);
	if (!dead) {
		err_set(err, -ENOMEM, "not enough memory to compile the capture filter");
		return -ENOMEM;
	}
	int code = 0;
	if (pcap_compile(dead, program, text, 1, PCAP_NETMASK_UNKNOWN))
		code = err_set(err, -EINVAL, "cannot compile the capture filter: %s",
			       pcap_geterr(dead));
	pcap_close(dead);
	return code;
}

static int check_length(const struct bpf_program *program, struct err *err)
{
	unsigned most = BPF_MAXINSNS - N_PREFIXED;
	if (program->bf_len <= most)
		return 0;
	return err_set(err, -E2BIG, "the capture filter has %u instructions, %u are allowed",
		       program->bf_len, most);
}

int filter_check(const char *text, struct err *err)
{
	struct bpf_program program;
	int code = compile(&program, text, err);
	if (code)
		return code;
	code = check_length(&program, err);
	pcap_freecode(&program);
	return code;
}

static int attach(int fd, const struct bpf_program *program, struct err *err)
{
	struct sock_filter *all = calloc(program->bf_len + N_PREFIXED, sizeof(*all));
	if (!all)
		return err_set(err, -ENOMEM, "not enough memory for the capture filter");
	// The structures of libpcap and the kernel name the same instructions.
	_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "one layout");
	memcpy(all, own_vlan_only, sizeof(own_vlan_only));
	memcpy(all + N_PREFIXED, program->bf_insns, program->bf_len * sizeof(*all));
	struct sock_fprog attached = {(unsigned short)(program->bf_len + N_PREFIXED), all};
	int code = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)))
		code = err_sys(err, -errno, "cannot attach the capture filter");
	free(all);
	return code;
}

int filter_attach_none(int fd, struct err *err)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog attached = {1, &none};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)))
		return err_sys(err, -errno, "cannot attach a filter that takes nothing");
	return 0;
}

int filter_attach(int fd, const char *text, struct err *err)
{
	struct bpf_program program;
	int code = compile(&program, text, err);
	if (code)
		return code;
	code = check_length(&program, err);
	if (!code)
		code = attach(fd, &program, err);
	pcap_freecode(&program);
	return code;
}
