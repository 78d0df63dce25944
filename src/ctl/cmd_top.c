// SPDX-License-Identifier: Apache-2.0
// `culvertctl top`: a view that moves. One thread: it waits for keys and for culvert at once, so
// that neither holds up the other.
#include <errno.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/stop.h"
#include "ctl/top_model.h"
#include "ctl/top_view.h"
#include "ctl/usage.h"
#include "culvert/base/clock.h"

enum { STATUS, FRONTENDS, BACKENDS, N_PARTS, HTTP_OK = 200, INTERVAL_MS = 1000, ESCAPE_MS = 25 };

static const char *const paths[N_PARTS] = {
	[STATUS] = "/api/v1/status",
	[FRONTENDS] = "/api/v1/frontends",
	[BACKENDS] = "/api/v1/backends",
};

struct top {
	const struct ctl *ctl;
	CURLM *multi;
	CURL *handles[N_PARTS];
	struct client_answer answers[N_PARTS];
	int n_running;          // of a round
	uint64_t next_round_ns; // when it begins
	struct err trouble;     // of the round that runs; no message: none
	struct err shown;       // of the last that has ended
	struct top_model model;
	struct top_view view;
};

// ---- asking ------------------------------------------------------------------------------------

static bool open_top(struct top *top)
{
	top->multi = curl_multi_init();
	if (!top->multi)
		return false;
	for (size_t i = 0; i < N_PARTS; i++) {
		top->handles[i] = client_handle(top->ctl, paths[i], &top->answers[i]);
		if (!top->handles[i])
			return false;
	}
	return true;
}

static void close_top(struct top *top)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		if (top->handles[i]) {
			curl_multi_remove_handle(top->multi, top->handles[i]);
			curl_easy_cleanup(top->handles[i]);
		}
		client_answer_fini(&top->answers[i]);
	}
	curl_multi_cleanup(top->multi);
	top_model_fini(&top->model);
}

static void begin_round(struct top *top)
{
	*top->trouble.message = '\0';
	for (size_t i = 0; i < N_PARTS; i++) {
		client_answer_reset(&top->answers[i]);
		curl_multi_add_handle(top->multi, top->handles[i]);
	}
	top->n_running = N_PARTS;
	top->next_round_ns = clock_now_ns() + INTERVAL_MS * NS_PER_MS;
}

static json_t *parse(struct top *top, size_t part)
{
	long status = 0;
	curl_easy_getinfo(top->handles[part], CURLINFO_RESPONSE_CODE, &status);
	const struct client_answer *answer = &top->answers[part];
	json_t *object = answer->text ? json_loadb(answer->text, answer->length, 0, NULL) : NULL;
	if (status == HTTP_OK && json_is_object(object))
		return object;
	json_decref(object);
	err_set(&top->trouble, -EPROTO, "%s does not answer as culvert does (status %ld)",
		top->ctl->socket_path, status);
	return NULL;
}

static void end_round(struct top *top)
{
	json_t *parts[N_PARTS] = {NULL};
	for (size_t i = 0; i < N_PARTS && !*top->trouble.message; i++)
		parts[i] = parse(top, i);
	if (*top->trouble.message) {
		for (size_t i = 0; i < N_PARTS; i++)
			json_decref(parts[i]);
		return;
	}
	struct top_answers answers = {parts[STATUS], parts[FRONTENDS], parts[BACKENDS]};
	if (!top_model_update(&top->model, &answers, clock_now_ns()))
		err_set(&top->trouble, -ENOMEM, "not enough memory");
}

// True when this ended a round.
static bool go_on(struct top *top)
{
	int n_left;
	const CURLMsg *message;
	curl_multi_perform(top->multi, &n_left);
	if (top->n_running == 0)
		return false;
	while ((message = curl_multi_info_read(top->multi, &n_left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		if (message->data.result != CURLE_OK)
			client_failure(top->ctl, message->data.result, message->easy_handle,
				       &top->trouble);
		curl_multi_remove_handle(top->multi, message->easy_handle);
		top->n_running--;
	}
	if (top->n_running > 0)
		return false;
	end_round(top);
	top->shown = top->trouble;
	return true;
}

// ---- waiting -----------------------------------------------------------------------------------

static int until_next_round_ms(const struct top *top)
{
	uint64_t now_ns = clock_now_ns();
	if (top->n_running > 0 || now_ns >= top->next_round_ns)
		return top->n_running > 0 ? INTERVAL_MS : 0;
	return (int)((top->next_round_ns - now_ns) / NS_PER_MS) + 1;
}

// Before the screen is taken: a failure is then told where everybody looks for it.
static int first_round(struct top *top)
{
	begin_round(top);
	while (!go_on(top))
		curl_multi_poll(top->multi, NULL, 0, INTERVAL_MS, NULL);
	if (!*top->trouble.message)
		return CTL_OK;
	return ask_stream_failure(top->ctl, -1, &top->trouble, NULL);
}

static void draw(struct top *top)
{
	char trouble[ERR_MESSAGE_MAX];
	snprintf(trouble, sizeof(trouble), "%s", top->shown.message);
	trouble[strcspn(trouble, "\n")] = '\0';
	top_view_draw(&top->view, &top->model, *trouble ? trouble : NULL);
}

// Returns false when the user leaves.
static bool take_keys(struct top *top, bool *is_changed)
{
	int key;
	while ((key = getch()) != ERR) {
		*is_changed = true;
		if (!top_view_key(&top->view, &top->model, key))
			return false;
	}
	return true;
}

static void watch(struct top *top)
{
	draw(top);
	while (!stop_is_wanted()) {
		struct curl_waitfd keyboard = {.fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN};
		bool is_changed = false;
		curl_multi_poll(top->multi, &keyboard, 1, until_next_round_ms(top), NULL);
		if (!take_keys(top, &is_changed))
			return;
		if (top->n_running == 0 && clock_now_ns() >= top->next_round_ns)
			begin_round(top);
		if (go_on(top) || is_changed)
			draw(top);
	}
}

static int on_terminal(struct top *top)
{
	stop_catch_signals(); // before ncurses would catch them, which ends without a word
	set_escdelay(ESCAPE_MS);
	SCREEN *screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		const char *term = getenv("TERM");
		fprintf(stderr,
			"culvertctl: the terminal \"%s\" is not known here; is TERM right?\n",
			term ? term : "");
		return CTL_USAGE;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	top_view_open(top->ctl->has_color);
	watch(top);
	endwin();
	delscreen(screen);
	return CTL_OK;
}

static int run(const struct ctl *ctl, const struct command_args *args)
{
	(void)args;
	struct top top = {.ctl = ctl};
	int code = CTL_NO;
	if (ctl->is_json)
		return usage_error(&top_command, "top is for people; for programs: servers --json");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fputs("culvertctl: top needs a terminal; `culvertctl servers' prints once\n",
		      stderr);
		return CTL_USAGE;
	}
	if (open_top(&top))
		code = first_round(&top);
	else
		fputs("culvertctl: not enough memory\n", stderr);
	if (code == CTL_OK)
		code = on_terminal(&top);
	close_top(&top);
	return code;
}

const struct command top_command = {
	.name = "top",
	.summary = "a live view of pools and servers",
	.help = "A live view, once a second: pools, and with Enter the servers of one. The keys "
		"are on the\n"
		"last line; a key for sorting, pressed again, turns the order round.",
	.run = run,
};
