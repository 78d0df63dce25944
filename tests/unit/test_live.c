// SPDX-License-Identifier: Apache-2.0
// The stream of samples and events, with clients that read, leave, or stand still. Server and
// clients take turns in one thread.
#include "culvert/control/live.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../support/lib/api_rig.h"
#include "control/live_stream.h"
#include "culvert/base/clock.h"
#include "culvert/control/activity.h"

enum { PATIENCE_S = 60, ANSWER_MAX = 16 << 20 };

static struct api_rig rig;
static struct events *events;
static struct activity *activity;
static struct live *live;
static char directory[] = "/tmp/culvert-live-XXXXXX";
static char path[64];

static void setup(void)
{
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/api.sock", directory);
	api_rig_init(&rig);
	free(rig.config.api_socket);
	rig.config.api_socket = path;
	ip_addr_parse("127.0.0.1", &rig.config.stats_listen_addr);
	rig.config.stats_port = api_rig_free_port();
	cr_assert_eq(api_start(&rig.api, rig.base, &rig.source, NULL), 0);
	cr_assert_eq(events_create(&events, NULL), 0);
	cr_assert_eq(activity_create(&activity, rig.base, NULL), 0);
	cr_assert_eq(live_start(&live, activity, &rig.source, rig.api, events, NULL), 0);
}

static void teardown(void)
{
	live_stop(live);
	api_stop(rig.api);
	events_destroy(events);
	activity_destroy(activity);
	rig.config.api_socket = NULL;
	api_rig_fini(&rig);
	rmdir(directory);
}

TestSuite(live, .init = setup, .fini = teardown, .timeout = 120);

struct client {
	int fd;
	char *text;
	size_t size;
	bool is_closed;
};

static void turn(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	nanosleep(&pause, NULL);
}

static struct client ask_by(bool is_local, const char *request)
{
	struct client client = {.fd = api_rig_dial(&rig, is_local), .text = malloc(ANSWER_MAX)};
	cr_assert(client.text);
	api_rig_await(client.fd, POLLOUT);
	cr_assert_eq(write(client.fd, request, strlen(request)), (ssize_t)strlen(request));
	client.text[0] = '\0';
	return client;
}

static struct client ask(const char *request)
{
	return ask_by(true, request);
}

static struct client open_stream_by(bool is_local)
{
	return ask_by(is_local, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static struct client open_stream(void)
{
	return open_stream_by(true);
}

static void close_client(struct client *client)
{
	close(client->fd);
	free(client->text);
}

static void take(struct client *client)
{
	ssize_t n = read(client->fd, client->text + client->size, ANSWER_MAX - 1 - client->size);
	if (n > 0)
		client->size += (size_t)n;
	client->text[client->size] = '\0';
	client->is_closed = n == 0 || (n < 0 && errno != EAGAIN);
}

// Until `word` has come after `from`; returns where it is.
static const char *await(struct client *client, size_t from, const char *word)
{
	time_t end = time(NULL) + PATIENCE_S;
	const char *found = NULL;
	while (!(found = strstr(client->text + from, word)) && time(NULL) < end) {
		turn();
		take(client);
	}
	cr_assert(found, "no \"%s\" in %s", word, client->text);
	return found;
}

static void await_close(struct client *client)
{
	time_t end = time(NULL) + PATIENCE_S;
	while (!client->is_closed && time(NULL) < end) {
		turn();
		take(client);
	}
	cr_assert(client->is_closed);
}

Test(live, a_stream_begins_with_the_history_and_goes_on_every_second)
{
	struct client client = open_stream();
	await(&client, 0, "HTTP/1.1 200 OK");
	await(&client, 0, "Content-Type: text/event-stream");
	const char *first = await(&client, 0, "event: history\ndata: []\n\n");
	const char *second = await(&client, (size_t)(first - client.text), "\"flows_per_s\":");
	await(&client, (size_t)(second - client.text) + 1, "\"flows_per_s\":");
	close_client(&client);
	struct client late = open_stream();
	first = await(&late, 0, "event: sample\ndata: {");
	const char *past = strstr(late.text, "event: history\ndata: [{");
	cr_assert(past && past < first, "%s", late.text);
	close_client(&late);
}

Test(live, an_event_is_told_at_once)
{
	struct client client = open_stream();
	await(&client, 0, "event: history");
	events_add(events, EVENT_HEALTH, LOG_WARN, "web/b1", "down: refused");
	await(&client, 0, "event: event\ndata: {\"time\":\"");
	await(&client, 0, "\"subject\":\"web/b1\",\"text\":\"down: refused\"}\n\n");
	close_client(&client);
}

Test(live, there_is_a_bound_on_streams_and_who_leaves_makes_room)
{
	struct client clients[LIVE_STREAMS];
	for (int i = 0; i < LIVE_STREAMS; i++) {
		clients[i] = open_stream();
		await(&clients[i], 0, "event: history");
	}
	struct client refused = open_stream();
	await(&refused, 0, "HTTP/1.1 503 ");
	await_close(&refused);
	close_client(&refused);
	close_client(&clients[3]);
	for (int i = 0; i < 10; i++)
		turn();
	clients[3] = open_stream();
	await(&clients[3], 0, "event: history");
	events_add(events, EVENT_ADMIN, LOG_INFO, "", "for all");
	for (int i = 0; i < LIVE_STREAMS; i++) {
		await(&clients[i], 0, "for all");
		close_client(&clients[i]);
	}
}

Test(live, who_comes_by_tcp_cannot_keep_the_administrator_out)
{
	struct client clients[LIVE_STREAMS];
	for (int i = 0; i < LIVE_STREAMS; i++) {
		clients[i] = open_stream_by(false);
		await(&clients[i], 0, "event: history");
	}
	struct client refused = open_stream_by(false);
	await(&refused, 0, "HTTP/1.1 503 ");
	close_client(&refused);
	struct client local = open_stream();
	await(&local, 0, "event: history");
	close_client(&local);
	for (int i = 0; i < LIVE_STREAMS; i++)
		close_client(&clients[i]);
}

Test(live, who_does_not_read_is_let_go_and_the_others_go_on)
{
	struct client idle = open_stream();
	struct client reader = open_stream();
	await(&idle, 0, "event: history");
	await(&reader, 0, "event: history");
	// More than its bound and what the kernel holds.
	for (int i = 0; i < 3 * (LIVE_UNSENT_MAX / EVENT_TEXT_MAX); i++) {
		events_add(events, EVENT_ADMIN, LOG_INFO, "", "%*d", EVENT_TEXT_MAX - 1, i);
		if (i % 16 == 0) {
			turn();
			take(&reader);
		}
	}
	events_add(events, EVENT_ADMIN, LOG_INFO, "", "the last");
	await(&reader, 0, "the last");
	cr_assert_not(reader.is_closed);
	await_close(&idle);
	cr_assert_null(strstr(idle.text, "the last"));
	close_client(&idle);
	close_client(&reader);
}

Test(live, stopping_ends_the_streams)
{
	struct client client = open_stream();
	await(&client, 0, "event: history");
	live_stop(live);
	live = NULL;
	await_close(&client);
	close_client(&client);
}

Test(live, head_gets_no_stream)
{
	struct client client = ask("HEAD /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	await_close(&client);
	cr_assert(strstr(client.text, "200 OK"));
	cr_assert_null(strstr(client.text, "event:"));
	close_client(&client);
}

Test(live, events_are_listed_up_to_a_limit_that_is_a_number)
{
	events_add(events, EVENT_START, LOG_INFO, "", "one");
	events_add(events, EVENT_START, LOG_INFO, "", "two");
	struct client client =
		ask("GET /api/v1/events?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
	await_close(&client);
	cr_assert(strstr(client.text, "\"two\""));
	cr_assert_null(strstr(client.text, "\"one\""));
	close_client(&client);
	client = ask("GET /api/v1/events?limit=-1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
	await_close(&client);
	cr_assert(strstr(client.text, "HTTP/1.1 400 "));
	close_client(&client);
}

// Seconds since 1970, and the next one in the text.
static double next_time(const char **text)
{
	struct tm tm = {0};
	char *end = NULL;
	const char *found = strstr(*text, "\"time\":\"");
	cr_assert(found);
	const char *rest = strptime(found + strlen("\"time\":\""), "%Y-%m-%dT%H:%M:%S", &tm);
	cr_assert(rest);
	double fraction = strtod(rest, &end); // of ".123Z"
	cr_assert(*end == 'Z');
	*text = end;
	return (double)timegm(&tm) + fraction;
}

static void turn_for_s(unsigned seconds)
{
	uint64_t end_ns = clock_now_ns() + seconds * NS_PER_SEC;
	while (clock_now_ns() < end_ns)
		turn();
}

// There are flows, which stand idle.
Test(live, a_rest_has_left_no_gap_in_the_history_of_who_comes_then)
{
	enum { REST_S = 4 };
	time_t end = time(NULL) + PATIENCE_S;
	while (!activity_is_resting(activity) && time(NULL) < end)
		turn();
	cr_assert(activity_is_resting(activity));
	turn_for_s(REST_S);
	cr_assert(activity_is_resting(activity));
	struct client client = open_stream();
	const char *at = await(&client, 0, "event: history\ndata: [");
	await(&client, (size_t)(at - client.text), "event: sample");
	double last = next_time(&at);
	for (unsigned n = 1; n < REST_S; n++) {
		double now = next_time(&at);
		cr_expect(now - last > 0.4 && now - last < 1.6, "%f s", now - last);
		last = now;
	}
	cr_expect_not(activity_is_resting(activity), "somebody reads");
	close_client(&client);
}
