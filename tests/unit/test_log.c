// SPDX-License-Identifier: Apache-2.0
// The log: its formats, what cannot be forged in it, its limits, where it goes.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log_format.h"
#include "culvert/base/clock.h"
#include "culvert/base/line.h"
#include "culvert/base/log.h"

enum { READ_MAX = 65536 };

static const struct log_field fields[] = {{"pool", "web"},
					  {"backend", "b 1"},
					  {"reason", "it said \"no\""},
					  {NULL, NULL}};

static struct log_entry entry_of(const char *text)
{
	// 2026-11-21T12:00:00Z
	return (struct log_entry){LOG_WARN, "health", text, fields, {1795262400, 7000000}};
}

// ---- formats -----------------------------------------------------------------------------------

Test(log, text_is_the_sentence_with_time_level_and_area)
{
	char line[LOG_LINE_MAX + 1];
	struct log_entry entry = entry_of("backend b1 is down");
	size_t len = log_format_line(&entry, LOG_AS_TEXT, line);
	cr_assert_str_eq(line, "2026-11-21T12:00:00.007Z warn  health: backend b1 is down\n");
	cr_assert_eq(len, strlen(line));
}

Test(log, logfmt_quotes_what_needs_it)
{
	char line[LOG_LINE_MAX + 1];
	struct log_entry entry = entry_of("backend b1 is down");
	size_t len = log_format_line(&entry, LOG_AS_LOGFMT, line);
	cr_assert_str_eq(line, "time=2026-11-21T12:00:00.007Z level=warn area=health "
			       "msg=\"backend b1 is down\" pool=web backend=\"b 1\" "
			       "reason=\"it said \\\"no\\\"\"\n");
	cr_assert_eq(len, strlen(line));
}

static json_t *parse_line(const char *line)
{
	json_error_t error;
	json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	cr_assert_not_null(root, "%s in %s", error.text, line);
	return root;
}

static const char *string_at(const json_t *root, const char *key)
{
	return json_string_value(json_object_get(root, key));
}

Test(log, json_is_an_object_a_line)
{
	char line[LOG_LINE_MAX + 1];
	struct log_entry entry = entry_of("backend b1 is down");
	log_format_line(&entry, LOG_AS_JSON, line);
	json_t *root = parse_line(line);
	cr_assert_str_eq(string_at(root, "time"), "2026-11-21T12:00:00.007Z");
	cr_assert_str_eq(string_at(root, "level"), "warn");
	cr_assert_str_eq(string_at(root, "area"), "health");
	cr_assert_str_eq(string_at(root, "msg"), "backend b1 is down");
	cr_assert_str_eq(string_at(root, "backend"), "b 1");
	cr_assert_str_eq(string_at(root, "reason"), "it said \"no\"");
	json_decref(root);
}

Test(log, the_journal_gets_fields)
{
	char line[LOG_LINE_MAX + 1];
	struct log_entry entry = entry_of("two\nlines");
	log_format_journal(&entry, line);
	cr_assert_str_eq(line, "PRIORITY=4\nSYSLOG_IDENTIFIER=culvert\n"
			       "MESSAGE=health: two\\nlines\nCULVERT_AREA=health\n"
			       "CULVERT_POOL=web\nCULVERT_BACKEND=b 1\n"
			       "CULVERT_REASON=it said \"no\"\n");
}

Test(log, syslog_gets_priority_time_and_process)
{
	char line[LOG_LINE_MAX + 1];
	char expected[256];
	struct log_entry entry = entry_of("backend b1 is down");
	setenv("TZ", "UTC", 1);
	size_t len = log_format_syslog(&entry, LOG_AS_TEXT, line);
	snprintf(expected, sizeof(expected),
		 "<28>Nov 21 12:00:00 culvert[%d]: health: backend b1 is down", (int)getpid());
	cr_assert_str_eq(line, expected);
	cr_assert_eq(len, strlen(expected));
}

Test(log, a_stream_to_the_journal_has_the_priority_and_no_time)
{
	char line[LOG_LINE_MAX + 1];
	struct log_entry entry = entry_of("backend b1 is down");
	log_format_stream(&entry, LOG_AS_TEXT, line);
	cr_assert_str_eq(line, "<4>health: backend b1 is down\n");
}

// ---- nothing is forged -------------------------------------------------------------------------

// Control characters of ASCII and Unicode, broken UTF-8, and what ends a value.
static const char *const hostile[] = {
	"a\n2026-11-21T12:00:00.007Z info  culvert: forged",
	"a\" level=error x=\"",
	"a\",\"level\":\"error",
	"\x1b[2J\x1b]0;title\a",
	"\xc2\x85next line",
	"\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
	"cut \xe2\x82",
	"back\\slash \\\" and \\",
	"=",
	"",
	"grüße 漢字 🙂",
};

static bool is_one_clean_line(const char *line)
{
	size_t len = strlen(line);
	for (size_t i = 0; i + 1 < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if (c < ' ' || c == 0x7f || c == 0xff || c == 0xc0)
			return false;
	}
	return line[len - 1] == '\n';
}

Test(log, hostile_bytes_stay_within_their_line_and_value)
{
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		const struct log_field field[] = {{"name", hostile[i]}, {NULL, NULL}};
		struct log_entry entry = {LOG_INFO, "proxy", hostile[i], field, {0}};
		char line[LOG_LINE_MAX + 1];
		log_format_line(&entry, LOG_AS_TEXT, line);
		cr_assert(is_one_clean_line(line), "%zu: %s", i, line);
		log_format_line(&entry, LOG_AS_LOGFMT, line);
		cr_assert(is_one_clean_line(line), "%zu: %s", i, line);
		log_format_line(&entry, LOG_AS_JSON, line);
		cr_assert(is_one_clean_line(line), "%zu: %s", i, line);
		json_t *root = parse_line(line);
		cr_assert_eq(json_object_size(root), 5);
		cr_assert_str_eq(string_at(root, "level"), "info");
		cr_assert_str_eq(string_at(root, "msg"), string_at(root, "name"));
		json_decref(root);
	}
}

Test(log, what_is_valid_is_the_same_after_json)
{
	const char *text = "grüße 漢字 🙂 back\\slash \"quote\" \n\t\x1b";
	struct log_entry entry = {LOG_INFO, "proxy", text, NULL, {0}};
	char line[LOG_LINE_MAX + 1];
	log_format_line(&entry, LOG_AS_JSON, line);
	json_t *root = parse_line(line);
	cr_assert_str_eq(string_at(root, "msg"), text);
	json_decref(root);
}

Test(log, logfmt_escapes_quotes_backslashes_and_controls)
{
	char buffer[256];
	struct line line;
	line_begin(&line, buffer, sizeof(buffer), LINE_LOGFMT);
	line_add(&line, "a", "x\"y\\z\n\x01\xc2\x85\xff");
	line_add(&line, "b", "");
	line_add(&line, "c", "k=v");
	line_add_number(&line, "d", UINT64_MAX);
	line_add_seconds(&line, "e", 1234005);
	line_end(&line);
	cr_assert_str_eq(buffer, "a=\"x\\\"y\\\\z\\n\\x01\\xc2\\x85\\xff\" b=\"\" c=\"k=v\" "
				 "d=18446744073709551615 e=1234.005\n");
}

// Each buffer size and every kind of character at the cut: well-formed, and within the buffer.
Test(log, lines_that_are_cut_are_well_formed)
{
	for (size_t size = LINE_SIZE_MIN; size < 400; size++) {
		char *buffer = malloc(size); // of exactly this size, for the address sanitizer
		struct line line;
		line_begin(&line, buffer, size, LINE_JSON);
		for (int i = 0; i < 4; i++) {
			static const char *const keys[] = {"first", "second", "third", "fourth"};
			line_add(&line, keys[i], "\x01\x02🙂漢\"\\\xff plain text that goes on");
			line_add_number(&line, keys[i][0] == 'f' ? "n" : "m", INT64_MAX);
			if (i == 1)
				break;
		}
		cr_assert_lt(line_end(&line), size);
		json_decref(parse_line(buffer));
		line_begin(&line, buffer, size, LINE_LOGFMT);
		line_add(&line, "a", "\x01\x02🙂漢\"\\\xff plain text that goes on");
		line_add_seconds(&line, "b", UINT64_MAX);
		line_add(&line, "c", "\x01\x02🙂漢\"\\\xff plain text that goes on");
		cr_assert_lt(line_end(&line), size);
		cr_assert(is_one_clean_line(buffer), "%s", buffer);
		free(buffer);
	}
}

Test(log, the_longest_text_of_the_worst_characters_fits_a_line)
{
	char text[LOG_TEXT_MAX];
	char line[LOG_LINE_MAX + 1];
	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	const struct log_field field[] = {{"name", text}, {NULL, NULL}};
	struct log_entry entry = {LOG_INFO, "proxy", text, field, {0}};
	cr_assert_leq(log_format_line(&entry, LOG_AS_TEXT, line), LOG_LINE_MAX);
	cr_assert_leq(log_format_syslog(&entry, LOG_AS_JSON, line), LOG_LINE_MAX);
	cr_assert_leq(log_format_journal(&entry, line), LOG_LINE_MAX);
	cr_assert_leq(log_format_line(&entry, LOG_AS_JSON, line), LOG_LINE_MAX);
	json_decref(parse_line(line));
}

// ---- where it goes, and how much ---------------------------------------------------------------

// Standard error becomes a pipe; its other end.
static int catch_stderr(void)
{
	int ends[2];
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	return ends[0];
}

static const char *read_all(int fd)
{
	static char text[READ_MAX * 4];
	size_t len = 0;
	ssize_t n;
	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;
	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

static void say(struct log_limit *limit, int number)
{
	log_limited(limit, LOG_WARN, "test", NULL, "line %d of many", number);
}

Test(log, a_limit_lets_some_through_and_counts_the_rest)
{
	static struct log_limit limit = LOG_LIMIT(3);
	int fd = catch_stderr();
	for (int i = 0; i < 100; i++)
		say(&limit, i);
	cr_assert_eq(count(read_all(fd), "of many\n"), 3);

	uint64_t now = clock_now_ns();
	log_flush_limits(now);
	cr_assert_str_eq(read_all(fd), "", "its period is not over");
	log_flush_limits(now + (LOG_LIMIT_PERIOD_S + 1) * NS_PER_SEC);
	cr_assert(strstr(read_all(fd),
			 "warn  test: 97 more like this were left out: line 2 of many\n"));
	log_flush_limits(now + (LOG_LIMIT_PERIOD_S + 1) * NS_PER_SEC);
	cr_assert_str_eq(read_all(fd), "", "it is said once");
}

Test(log, what_a_limit_left_out_is_said_before_the_next_line)
{
	static struct log_limit limit = LOG_LIMIT(1);
	int fd = catch_stderr();
	say(&limit, 0);
	say(&limit, 1);
	limit.until_ns = 0; // its period is over
	say(&limit, 2);
	const char *text = read_all(fd);
	const char *sum = strstr(text, "1 more like this were left out: line 0 of many\n");
	cr_assert(sum && strstr(sum, "line 2 of many\n"), "%s", text);
	log_flush_limits(UINT64_MAX);
	cr_assert_str_eq(read_all(fd), "");
}

Test(log, limits_do_not_count_what_the_level_leaves_out)
{
	static struct log_limit limit = LOG_LIMIT(1);
	int fd = catch_stderr();
	for (int i = 0; i < 5; i++)
		log_limited(&limit, LOG_DEBUG, "test", NULL, "detail");
	log_flush_limits(UINT64_MAX);
	cr_assert_str_eq(read_all(fd), "");
}

Test(log, a_reader_that_does_not_read_holds_nobody_up, .timeout = 60)
{
	int fd = catch_stderr();
	char text[512];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 1000; i++)
		log_info("test", "%s", text);
	unsigned n = count(read_all(fd), "test: xxx");
	cr_assert(n > 0 && n < 1000, "%u", n);
	log_info("test", "later");
	char expected[128];
	snprintf(expected, sizeof(expected), "log: %u lines are missing here", 1000 - n);
	const char *after = read_all(fd);
	cr_assert(strstr(after, expected), "%s: %s", expected, after);
	cr_assert(strstr(after, "test: later\n"));
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void make_path(char *directory, char *path, size_t size)
{
	strcpy(directory, "/tmp/culvert-log-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, size, "%s/socket", directory);
}

Test(log, journal_and_syslog_get_a_datagram_a_line)
{
	char directory[32];
	char path[64];
	char got[LOG_LINE_MAX + 1];
	make_path(directory, path, sizeof(path));
	int fd = listen_at(path);
	struct log_settings settings = {LOG_INFO, LOG_AS_TEXT, LOG_TO_JOURNAL, path};
	cr_assert_eq(log_open(&settings, NULL), 0);
	log_event(LOG_WARN, "health", fields, "down");
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
	cr_assert_gt(n, 0);
	got[n] = '\0';
	cr_assert(strstr(got, "\nMESSAGE=health: down\n"), "%s", got);
	cr_assert(strstr(got, "\nCULVERT_POOL=web\n"), "%s", got);

	settings.output = LOG_TO_SYSLOG;
	settings.format = LOG_AS_JSON;
	cr_assert_eq(log_open(&settings, NULL), 0);
	log_event(LOG_ERROR, "health", fields, "down");
	n = recv(fd, got, sizeof(got) - 1, 0);
	cr_assert_gt(n, 0);
	got[n] = '\0';
	cr_assert_eq(strncmp(got, "<27>", 4), 0, "%s", got);
	json_decref(parse_line(strchr(got, '{')));
	close(fd);
	unlink(path);
	rmdir(directory);
}

Test(log, without_a_daemon_lines_go_to_standard_error)
{
	char directory[32];
	char path[64];
	make_path(directory, path, sizeof(path));
	int fd = listen_at(path);
	struct log_settings settings = {LOG_INFO, LOG_AS_TEXT, LOG_TO_JOURNAL, path};
	cr_assert_eq(log_open(&settings, NULL), 0);
	close(fd);
	unlink(path);
	int caught = catch_stderr();
	log_info("test", "still there");
	cr_assert(strstr(read_all(caught), "test: still there\n"));

	struct err err = {0};
	cr_assert_neq(log_open(&settings, &err), 0);
	cr_assert(strstr(err.message, path), "%s", err.message);
	rmdir(directory);
}

Test(log, the_journals_stream_is_known_by_its_inode)
{
	int fd = catch_stderr();
	struct stat status;
	char name[64];
	cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
	snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", name, 1);
	struct log_settings settings = {.level = LOG_INFO};
	cr_assert_eq(log_open(&settings, NULL), 0);
	log_warn("test", "with a priority");
	cr_assert_str_eq(read_all(fd), "<4>test: with a priority\n");

	setenv("JOURNAL_STREAM", "1:1", 1); // somebody else's, inherited
	cr_assert_eq(log_open(&settings, NULL), 0);
	log_warn("test", "without");
	cr_assert(strstr(read_all(fd), "Z warn  test: without\n"));
}

static void *say_much(void *arg)
{
	for (int i = 0; i < 2000; i++)
		say(arg, i);
	return NULL;
}

// Of all threads together, and the sum is right.
Test(log, threads_share_a_limit)
{
	static struct log_limit limit = LOG_LIMIT(5);
	pthread_t threads[4];
	int fd = catch_stderr();
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, say_much, &limit), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(count(read_all(fd), "of many\n"), 5);
	log_flush_limits(UINT64_MAX);
	cr_assert(strstr(read_all(fd), ": 7995 more like this were left out"));
}
