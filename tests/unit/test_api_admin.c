// SPDX-License-Identifier: Apache-2.0
// What changes something, and what asks the data path: arguments checked, operations called,
// answers at once and later.
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/lib/api_rig.h"

// What the operations were called with.
static struct {
	uint32_t backend;
	enum admin_state state;
	int32_t weight;
	int code;
	struct api_reload_query reload;
	struct api_flow_query flows;
	struct api_explain_query explain;
	struct api_sample_query sample;
	struct api_request *later;
	struct event_base *base;
} seen;

static int set_state(void *arg, uint32_t backend, enum admin_state state, struct err *err)
{
	(void)arg;
	seen.backend = backend;
	seen.state = state;
	return seen.code ? err_set(err, seen.code, "not now") : 0;
}

static int set_weight(void *arg, uint32_t backend, int32_t weight, struct err *err)
{
	(void)arg;
	(void)err;
	seen.backend = backend;
	seen.weight = weight;
	return 0;
}

static void reload(void *arg, const struct api_reload_query *query, struct api_request *request)
{
	(void)arg;
	seen.reload = *query;
	api_answer_json(request, 200, json_pack("{s:s}", "result", "ok"));
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	api_answer_json(arg, 200, json_pack("{s:[]}", "flows"));
}

static void flows(void *arg, const struct api_flow_query *query, struct api_request *request)
{
	(void)arg;
	static const struct timeval soon = {.tv_usec = 100000};
	seen.flows = *query;
	event_base_once(seen.base, -1, EV_TIMEOUT, on_later, request, &soon);
}

// Never answers: that is left to whoever stops the API.
static void explain(void *arg, const struct api_explain_query *query, struct api_request *request)
{
	(void)arg;
	seen.explain = *query;
	seen.later = request;
}

static void sample(void *arg, const struct api_sample_query *query, struct api_request *request)
{
	(void)arg;
	seen.sample = *query;
	static char bytes[40 << 20];
	api_answer_bytes(request, 200, "application/vnd.tcpdump.pcap", bytes,
			 (size_t)query->n_packets << 12);
}

static char directory[] = "/tmp/culvert_api_XXXXXX";
static char path[64];

static void open_all(struct api_rig *rig)
{
	static char twin[] = "s3"; // db/s3 has a namesake: web/s3
	api_rig_init(rig);
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api.sock", directory);
	rig->config.api_socket = path;
	rig->backends[1].name = twin;
	rig->ops.set_state = set_state;
	rig->ops.set_weight = set_weight;
	rig->ops.reload = reload;
	rig->ops.flows = flows;
	rig->ops.explain = explain;
	rig->ops.sample = sample;
	seen.base = rig->base;
	api_rig_start(rig);
}

static void close_all(struct api_rig *rig)
{
	struct stat status;
	api_rig_close(rig);
	cr_expect_eq(stat(path, &status), -1, "the socket is left behind");
	rmdir(directory);
}

static void expect_error(int status, json_t *body, int expected, const char *word)
{
	const json_t *error = json_object_get(body, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	cr_assert(message);
	cr_expect_eq(status, expected, "%d: %s", status, message);
	cr_expect(strstr(message, word) || (hint && strstr(hint, word)), "%s: %s", message, hint);
	json_decref(body);
}

Test(api_admin, a_server_is_found_by_its_name, .timeout = 120)
{
	static const struct {
		const char *name;
		int status;
		uint32_t backend;
		const char *word;
	} cases[] = {
		{"s1", 200, 0, NULL},       {"web/s1", 200, 0, NULL},
		{"web%2Fs1", 200, 0, NULL}, {"web/s3", 200, 1, NULL},
		{"db/s3", 200, 2, NULL},    {"s3", 409, 0, "web/s3, db/s3"},
		{"s2", 404, 0, "s2"},       {"db/s1", 404, 0, "db/s1"},
		{"web", 404, 0, "web"},     {"web%2F", 404, 0, "web/"},
		{"%c3%a4", 404, 0, "??"},
	};
	struct api_rig rig;
	open_all(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char target[128];
		json_t *body;
		seen.backend = 99;
		snprintf(target, sizeof(target), "/api/v1/servers/%s/state", cases[i].name);
		int status = api_rig_post(&rig, target, "{\"state\": \"drain\"}", &body);
		if (cases[i].word) {
			expect_error(status, body, cases[i].status, cases[i].word);
			cr_expect_eq(seen.backend, 99, "%s", cases[i].name);
			continue;
		}
		cr_expect_eq(status, 200, "%s", cases[i].name);
		cr_expect_eq(seen.backend, cases[i].backend, "%s", cases[i].name);
		cr_expect_eq(seen.state, ADMIN_DRAIN);
		cr_expect(json_is_object(json_object_get(body, "weight")));
		json_decref(body);
	}
	close_all(&rig);
}

Test(api_admin, a_name_that_nobody_has_is_told_the_near_one, .timeout = 120)
{
	static const struct {
		const char *target; // below /api/v1/flows
		const char *hint;
	} cases[] = {
		{"server=s4", "did you mean \"web/s1\"?"},
		{"server=web/s4", "did you mean \"web/s1\"?"},
		{"server=bd/s3", "did you mean \"db/s3\"?"},
		{"server=far-away", "GET /api/v1/backends lists"},
		{"frontend=plane", "did you mean \"plain\"?"},
		{"frontend=far-away", "GET /api/v1/frontends lists"},
	};
	struct api_rig rig;
	json_t *body;
	open_all(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char target[64];
		snprintf(target, sizeof(target), "/api/v1/flows?%s", cases[i].target);
		int status = api_rig_get_local(&rig, target, &body);
		expect_error(status, body, 404, cases[i].hint);
	}
	close_all(&rig);
}

// The answer to a file of so many of that character, which JSON may write as two.
static const char *ask_with_file(const struct api_rig *rig, const char *character, size_t n)
{
	char *request = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&request, &size);
	size_t length = n * strlen(character);
	cr_assert(out);
	fprintf(out,
		"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n"
		"{\"plan\":true,\"file\":{\"name\":\"x.toml\",\"text\":\"",
		length + strlen("{\"plan\":true,\"file\":{\"name\":\"x.toml\",\"text\":\"\"}}"));
	for (size_t i = 0; i < n; i++)
		fputs(character, out);
	fputs("\"}}", out);
	cr_assert_eq(fclose(out), 0);
	const char *answer = api_rig_ask_local(rig, request);
	free(request);
	return answer;
}

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

Test(api_admin, a_file_to_be_planned_has_room_and_a_limit, .timeout = 120)
{
	struct api_rig rig;
	open_all(&rig);
	const char *answer = ask_with_file(&rig, "\\n", CONFIG_FILE_MAX_BYTES);
	cr_expect(begins_with(answer, "HTTP/1.1 200 "), "%s", answer);
	cr_expect_eq(seen.reload.length, CONFIG_FILE_MAX_BYTES);
	answer = ask_with_file(&rig, "#", CONFIG_FILE_MAX_BYTES + 1);
	cr_expect(begins_with(answer, "HTTP/1.1 413 Content Too Large\r\n"), "%s", answer);
	cr_expect(strstr(answer, "larger than 4 MiB"), "%s", answer);
	close_all(&rig);
}

Test(api_admin, bodies_are_read_strictly, .timeout = 120)
{
	static const struct {
		const char *target;
		const char *body;
		const char *word;
	} cases[] = {
		{"/api/v1/servers/s1/state", "", "state"},
		{"/api/v1/servers/s1/state", "{\"state\": \"up\"}", "state"},
		{"/api/v1/servers/s1/state", "{\"state\": 1}", "state"},
		{"/api/v1/servers/s1/state", "{\"state\": \"drain\", \"x\": 1}", "\"x\""},
		{"/api/v1/servers/s1/state", "{\"state\": \"drain\", \"state\": \"ready\"}",
		 "duplicate"},
		{"/api/v1/servers/s1/state", "[]", "object"},
		{"/api/v1/servers/s1/state", "{", "object"},
		{"/api/v1/servers/s1/state", "\xff\xfe", "object"},
		{"/api/v1/servers/s1/weight", "{\"weight\": -1}", "0 to 1000"},
		{"/api/v1/servers/s1/weight", "{\"weight\": 1001}", "0 to 1000"},
		{"/api/v1/servers/s1/weight", "{\"weight\": 1.5}", "0 to 1000"},
		{"/api/v1/servers/s1/weight", "{}", "0 to 1000"},
		{"/api/v1/reload", "{\"plan\": 1}", "plan"},
		{"/api/v1/reload", "{\"max_disruption\": 2}", "max_disruption"},
		{"/api/v1/reload", "{\"max_disruption\": \"0.1\"}", "max_disruption"},
		{"/api/v1/reload", "{\"max_disruption\": null}", "max_disruption"},
		{"/api/v1/reload", "{\"force\": true}", "force"},
		{"/api/v1/reload", "{\"plan\": true, \"file\": \"x.toml\"}", "file"},
		{"/api/v1/reload", "{\"plan\": true, \"file\": {\"name\": \"x.toml\"}}", "file"},
		{"/api/v1/reload", "{\"file\": {\"name\": \"x.toml\", \"text\": \"\"}}", "planned"},
	};
	struct api_rig rig;
	json_t *body;
	open_all(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = api_rig_post(&rig, cases[i].target, cases[i].body, &body);
		expect_error(status, body, 400, cases[i].word);
	}
	cr_expect_eq(api_rig_post(&rig, "/api/v1/servers/s1/weight", "{\"weight\": 0}", &body),
		     200);
	cr_expect_eq(seen.weight, 0);
	json_decref(body);
	cr_expect_eq(api_rig_post(&rig, "/api/v1/servers/s1/weight", "{\"weight\": null}", &body),
		     200);
	cr_expect_eq(seen.weight, REGISTRY_WEIGHT_CONFIGURED);
	json_decref(body);
	cr_expect_eq(api_rig_post(&rig, "/api/v1/reload", "", &body), 200);
	cr_expect(!seen.reload.is_plan && seen.reload.max_disruption < 0);
	json_decref(body);
	cr_expect_eq(api_rig_post(&rig, "/api/v1/reload",
				  "{\"plan\": true, \"max_disruption\": 0.25}", &body),
		     200);
	cr_expect(seen.reload.is_plan && seen.reload.max_disruption == 0.25);
	json_decref(body);
	close_all(&rig);
}

Test(api_admin, what_a_mode_refuses_or_lacks_is_said, .timeout = 120)
{
	struct api_rig rig;
	json_t *body;
	open_all(&rig);
	seen.code = -EBUSY;
	int status = api_rig_post(&rig, "/api/v1/servers/s1/state", "{\"state\":\"maint\"}", &body);
	expect_error(status, body, 409, "not now");
	api_rig_stop(&rig);
	rig.ops = (struct api_ops){.gather = rig.ops.gather, .status = rig.ops.status};
	api_rig_start(&rig);
	status = api_rig_post(&rig, "/api/v1/servers/s1/state", "{\"state\":\"maint\"}", &body);
	expect_error(status, body, 501, "passthrough mode");
	status = api_rig_post(&rig, "/api/v1/reload", "{}", &body);
	expect_error(status, body, 501, "reloading");
	status = api_rig_get_local(&rig, "/api/v1/flows", &body);
	expect_error(status, body, 501, "flows");
	status = api_rig_get_local(&rig, "/api/v1/drops/no_flow/sample", &body);
	expect_error(status, body, 501, "samples");
	close_all(&rig);
}

Test(api_admin, questions_to_the_data_path_are_checked, .timeout = 120)
{
	static const struct {
		const char *target;
		int status;
		const char *word;
	} cases[] = {
		{"/api/v1/flows?client=nonsense", 400, "client"},
		{"/api/v1/flows?server=s3", 409, "db/s3"},
		{"/api/v1/flows?server=nobody", 404, "nobody"},
		{"/api/v1/flows?frontend=nobody", 404, "nobody"},
		{"/api/v1/flows?limit=0", 400, "limit"},
		{"/api/v1/flows?limit=99999999999999999999", 400, "limit"},
		{"/api/v1/flows?limit=-1", 400, "limit"},
		{"/api/v1/flows?limits=1", 400, "limits"},
		{"/api/v1/explain", 400, "client is missing"},
		{"/api/v1/explain?client=192.0.2.1:1", 400, "vip is missing"},
		{"/api/v1/explain?client=192.0.2.1&vip=192.0.2.2:80", 400, "client"},
		{"/api/v1/explain?client=192.0.2.1:1&vip=[::1]:80", 400, "families"},
		{"/api/v1/explain?client=192.0.2.1:1&vip=192.0.2.2:80&protocol=sctp", 400, "sctp"},
		{"/api/v1/drops/nothing/sample", 404, "nothing"},
		{"/api/v1/drops/forwarded/sample", 404, "forwarded"},
		{"/api/v1/drops/no_flow/sample?seconds=61", 400, "60"},
		{"/api/v1/drops/no_flow/sample?secs=6", 400, "secs"},
	};
	struct api_rig rig;
	json_t *body;
	open_all(&rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = api_rig_get_local(&rig, cases[i].target, &body);
		expect_error(status, body, cases[i].status, cases[i].word);
	}
	cr_expect_eq(api_rig_get_local(&rig, "/api/v1/drops/no_flow/sample?count=7&seconds=2",
				       &body),
		     200);
	cr_expect_eq(seen.sample.reason, VERDICT_DROP_NO_FLOW);
	cr_expect_eq(seen.sample.n_packets, 7);
	cr_expect_eq(seen.sample.duration_ms, 2000);
	close_all(&rig);
}

static void send_only(int fd, const char *request)
{
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
}

Test(api_admin, an_answer_may_come_later, .timeout = 120)
{
	struct api_rig rig;
	json_t *body;
	open_all(&rig);
	cr_expect_eq(api_rig_get_local(&rig, "/api/v1/flows?client=[2001:db8::1]:80&server=web/s3",
				       &body),
		     200);
	cr_expect(json_is_array(json_object_get(body, "flows")));
	json_decref(body);
	cr_expect(seen.flows.has_client && seen.flows.backend == 1 && seen.flows.frontend == -1);
	cr_expect_eq(seen.flows.limit, 100);
	// A client that does not wait for it.
	int fd = api_rig_dial(&rig, true);
	static const char request[] = "GET /api/v1/flows HTTP/1.0\r\n\r\n";
	send_only(fd, request);
	close(fd);
	cr_expect_eq(api_rig_get_local(&rig, "/api/v1/flows", &body), 200);
	json_decref(body);
	close_all(&rig);
}

// More than that waits for the data path, and more than that is kept for slow readers, no more is
// begun; and whoever has the socket is not kept out by the port.
Test(api_admin, what_is_under_way_is_bounded, .timeout = 120)
{
	enum { N_HELD = 16 };
	struct api_rig rig;
	json_t *body;
	int fds[N_HELD];
	open_all(&rig);
	for (int i = 0; i < N_HELD; i++) {
		fds[i] = api_rig_dial(&rig, false);
		api_rig_await(fds[i], POLLOUT);
		send_only(fds[i], "GET /api/v1/explain?client=192.0.2.1:1&vip=192.0.2.2:80 HTTP/1.0"
				  "\r\n\r\n");
	}
	int status;
	do { // until the last has come in
		status = api_rig_get(&rig, "/stats", &body);
		json_decref(body);
	} while (status == 200);
	cr_expect_eq(status, 503);
	cr_expect_eq(api_rig_get(&rig, "/healthz", &body), 200);
	cr_expect_eq(api_rig_post(&rig, "/api/v1/reload", "{}", &body), 200);
	json_decref(body);
	for (int i = 0; i < N_HELD; i++)
		close(fds[i]);
	close_all(&rig);
}

Test(api_admin, what_slow_readers_leave_is_bounded, .timeout = 120)
{
	struct api_rig rig;
	json_t *body;
	int status;
	open_all(&rig);
	int fd = api_rig_dial(&rig, true);
	api_rig_await(fd, POLLOUT);
	send_only(fd, "GET /api/v1/drops/no_flow/sample?count=10000 HTTP/1.0\r\n\r\n");
	api_rig_await(fd, POLLIN);
	cr_expect_eq(api_rig_get_local(&rig, "/stats", &body), 503);
	json_decref(body);
	close(fd);
	do { // until that has come in
		status = api_rig_get_local(&rig, "/stats", &body);
		json_decref(body);
	} while (status == 503);
	cr_expect_eq(status, 200);
	close_all(&rig);
}

Test(api_admin, stopping_answers_what_is_open, .timeout = 120)
{
	static const char request[] =
		"GET /api/v1/explain?client=192.0.2.1:1&vip=192.0.2.2:80 HTTP/1.0\r\n\r\n";
	struct api_rig rig;
	open_all(&rig);
	int fds[2] = {api_rig_dial(&rig, true), api_rig_dial(&rig, true)};
	for (int i = 0; i < 2; i++) {
		seen.later = NULL;
		send_only(fds[i], request);
	}
	json_t *body;
	api_rig_get(&rig, "/api/v1/status", &body); // by now they have come in
	json_decref(body);
	close(fds[0]); // its request is open still
	api_rig_get(&rig, "/api/v1/status", &body);
	json_decref(body);
	close_all(&rig);
	close(fds[1]);
}
