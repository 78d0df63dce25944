// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MS_PER_S = 1000, HTTP_OK = 200, URL_MAX = 2048 };

// What a transfer in progress needs.
struct transfer {
	CURL *handle;                       // borrowed
	const struct client_stream *stream; // borrowed; NULL: everything goes to the answer
	struct client_answer *answer;       // borrowed
	bool is_ended_by_sink;
};

void client_answer_fini(struct client_answer *answer)
{
	free(answer->text);
	*answer = (struct client_answer){0};
}

void client_answer_reset(struct client_answer *answer)
{
	answer->status = 0;
	answer->length = 0;
}

static bool append(struct client_answer *answer, const char *bytes, size_t length)
{
	size_t needed = answer->length + length + 1;
	if (length > CLIENT_MAX_ANSWER_BYTES - answer->length)
		return false;
	if (needed > answer->room) {
		size_t room = needed * 2;
		char *text = realloc(answer->text, room);
		if (!text)
			return false;
		answer->text = text;
		answer->room = room;
	}
	memcpy(answer->text + answer->length, bytes, length);
	answer->length += length;
	answer->text[answer->length] = '\0';
	return true;
}

static size_t take_answer(char *bytes, size_t size, size_t n, void *arg)
{
	return append(arg, bytes, size * n) ? size * n : 0;
}

static size_t take_piece(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *transfer = arg;
	long status = 0;
	curl_easy_getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
	if (status != HTTP_OK)
		return take_answer(bytes, size, n, transfer->answer);
	if (transfer->stream->sink(transfer->stream->arg, bytes, size * n))
		return size * n;
	transfer->is_ended_by_sink = true;
	return 0;
}

static int look_up(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		   curl_off_t up)
{
	struct transfer *transfer = arg;
	(void)down_total, (void)down, (void)up_total, (void)up;
	transfer->is_ended_by_sink =
		transfer->is_ended_by_sink || !transfer->stream->wants_more(transfer->stream->arg);
	return transfer->is_ended_by_sink;
}

// Proxies of the environment are not for a socket of this host.
static CURL *open_handle(const struct ctl *ctl, const char *path)
{
	char url[URL_MAX];
	CURL *handle = curl_easy_init();
	if (!handle)
		return NULL;
	snprintf(url, sizeof(url), "http://culvert%s", path);
	curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, ctl->socket_path);
	curl_easy_setopt(handle, CURLOPT_USERAGENT, "culvertctl/" CULVERT_VERSION);
	curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)ctl->timeout_ms);
	if (curl_easy_setopt(handle, CURLOPT_URL, url) == CURLE_OK)
		return handle;
	curl_easy_cleanup(handle);
	return NULL;
}

CURL *client_handle(const struct ctl *ctl, const char *path, struct client_answer *answer)
{
	CURL *handle = open_handle(ctl, path);
	if (!handle)
		return NULL;
	curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)ctl->timeout_ms);
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(handle, CURLOPT_WRITEDATA, answer);
	return handle;
}

static int no_connection(const struct ctl *ctl, int system_error, struct err *err)
{
	const char *path = ctl->socket_path;
	switch (system_error) {
	case ENOENT:
		return err_set(
			err, -ENOENT,
			"there is no socket %s\n"
			"Is culvert running? `systemctl start culvert' starts it; if its [api] "
			"socket is elsewhere: --socket=PATH",
			path);
	case ECONNREFUSED:
		return err_set(err, -ECONNREFUSED,
			       "nobody listens on %s\nculvert has ended; start it again", path);
	case EACCES:
	case EPERM:
		return err_set(err, -EACCES,
			       "no permission for %s\nIt belongs to who runs culvert: try sudo",
			       path);
	case EAGAIN:
		return err_set(err, -EAGAIN, "too many clients wait at %s\nTry again in a moment",
			       path);
	case ENOTSOCK:
		return err_set(err, -ENOTSOCK, "%s is not a socket", path);
	default:
		return err_sys(err, -(system_error ? system_error : EIO), "cannot connect to %s",
			       path);
	}
}

// libcurl keeps the system's error of a failed connect to a Unix socket to itself.
static int connect_error(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr.sun_path))
		return ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	int error = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) ? errno : 0;
	close(fd);
	return error;
}

int client_failure(const struct ctl *ctl, CURLcode result, CURL *handle, struct err *err)
{
	long system_error = 0;
	// libcurl takes a socket without room in its queue for one that is connected.
	if (result == CURLE_SEND_ERROR && connect_error(ctl->socket_path) == EAGAIN)
		return no_connection(ctl, EAGAIN, err);
	switch (result) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_FAILED_INIT:
		curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &system_error);
		if (system_error == 0)
			system_error = connect_error(ctl->socket_path);
		return no_connection(ctl, (int)system_error, err);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(
			err, -ETIMEDOUT,
			"no answer on %s within %u s\n"
			"culvert may be stopped or overloaded: look at its log; --timeout=SECONDS "
			"waits longer",
			ctl->socket_path, ctl->timeout_ms / MS_PER_S);
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return err_set(err, -ECONNRESET,
			       "the connection to %s ended within the answer\n"
			       "Has culvert ended? Its log says why; try again",
			       ctl->socket_path);
	case CURLE_OUT_OF_MEMORY:
		return err_set(err, -ENOMEM, "not enough memory");
	default:
		return err_set(err, -EPROTO,
			       "what listens on %s does not answer as culvert does: %s",
			       ctl->socket_path, curl_easy_strerror(result));
	}
}

static int perform(const struct ctl *ctl, CURL *handle, struct transfer *transfer, struct err *err)
{
	CURLcode result = curl_easy_perform(handle);
	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &transfer->answer->status);
	if (result == CURLE_OK || transfer->is_ended_by_sink)
		return 0;
	return client_failure(ctl, result, handle, err);
}

int client_ask(const struct ctl *ctl, const char *path, const char *body,
	       struct client_answer *answer, struct err *err)
{
	CURL *handle = client_handle(ctl, path, answer);
	struct curl_slist *headers = NULL;
	if (!handle)
		return err_set(err, -ENOMEM, "not enough memory");
	if (body) {
		headers = curl_slist_append(NULL, "Content-Type: application/json");
		curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
	}
	struct transfer transfer = {.handle = handle, .answer = answer};
	int code = perform(ctl, handle, &transfer, err);
	curl_easy_cleanup(handle);
	curl_slist_free_all(headers);
	return code;
}

int client_stream(const struct ctl *ctl, const struct client_stream *stream,
		  struct client_answer *answer, struct err *err)
{
	CURL *handle = open_handle(ctl, stream->path);
	if (!handle)
		return err_set(err, -ENOMEM, "not enough memory");
	struct transfer transfer = {.handle = handle, .stream = stream, .answer = answer};
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_piece);
	curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
	curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)(stream->silence_ms / MS_PER_S));
	if (stream->wants_more) {
		curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, look_up);
		curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &transfer);
	}
	int code = perform(ctl, handle, &transfer, err);
	curl_easy_cleanup(handle);
	return code;
}

void client_escape(char *to, size_t room, const char *text)
{
	size_t length = strlen(to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool is_plain = (c < 0x80 && isalnum(c)) || strchr("-._~", c);
		size_t needed = is_plain ? 1 : 3;
		if (length + needed >= room)
			return;
		if (is_plain)
			to[length] = (char)c;
		else
			snprintf(to + length, room - length, "%%%02X", c);
		length += needed;
		to[length] = '\0';
	}
}
