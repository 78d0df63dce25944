// SPDX-License-Identifier: Apache-2.0
// GET /metrics, for Prometheus. What counts since the start is a counter and ends in _total; times
// are seconds, sizes bytes. What the configuration no longer has is listed until it has drained,
// unless its name is somebody else's already; what pools have counted goes on without it.
#include "control/api_metrics.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/api_request.h"
#include "control/api_server.h"
#include "control/metrics_text.h"

#define MS_PER_S 1e3
#define US_PER_S 1e6

// ---- this process ------------------------------------------------------------------------------

static void put_gauge(FILE *out, const char *name, const char *help, double value)
{
	metrics_family(out, name, METRIC_GAUGE, help);
	metrics_real(out, name, NULL, value);
}

static void put_counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	metrics_family(out, name, METRIC_COUNTER, help);
	metrics_count(out, name, NULL, value);
}

static uint64_t count_descriptors(void)
{
	struct stat status;
	uint64_t n = 0;
	// Linux 6.2 and later say it at once.
	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (uint64_t)status.st_size;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; // without ".", ".." and the directory itself
}

// Resident and virtual, in pages (proc(5)).
static void read_memory(unsigned long *virtual_pages, unsigned long *resident_pages)
{
	FILE *file = fopen("/proc/self/statm", "re");
	*virtual_pages = 0;
	*resident_pages = 0;
	if (!file)
		return;
	char line[128];
	if (fgets(line, sizeof(line), file)) {
		char *end;
		*virtual_pages = strtoul(line, &end, 10);
		*resident_pages = strtoul(end, NULL, 10);
	}
	fclose(file);
}

static double seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / US_PER_S;
}

void metrics_put_process(FILE *out, const struct api_source *source)
{
	struct rusage usage = {0};
	struct rlimit limit = {0};
	unsigned long virtual_pages;
	unsigned long resident_pages;
	double page_bytes = (double)sysconf(_SC_PAGESIZE);
	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_NOFILE, &limit);
	read_memory(&virtual_pages, &resident_pages);
	metrics_family(out, "process_cpu_seconds_total", METRIC_COUNTER,
		       "Processor time of all threads, of user and system.");
	metrics_real(out, "process_cpu_seconds_total", NULL,
		     seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	put_gauge(out, "process_start_time_seconds", "When culvert was started, since 1970.",
		  (double)source->started_ms / MS_PER_S);
	put_gauge(out, "process_resident_memory_bytes", "Memory in use.",
		  (double)resident_pages * page_bytes);
	put_gauge(out, "process_virtual_memory_bytes", "Memory mapped.",
		  (double)virtual_pages * page_bytes);
	put_gauge(out, "process_open_fds", "Open file descriptors.", (double)count_descriptors());
	put_gauge(out, "process_max_fds", "File descriptors that may be open.",
		  (double)limit.rlim_cur);
}

// ---- totals ------------------------------------------------------------------------------------

static void put_packets(FILE *out, const struct packet_stats *stats)
{
	put_counter(out, "culvert_packets_received_total", "Packets handed to culvert.",
		    stats->received);
	put_counter(out, "culvert_packets_forwarded_total", "Rewritten and handed to the network.",
		    stats->verdicts[VERDICT_FORWARDED]);
	put_counter(out, "culvert_packets_passed_total", "Left to the kernel.",
		    stats->verdicts[VERDICT_PASSED]);
	metrics_family(out, "culvert_packets_dropped_total", METRIC_COUNTER,
		       "Packets dropped, by reason.");
	for (unsigned v = VERDICT_PASSED + 1; v < N_VERDICTS; v++) {
		const struct metric_label labels[] = {{"reason", verdict_name((enum verdict)v)},
						      {NULL, NULL}};
		metrics_count(out, "culvert_packets_dropped_total", labels, stats->verdicts[v]);
	}
	put_gauge(out, "culvert_packets_held", "Fragments that wait for their first one.",
		  (double)stats->held);
	put_counter(out, "culvert_packets_generated_total", "Resets and ICMP errors made here.",
		    stats->generated);
	put_counter(out, "culvert_packets_suppressed_total",
		    "Resets and ICMP errors not made, for their rate is limited.",
		    stats->suppressed);
	put_counter(out, "culvert_packets_kernel_dropped_total",
		    "Frames that the kernel could not queue for culvert.", stats->kernel_dropped);
	put_gauge(out, "culvert_flows", "Entries in the flow tables.", (double)stats->flows);
	put_gauge(out, "culvert_flows_limit", "The most entries there can be.",
		  (double)stats->flow_capacity);
	put_gauge(out, "culvert_fast_path_flows",
		  "Of these entries: flows whose packets the kernel forwards.",
		  (double)stats->fast_flows);
	put_counter(out, "culvert_fast_path_packets_total",
		    "Of the packets forwarded: by the kernel, on the fast path.",
		    stats->fast_packets);
	put_counter(out, "culvert_flows_reclaimed_total",
		    "Flows half open or finished that were ended early to make room.",
		    stats->flows_reclaimed);
}

static void put_sessions(FILE *out, const struct proxy_stats *stats, uint64_t max_sessions)
{
	put_counter(out, "culvert_sessions_accepted_total", "Connections taken from clients.",
		    stats->accepted);
	put_gauge(out, "culvert_sessions", "Sessions that are open.",
		  (double)stats->total.current_connections);
	put_gauge(out, "culvert_sessions_limit", "The most sessions there can be.",
		  (double)max_sessions);
	metrics_family(out, "culvert_sessions_ended_total", METRIC_COUNTER,
		       "Sessions that have ended, by how.");
	for (unsigned i = 0; i < N_SESSION_ENDS; i++) {
		const struct metric_label labels[] = {{"end",
						       session_end_name((enum session_end)i)},
						      {NULL, NULL}};
		metrics_count(out, "culvert_sessions_ended_total", labels, stats->ends[i]);
	}
	put_counter(out, "culvert_accept_pauses_total", "Times that accepting stopped for a while.",
		    stats->accept_pauses);
}

static void put_flow_log(FILE *out, const struct flow_log_stats *stats)
{
	if (!stats->is_on)
		return;
	put_counter(out, "culvert_flow_log_records_total", "Lines written to the flow log.",
		    stats->lines);
	put_counter(out, "culvert_flow_log_lost_total",
		    "Lines that the flow log lacks: the disk was too slow, or did not take them.",
		    stats->dropped + stats->unwritten);
}

void metrics_put_totals(FILE *out, const struct api_source *source, const struct stats *stats)
{
	struct api_status status = {0};
	const struct metric_label build[] = {{"version", CULVERT_VERSION},
					     {"mode", mode_name(api_config(source)->mode)},
					     {NULL, NULL}};
	source->ops->status(source->arg, &status);
	json_decref(status.last_reload);
	metrics_family(out, "culvert_build_info", METRIC_GAUGE, "1; what runs is in the labels.");
	metrics_count(out, "culvert_build_info", build, 1);
	put_gauge(out, "culvert_config_generation", "Configurations taken over since the start.",
		  (double)registry_generation(source->registry));
	put_gauge(out, "culvert_threads", "Threads of the data path.", (double)status.n_threads);
	if (stats->mode == MODE_PROXY)
		put_sessions(out, &stats->sessions, status.max_sessions);
	else
		put_packets(out, &stats->packets);
	put_flow_log(out, &stats->flow_log);
}

// ---- the answer --------------------------------------------------------------------------------

static bool put_all(FILE *out, const struct api_source *source, const struct stats *stats)
{
	metrics_put_process(out, source);
	metrics_put_totals(out, source, stats);
	bool is_whole = metrics_put_objects(out, source, stats);
	return fclose(out) == 0 && is_whole;
}

static void on_metrics(struct api_request *request, void *arg)
{
	(void)arg;
	struct stats stats = {0};
	char *text = NULL;
	size_t size = 0;
	if (!api_gather(request, &stats)) {
		stats_fini(&stats);
		return;
	}
	FILE *out = open_memstream(&text, &size);
	if (out && put_all(out, request->source, &stats))
		api_answer_bytes(request, 200, METRICS_CONTENT_TYPE, text, size);
	else
		api_answer_error(request, 500, NULL, "not enough memory for the answer");
	free(text);
	stats_fini(&stats);
}

void api_add_metrics(struct api *api)
{
	static const struct api_route route = {EVHTTP_REQ_GET, "/metrics", on_metrics};
	api_add_routes(api, &route, 1, NULL);
}
