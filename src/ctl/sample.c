// SPDX-License-Identifier: Apache-2.0
#include "ctl/sample.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/stop.h"

enum {
	HTTP_OK = 200,
	MS_PER_S = 1000,
	PATH_MAX_BYTES = 512,
	PCAP_HEAD_BYTES = 24,   // draft-ietf-opsawg-pcap: the file's header
	PCAP_RECORD_BYTES = 16, // and that of a packet
	PCAP_CAPTURED_AT = 8,   // in it: how much of the packet follows
};

// Counts the packets of a capture file that passes by.
struct sink {
	FILE *file;
	uint64_t n_packets;
	unsigned char head[PCAP_HEAD_BYTES];
	size_t n_head; // of the header that is being read
	size_t skip;   // bytes of the packet that are still to come
	bool is_past_file_head;
	bool is_write_error;
};

static void end_of_head(struct sink *sink)
{
	uint32_t captured;
	sink->n_head = 0;
	if (!sink->is_past_file_head) {
		sink->is_past_file_head = true;
		return;
	}
	// In the byte order of this host, on which culvert has written it.
	memcpy(&captured, sink->head + PCAP_CAPTURED_AT, sizeof(captured));
	sink->skip = captured;
	sink->n_packets++;
}

static void count_packets(struct sink *sink, const char *bytes, size_t length)
{
	while (length > 0) {
		size_t wanted = sink->is_past_file_head ? PCAP_RECORD_BYTES : PCAP_HEAD_BYTES;
		size_t n = sink->skip ? sink->skip : wanted - sink->n_head;
		n = n < length ? n : length;
		if (sink->skip) {
			sink->skip -= n;
		} else {
			memcpy(sink->head + sink->n_head, bytes, n);
			sink->n_head += n;
			if (sink->n_head == wanted)
				end_of_head(sink);
		}
		bytes += n;
		length -= n;
	}
}

static bool take(void *arg, const char *bytes, size_t length)
{
	struct sink *sink = arg;
	count_packets(sink, bytes, length);
	sink->is_write_error = fwrite(bytes, 1, length, sink->file) != length;
	return !sink->is_write_error;
}

static bool wants_more(void *arg)
{
	(void)arg;
	return !stop_is_wanted();
}

static int file_error(const char *what, const char *path)
{
	fprintf(stderr, "culvertctl: cannot %s %s: %s\n", what, path, strerror(errno));
	return CTL_NO;
}

static int download(const struct ctl *ctl, const struct sample *sample, struct sink *sink)
{
	char path[PATH_MAX_BYTES] = "/api/v1/drops/";
	struct client_answer answer = {0};
	struct err err = {0};
	client_escape(path, sizeof(path), sample->reason);
	size_t length = strlen(path);
	snprintf(path + length, sizeof(path) - length, "/sample?count=%ld&seconds=%ld",
		 sample->n_packets, sample->duration_s);
	struct client_stream stream = {
		.path = path,
		.sink = take,
		.wants_more = wants_more,
		.arg = sink,
		.silence_ms = (uint32_t)sample->duration_s * MS_PER_S + ctl->timeout_ms,
	};
	int code = client_stream(ctl, &stream, &answer, &err);
	int result = CTL_OK;
	if (sink->is_write_error)
		result = file_error("write to", sample->file);
	else if (stop_is_wanted())
		result = CTL_NO;
	else if (code || answer.status != HTTP_OK)
		result = ask_stream_failure(ctl, code, &err, &answer);
	client_answer_fini(&answer);
	return result;
}

static int to_stdout(const struct ctl *ctl, const struct sample *sample, struct sink *sink)
{
	if (isatty(STDOUT_FILENO)) {
		fputs("culvertctl: a capture is not for a terminal: name a file, or pipe it into "
		      "`tcpdump -nr -'\n",
		      stderr);
		return CTL_USAGE;
	}
	sink->file = stdout;
	return download(ctl, sample, sink);
}

// Beside the file that it becomes, so that a rename is enough.
static int to_file(const struct ctl *ctl, const struct sample *sample, struct sink *sink)
{
	char temporary[PATH_MAX];
	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", sample->file) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return file_error("write", sample->file);
	}
	int fd = mkstemp(temporary);
	if (fd < 0)
		return file_error("write", sample->file);
	sink->file = fdopen(fd, "wb");
	int code = sink->file ? download(ctl, sample, sink) : file_error("write", sample->file);
	bool is_closed = sink->file ? fclose(sink->file) == 0 : close(fd) == 0;
	if (code == CTL_OK && (!is_closed || rename(temporary, sample->file)))
		code = file_error("write", sample->file);
	if (code != CTL_OK)
		unlink(temporary);
	return code;
}

static int tell(const struct sample *sample, uint64_t n_packets, FILE *out, const char *where)
{
	if (n_packets == 0)
		fprintf(out, "No packet was dropped as %s within %ld s.\n", sample->reason,
			sample->duration_s);
	else
		fprintf(out, "%llu packet%s dropped as %s in %s\n", (unsigned long long)n_packets,
			n_packets == 1 ? "" : "s", sample->reason, where);
	return CTL_OK;
}

static int tell_json(const struct sample *sample, uint64_t n_packets)
{
	json_t *object = json_pack("{s:s,s:o,s:I}", "reason", sample->reason, "file",
				   ask_text_json(sample->file), "packets", (json_int_t)n_packets);
	int code = object ? ask_print_json(object) : CTL_NO;
	json_decref(object);
	return code;
}

int sample_take(const struct ctl *ctl, const struct sample *sample)
{
	struct sink sink = {0};
	stop_catch_signals();
	bool is_stdout = strcmp(sample->file, "-") == 0;
	int code = is_stdout ? to_stdout(ctl, sample, &sink) : to_file(ctl, sample, &sink);
	if (code != CTL_OK)
		return code;
	if (is_stdout) // which is the capture
		return tell(sample, sink.n_packets, stderr, "standard output");
	return ctl->is_json ? tell_json(sample, sink.n_packets)
			    : tell(sample, sink.n_packets, stdout, sample->file);
}
