// SPDX-License-Identifier: Apache-2.0
// Who may look at the API by TCP: on the loopback everybody, elsewhere who has the token.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/draft.h"
#include "config/token.h"

enum { FILE_MAX = 4096, V4_LOOPBACK = 127 };

static bool is_loopback(const struct ip_addr *addr)
{
	static const struct ip_addr v6 = {.bytes = {[15] = 1}};
	if (ip_addr_is_v4(addr))
		return addr->bytes[12] == V4_LOOPBACK;
	return ip_addr_equal(addr, &v6);
}

// What is in the file without the blanks at its end; -errno. `text` has room for FILE_MAX.
static int read_token(const char *path, char *text)
{
	struct stat status;
	// A FIFO must not block.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int code = fstat(fd, &status) ? -errno : 0;
	if (!code && !S_ISREG(status.st_mode))
		code = -EINVAL;
	ssize_t n = code ? 0 : read(fd, text, FILE_MAX - 1);
	if (n < 0)
		code = -errno;
	close(fd);
	if (code)
		return code;
	text[n] = '\0';
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	return 0;
}

static void take_token_file(const struct draft *draft, struct position at)
{
	char text[FILE_MAX];
	struct config *config = draft->config;
	int code = read_token(config->stats_token_file, text);
	if (code)
		report_add(draft->report, at, "token_file: cannot read %s: %s",
			   config->stats_token_file, strerror(-code));
	else if (!token_is_good(text))
		report_add(draft->report, at,
			   "token_file: %s holds something else; write " TOKEN_ADVICE,
			   config->stats_token_file);
	else if (!(config->stats_token = strdup(text)))
		report_add(draft->report, at, "token_file: not enough memory");
}

void draft_check_stats(const struct draft *draft)
{
	struct config *config = draft->config;
	char text[IP_ADDR_TEXT_MAX];
	const yaml_node_t *section = draft_section(draft, "stats");
	struct entry entry = {section, section};
	if (!section)
		return;
	if (config->stats_token_file && config->stats_token)
		report_add(draft->report, draft_position(draft, entry, "token_file"),
			   "token_file: there is a token already; take one of them out");
	else if (config->stats_token_file)
		take_token_file(draft, draft_position(draft, entry, "token_file"));
	if (config->stats_port && !config->stats_token && !config->stats_token_file &&
	    !is_loopback(&config->stats_listen_addr))
		report_add(draft->report, draft_position(draft, entry, "listen_addr"),
			   "listen_addr: %s can be reached from other hosts; set a token (or "
			   "token_file) that they have to send, or listen on 127.0.0.1",
			   ip_addr_format(&config->stats_listen_addr, text));
}
