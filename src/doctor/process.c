// SPDX-License-Identifier: Apache-2.0
#include "doctor/process.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CMDLINE_MAX = 4096, LINE_MAX_BYTES = 512, LINK_MAX = 64, HEX_WORD = 8 };

// Of a line in /proc/net/tcp: sl, local, remote, state, queues, timer, retransmits, uid, timeout,
// inode, and more.
enum { FIELD_LOCAL = 1, FIELD_REMOTE, FIELD_STATE, FIELD_INODE = 9, N_FIELDS };

// ---- command lines -----------------------------------------------------------------------------

// The next word of a command line, or NULL behind the last.
static const char *next_word(const char *word, const char *end)
{
	word += strlen(word) + 1;
	return word < end ? word : NULL;
}

static const char *find_config(const char *cmdline, size_t size)
{
	static const char option[] = "--config";
	const char *end = cmdline + size;
	for (const char *word = cmdline; word; word = next_word(word, end)) {
		if (strncmp(word, "--config=", sizeof(option)) == 0)
			return word + sizeof(option);
		if (strcmp(word, option) == 0 || strcmp(word, "-c") == 0)
			return next_word(word, end);
		if (strncmp(word, "-c", 2) == 0)
			return word + 2;
	}
	return NULL;
}

bool process_serves(const struct doctor *doctor, int process)
{
	char path[CMDLINE_MAX + 64];
	char cmdline[CMDLINE_MAX] = "";
	struct stat own;
	struct stat other;
	snprintf(path, sizeof(path), "%s/proc/%d/cmdline", doctor->root, process);
	FILE *file = fopen(path, "re");
	size_t size = file ? fread(cmdline, 1, sizeof(cmdline) - 1, file) : 0;
	if (file)
		fclose(file);
	const char *config = size ? find_config(cmdline, size) : NULL;
	if (!config)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/%s/%s", process, *config == '/' ? "root" : "cwd",
		 config);
	return stat(doctor->config->path, &own) == 0 && stat(path, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

const char *process_name(const struct doctor *doctor, int process, char *text)
{
	if (doctor_read(doctor, text, PROCESS_NAME_MAX, "/proc/%d/comm", process) || !*text)
		snprintf(text, PROCESS_NAME_MAX, "?");
	return text;
}

// ---- sockets -----------------------------------------------------------------------------------

static bool parse_word(const char *text, uint32_t *word)
{
	char digits[HEX_WORD + 1] = "";
	char *end;
	memcpy(digits, text, strnlen(text, HEX_WORD));
	*word = (uint32_t)strtoul(digits, &end, 16);
	return end == digits + HEX_WORD;
}

// "0100007F:0050": words as this machine holds them, the port in hexadecimal.
static bool parse_half(const char *text, struct endpoint *endpoint)
{
	uint32_t words[4];
	size_t n_words = 0;
	char *end;
	while (n_words < 4 && parse_word(text, &words[n_words])) {
		text += HEX_WORD;
		n_words++;
	}
	if ((n_words != 1 && n_words != 4) || *text != ':')
		return false;
	*endpoint = (struct endpoint){.proto = IPPROTO_TCP};
	if (n_words == 1)
		endpoint->addr = ip_addr_from_v4(words[0]);
	else
		memcpy(endpoint->addr.bytes, words, sizeof(words));
	endpoint->port_be = htons((uint16_t)strtoul(text + 1, &end, 16));
	return end != text + 1;
}

static bool parse_socket(char *line, struct tcp_socket *parsed)
{
	const char *fields[N_FIELDS];
	char *rest = NULL;
	for (size_t i = 0; i < N_FIELDS; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &rest);
		if (!fields[i])
			return false;
	}
	unsigned long state = strtoul(fields[FIELD_STATE], NULL, 16);
	*parsed = (struct tcp_socket){
		.is_listening = state == TCP_LISTEN,
		.is_waiting = state == TCP_TIME_WAIT,
		.inode = strtoul(fields[FIELD_INODE], NULL, 10),
	};
	return parse_half(fields[FIELD_LOCAL], &parsed->local) &&
	       parse_half(fields[FIELD_REMOTE], &parsed->remote);
}

static bool walk_file(const struct doctor *doctor, const char *name, tcp_socket_fn take, void *arg)
{
	char path[DOCTOR_PATH_MAX];
	char line[LINE_MAX_BYTES];
	struct tcp_socket parsed;
	snprintf(path, sizeof(path), "%s/proc/net/%s", doctor->root, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (parse_socket(line, &parsed) && !take(arg, &parsed))
			break;
	}
	fclose(file);
	return true;
}

bool tcp_sockets_walk(const struct doctor *doctor, tcp_socket_fn take, void *arg)
{
	bool is_readable = walk_file(doctor, "tcp", take, arg);
	(void)walk_file(doctor, "tcp6", take, arg); // not there without IPv6
	return is_readable;
}

struct search {
	const struct endpoint *endpoint;
	unsigned long inode; // 0: not found
};

static bool is_on_port(void *arg, const struct tcp_socket *socket)
{
	struct search *search = arg;
	const struct endpoint *wanted = search->endpoint;
	if (!socket->is_listening || socket->local.port_be != wanted->port_be)
		return true;
	if (!ip_addr_equal(&socket->local.addr, &wanted->addr) &&
	    !ip_addr_is_unspecified(&socket->local.addr) && !ip_addr_is_unspecified(&wanted->addr))
		return true;
	search->inode = socket->inode;
	return false;
}

static bool has_socket(const struct doctor *doctor, const char *process, unsigned long inode)
{
	char path[DOCTOR_PATH_MAX];
	char wanted[LINK_MAX];
	char target[LINK_MAX];
	bool is_found = false;
	snprintf(path, sizeof(path), "%s/proc/%.16s/fd", doctor->root, process);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir && !is_found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		is_found = strcmp(target, wanted) == 0;
	}
	if (dir)
		closedir(dir);
	return is_found;
}

int tcp_listener_of(const struct doctor *doctor, const struct endpoint *endpoint)
{
	char path[DOCTOR_PATH_MAX];
	struct search search = {.endpoint = endpoint};
	int process = 0;
	tcp_sockets_walk(doctor, is_on_port, &search);
	snprintf(path, sizeof(path), "%s/proc", doctor->root);
	DIR *dir = search.inode ? opendir(path) : NULL;
	const struct dirent *entry;
	while (dir && !process && (entry = readdir(dir))) {
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    has_socket(doctor, entry->d_name, search.inode))
			process = (int)strtol(entry->d_name, NULL, 10);
	}
	if (dir)
		closedir(dir);
	return process;
}
