// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>

#include "culvert/base/line.h"
#include "culvert/flow/flow_end.h"
#include "culvert/flow/session_end.h"
#include "culvert/flow/tcp_state.h"
#include "flow_writer.h"

static void add_time(struct line *line, int64_t unix_ms)
{
	char text[LINE_TIME_MAX];
	struct timespec time = {unix_ms / 1000, unix_ms % 1000 * 1000000};
	line_add(line, "time", line_format_time(&time, text));
}

static void add_endpoint(struct line *line, const char *key, const struct ip_addr *addr,
			 uint16_t port_be)
{
	char text[ENDPOINT_TEXT_MAX];
	const struct endpoint endpoint = {.addr = *addr, .port_be = port_be};
	line_add(line, key, endpoint_format(&endpoint, text));
}

// Out of the table only when there was no memory for a new name.
static const struct flow_name *find(const struct flow_name *list, uint32_t count, uint32_t slot)
{
	static char none[] = "?";
	static const struct flow_name unknown = {none, none};
	return slot < count && list[slot].pool ? &list[slot] : &unknown;
}

static void add_names(struct line *line, const struct flow_record *record,
		      const struct flow_names *names)
{
	const struct flow_name *frontend =
		find(names->frontends, names->n_frontends, record->frontend);
	const struct flow_name *backend = find(names->backends, names->n_backends, record->backend);
	line_add(line, "frontend", frontend->name);
	line_add(line, "pool", record->has_backend ? backend->pool : frontend->pool);
	if (record->has_backend)
		line_add(line, "backend", backend->name);
	if (record->nat_port)
		add_endpoint(line, "nat", &record->nat, htons(record->nat_port));
}

static void add_end(struct line *line, const struct flow_record *record, enum mode mode)
{
	line_add_number(line, "bytes_tx", record->bytes_tx);
	line_add_number(line, "bytes_rx", record->bytes_rx);
	line_add_seconds(line, "duration", record->end_ms - record->start_ms);
	if (mode == MODE_PROXY) {
		line_add(line, "end", session_end_name((enum session_end)record->end));
		return;
	}
	line_add(line, "end", flow_end_name((enum flow_end)record->end));
	line_add(line, "state", flow_state_name((enum flow_state)record->state));
}

size_t flow_line_format(const struct flow_record *record, const struct flow_names *names,
			const struct flow_line_style *style, char *text)
{
	struct line line;
	line_begin(&line, text, FLOW_LINE_MAX, style->is_json ? LINE_JSON : LINE_LOGFMT);
	add_time(&line, (int64_t)record->end_ms + style->clock_ms);
	line_add(&line, "event", record->is_start ? "start" : "end");
	line_add(&line, "protocol", record->proto == IPPROTO_TCP ? "tcp" : "udp");
	add_endpoint(&line, "client", &record->client, record->client_port_be);
	add_names(&line, record, names);
	if (!record->is_start)
		add_end(&line, record, style->mode);
	return line_end(&line);
}
