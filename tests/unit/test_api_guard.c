// SPDX-License-Identifier: Apache-2.0
// Who may ask over TCP, and what; the Unix socket.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/lib/api_rig.h"
#include "control/api_socket.h"

struct ask {
	const char *headers;
	const char *start;
};

static void check_all(const struct api_rig *rig, const struct ask *asks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char request[512];
		snprintf(request, sizeof(request), "GET /stats HTTP/1.1\r\n%s\r\n",
			 asks[i].headers);
		const char *answer = api_rig_ask(rig, request);
		cr_expect(strncmp(answer, asks[i].start, strlen(asks[i].start)) == 0, "%s: %s",
			  asks[i].headers, answer);
	}
}

Test(api_guard, names_of_other_hosts_are_refused_without_a_token, .timeout = 120)
{
	static const struct ask asks[] = {
		{"Host: 127.0.0.1:9000\r\n", "HTTP/1.1 200 "},
		{"Host: localhost\r\n", "HTTP/1.1 200 "},
		{"Host: LOCALHOST:9000\r\n", "HTTP/1.1 200 "},
		{"Host: [::1]:9000\r\n", "HTTP/1.1 200 "},
		{"Host: 192.0.2.1\r\n", "HTTP/1.1 200 "},
		{"", "HTTP/1.1 200 "},
		{"Host: evil.example\r\n", "HTTP/1.1 403 "},
		{"Host: localhost.evil.example\r\n", "HTTP/1.1 403 "},
		{"Host: 127.0.0.1.evil.example\r\n", "HTTP/1.1 403 "},
		{"Host: 127.0.0.1@evil.example\r\n", "HTTP/1.1 403 "},
		{"Host: \r\n", "HTTP/1.1 403 "},
		{"Host: [\r\n", "HTTP/1.1 403 "},
	};
	struct api_rig rig;
	api_rig_open(&rig);
	check_all(&rig, asks, sizeof(asks) / sizeof(asks[0]));
	cr_expect_null(strstr(api_rig_ask(&rig, "GET /stats HTTP/1.1\r\nHost: localhost\r\n"
						"Origin: http://evil.example\r\n\r\n"),
			      "Access-Control"));
	api_rig_close(&rig);
}

Test(api_guard, a_token_is_wanted_where_there_is_one, .timeout = 120)
{
	static char token[] = "0123456789abcdef";
	static const struct ask asks[] = {
		{"Authorization: Bearer 0123456789abcdef\r\n", "HTTP/1.1 200 "},
		{"Authorization: bearer   0123456789abcdef\r\nHost: lb.example\r\n",
		 "HTTP/1.1 200 "},
		{"Host: localhost\r\n", "HTTP/1.1 401 "},
		{"Authorization: Bearer 0123456789abcdeX\r\n", "HTTP/1.1 401 "},
		{"Authorization: Bearer 0123456789abcde\r\n", "HTTP/1.1 401 "},
		{"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n", "HTTP/1.1 401 "},
		{"Authorization: Bearer \r\n", "HTTP/1.1 401 "},
		{"Authorization: Bearer\r\n", "HTTP/1.1 401 "},
		{"Authorization: Basic 0123456789abcdef\r\n", "HTTP/1.1 401 "},
		{"Authorization: 0123456789abcdef\r\n", "HTTP/1.1 401 "},
	};
	struct api_rig rig;
	api_rig_init(&rig);
	rig.config.stats_token = token;
	api_rig_start(&rig);
	check_all(&rig, asks, sizeof(asks) / sizeof(asks[0]));
	cr_expect_not_null(strstr(api_rig_ask(&rig, "GET /healthz HTTP/1.0\r\n\r\n"),
				  "WWW-Authenticate: Bearer"));
	api_rig_close(&rig);
}

// A browser of any user of this host could ask the port.
static const char *const private_targets[] = {
	"/api/v1/flows",
	"/api/v1/flows?client=192.0.2.1",
	"/api/v1/drops/no_flow/sample",
};

enum { N_PRIVATE = sizeof(private_targets) / sizeof(private_targets[0]) };

static int ask_for(const struct api_rig *rig, const char *method, const char *target,
		   const char *header)
{
	char request[512];
	snprintf(request, sizeof(request), "%s %s HTTP/1.0\r\n%s\r\n", method, target, header);
	return (int)strtol(api_rig_ask(rig, request) + strlen("HTTP/1.1 "), NULL, 10);
}

Test(api_guard, what_clients_are_and_send_is_not_told_without_a_token, .timeout = 120)
{
	struct api_rig rig;
	json_t *body;
	api_rig_open(&rig);
	for (size_t i = 0; i < N_PRIVATE; i++) {
		cr_expect_eq(api_rig_get(&rig, private_targets[i], &body), 403);
		const json_t *error = json_object_get(body, "error");
		const char *hint = json_string_value(json_object_get(error, "hint"));
		cr_expect_str_eq(hint, "set [api] socket, and ask there, or set [stats] token");
		json_decref(body);
		cr_expect_eq(ask_for(&rig, "HEAD", private_targets[i], ""), 403);
		cr_expect_eq(ask_for(&rig, "PUT", private_targets[i], ""), 405);
	}
	cr_expect_eq(api_rig_get(&rig, "/api/v1/drops", &body), 200);
	json_decref(body);
	api_rig_close(&rig);
}

// The made-up mode lacks both, and says so to whoever may ask.
Test(api_guard, who_has_the_token_may_ask_everything, .timeout = 120)
{
	static char token[] = "0123456789abcdef";
	static const char header[] = "Authorization: Bearer 0123456789abcdef\r\n";
	struct api_rig rig;
	api_rig_init(&rig);
	rig.config.stats_token = token;
	api_rig_start(&rig);
	for (size_t i = 0; i < N_PRIVATE; i++) {
		cr_expect_eq(ask_for(&rig, "GET", private_targets[i], ""), 401);
		cr_expect_eq(ask_for(&rig, "GET", private_targets[i], header), 501);
	}
	api_rig_close(&rig);
}

// ---- the socket --------------------------------------------------------------------------------

static char directory[] = "/tmp/culvert_api_XXXXXX";
static char path[64];

// A path in a directory of its own that is not there yet.
static void make_path(void)
{
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/run/api.sock", directory);
}

static void remove_path(void)
{
	char sub[64];
	snprintf(sub, sizeof(sub), "%s/run", directory);
	cr_expect_eq(rmdir(sub), 0, "something is left behind");
	cr_expect_eq(rmdir(directory), 0);
}

Test(api_socket, everything_may_be_asked_there_without_a_token, .timeout = 120)
{
	static char token[] = "0123456789abcdef";
	struct api_rig rig;
	struct stat status;
	json_t *body;
	make_path();
	api_rig_init(&rig);
	rig.config.api_socket = path;
	rig.config.stats_token = token;
	api_rig_start(&rig);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0600);
	cr_expect_str_eq(api_socket_path(rig.api), path);
	cr_expect_eq(api_rig_post(&rig, "/api/v1/reload", "{}", &body), 501); // and not 403
	json_decref(body);
	const char *answer =
		api_rig_ask_local(&rig, "GET /stats HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	cr_expect(strncmp(answer, "HTTP/1.1 200 ", 13) == 0, "%s", answer);
	api_rig_close(&rig);
	remove_path();
}

Test(api_socket, changes_over_tcp_are_sent_there, .timeout = 120)
{
	static const char request[] = "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n"
				      "Content-Length: 2\r\n\r\n{}";
	struct api_rig rig;
	make_path();
	api_rig_init(&rig);
	rig.config.api_socket = path;
	api_rig_start(&rig);
	const char *answer = api_rig_ask(&rig, request);
	cr_expect(strncmp(answer, "HTTP/1.1 403 ", 13) == 0, "%s", answer);
	cr_expect_not_null(strstr(answer, path), "%s", answer);
	answer = api_rig_ask(&rig, "GET /api/v1/flows HTTP/1.1\r\nHost: localhost\r\n\r\n");
	cr_expect(strncmp(answer, "HTTP/1.1 403 ", 13) == 0, "%s", answer);
	cr_expect_not_null(strstr(answer, path), "%s", answer);
	api_rig_close(&rig);
	remove_path();
}

Test(api_socket, one_that_answers_is_left_alone_and_a_stale_one_replaced)
{
	struct err err = {0};
	make_path();
	int fd = api_socket_open(path, &err);
	cr_assert_geq(fd, 0, "%s", err.message);
	cr_expect_eq(api_socket_open(path, &err), -EADDRINUSE);
	cr_expect_not_null(strstr(err.message, path));
	api_socket_remove(path); // as who was here before would do
	cr_expect_eq(access(path, F_OK), 0);
	close(fd); // as after kill -9: the file is there still
	fd = api_socket_open(path, &err);
	cr_assert_geq(fd, 0, "%s", err.message);
	close(fd);
	api_socket_remove(path);
	cr_expect_eq(access(path, F_OK), -1);
	api_socket_remove(path);
	remove_path();
}

Test(api_socket, the_directory_of_another_user_is_named)
{
	struct err err = {0};
	char hint[128];
	if (geteuid() != 0)
		cr_skip_test("needs root, to have two users");
	make_path();
	snprintf(path, sizeof(path), "%s/api.sock", directory);
	cr_assert_eq(chmod(directory, 0755), 0);
	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(api_socket_open(path, &err), -EACCES);
	cr_assert_eq(seteuid(0), 0);
	snprintf(hint, sizeof(hint), "belongs to user 0, and this is user 65534 (chown 65534 %s)",
		 directory);
	cr_expect_not_null(strstr(err.message, hint), "%s", err.message);
	cr_expect_eq(rmdir(directory), 0);
}

Test(api_socket, what_is_no_socket_is_not_removed)
{
	struct err err = {0};
	FILE *file;
	make_path();
	snprintf(path, sizeof(path), "%s/file", directory);
	file = fopen(path, "we");
	cr_assert(file);
	fclose(file);
	cr_expect_eq(api_socket_open(path, &err), -EEXIST);
	cr_expect_not_null(strstr(err.message, "not a socket"));
	cr_expect_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/no/such/directory", directory);
	cr_expect_eq(api_socket_open(path, &err), -ENOENT);
	cr_expect_eq(rmdir(directory), 0);
}

Test(api_socket, culvert_goes_on_without_one, .timeout = 120)
{
	struct api_rig rig;
	json_t *body;
	make_path();
	int fd = api_socket_open(path, NULL);
	cr_assert_geq(fd, 0);
	api_rig_init(&rig);
	rig.config.api_socket = path;
	api_rig_start(&rig);
	cr_expect_null(api_socket_path(rig.api));
	cr_expect_eq(api_rig_get(&rig, "/stats", &body), 200);
	json_decref(body);
	api_rig_close(&rig);
	cr_expect_eq(access(path, F_OK), 0, "the other's is gone");
	close(fd);
	api_socket_remove(path);
	remove_path();
}
