// SPDX-License-Identifier: Apache-2.0
#include "config/schema.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>

#include "culvert/config/config.h"

#define FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define ARRAY(type, member, count, most)                                    \
	.offset = offsetof(type, member), .offset2 = offsetof(type, count), \
	.size = sizeof(*((type *)0)->member), .max = (most)
#define TABLE(array)    .keys = (array), .n_keys = sizeof(array) / sizeof((array)[0])

#define SECONDS_MAX     2592000 // 30 days: as good as never; as milliseconds it fits 32 bits
#define MS(seconds)     ((int64_t)((seconds)*INT64_C(1000)))
#define CAPACITY_MAX    (1 << 28)
#define BUSY_POLL_MAX   1000 // microseconds
#define CONNECTIONS_MAX 10000000
#define KEEPALIVE_MAX   32767 // seconds; what Linux takes
#define MSS_MIN         88    // what Linux goes down to
#define MSS_MAX         65495 // the longest IPv4 packet without its headers
#define HTTP_PATH_MAX   1024
#define DATAGRAM_MAX    1232 // what crosses every network whole: IPv6's least MTU without headers
#define MAGLEV_MAX      8388593 // the largest prime below 2^23; a table of 32 MiB

static const struct schema_choice modes[] = {
	{"proxy", MODE_PROXY},
	{"passthrough", MODE_PASSTHROUGH},
	{"dsr", MODE_DSR},
	{NULL, 0},
};

static const struct schema_choice protocols[] = {
	{"tcp", IPPROTO_TCP},
	{"udp", IPPROTO_UDP},
	{NULL, 0},
};

static const struct schema_choice hashes[] = {
	{"5-tuple", HASH_5_TUPLE},
	{"source-ip", HASH_SOURCE_IP},
	{NULL, 0},
};

static const struct schema_choice health_checks[] = {
	{"tcp", HEALTH_TCP}, {"http", HEALTH_HTTP}, {"udp", HEALTH_UDP}, {"none", HEALTH_NONE},
	{NULL, 0},
};

static const struct schema_choice http_methods[] = {
	{"GET", HTTP_GET},
	{"HEAD", HTTP_HEAD},
	{NULL, 0},
};

static const struct schema_choice on_backend_down[] = {
	{"reset", ON_DOWN_RESET},
	{"keep", ON_DOWN_KEEP},
	{NULL, 0},
};

static const struct schema_choice workers[] = {
	{"auto", WORKERS_AUTO},
	{NULL, 0},
};

static const struct schema_choice threads[] = {
	{"auto", THREADS_AUTO},
	{NULL, 0},
};

static const struct schema_choice schedulers[] = {
	{"maglev", SCHEDULER_MAGLEV},
	{"round-robin", SCHEDULER_ROUND_ROBIN},
	{"weighted-round-robin", SCHEDULER_WEIGHTED_ROUND_ROBIN},
	{"least-connections", SCHEDULER_LEAST_CONNECTIONS},
	{"random", SCHEDULER_RANDOM_TWO},
	{NULL, 0},
};

static const struct schema_choice send_proxy[] = {
	{"none", SEND_PROXY_NONE},
	{"v1", SEND_PROXY_V1},
	{"v2", SEND_PROXY_V2},
	{NULL, 0},
};

static const struct schema_choice on_full[] = {
	{"wait", ON_FULL_WAIT},
	{"refuse", ON_FULL_REFUSE},
	{NULL, 0},
};

static const struct schema_choice dsr_methods[] = {
	{"nat", DSR_NAT},
	{"l2", DSR_L2},
	{"ipip", DSR_IPIP},
	{NULL, 0},
};

static const struct schema_choice mss_clamps[] = {
	{"auto", MSS_CLAMP_AUTO},
	{"off", MSS_CLAMP_OFF},
	{NULL, 0},
};

static const struct schema_choice io_kinds[] = {
	{"afpacket", IO_AFPACKET},
	{"xdp", IO_XDP},
	{NULL, 0},
};

static const struct schema_choice fast_path_uses[] = {
	{"auto", FAST_PATH_AUTO},
	{"always", FAST_PATH_ALWAYS},
	{"off", FAST_PATH_OFF},
	{NULL, 0},
};

static const struct schema_choice no_path[] = {
	{"off", 0},
	{NULL, 0},
};

static const struct schema_choice log_levels[] = {
	{"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO},
	{"debug", LOG_DEBUG}, {NULL, 0},
};

static const struct schema_choice log_formats[] = {
	{"text", LOG_AS_TEXT},
	{"logfmt", LOG_AS_LOGFMT},
	{"json", LOG_AS_JSON},
	{NULL, 0},
};

static const struct schema_choice flow_log_formats[] = {
	{"logfmt", LOG_AS_LOGFMT},
	{"json", LOG_AS_JSON},
	{NULL, 0},
};

static const struct schema_choice log_outputs[] = {
	{"stderr", LOG_TO_STDERR},
	{"syslog", LOG_TO_SYSLOG},
	{"journal", LOG_TO_JOURNAL},
	{NULL, 0},
};

static const struct schema_key frontend_keys[] = {
	{"listen_addr", SCHEMA_ENDPOINT, .is_required = true,
	 FIELD(struct config_frontend, endpoint)},
	{"backend", SCHEMA_REFERENCE, .is_required = true},
	{"protocol", SCHEMA_CHOICE, FIELD(struct config_frontend, endpoint.proto),
	 .choices = protocols, .fallback = "tcp"},
	{"hash", SCHEMA_CHOICE, FIELD(struct config_frontend, hash), .choices = hashes,
	 .fallback = "5-tuple"},
	{"scheduler", SCHEMA_CHOICE, FIELD(struct config_frontend, scheduler),
	 .choices = schedulers, .fallback = "maglev"},
	{"max_connections", SCHEMA_NUMBER, FIELD(struct config_frontend, max_connections),
	 .max = CONNECTIONS_MAX, .fallback = "0"},
	{"accept_proxy", SCHEMA_NETWORK, .is_list = true,
	 ARRAY(struct config_frontend, accept_proxy, n_accept_proxy, CONFIG_MAX_NETWORKS)},
};

static const struct schema_key server_keys[] = {
	{"addr", SCHEMA_BACKEND_ADDR, .is_required = true, FIELD(struct config_backend, endpoint),
	 .offset2 = offsetof(struct config_backend, unix_path)},
	{"weight", SCHEMA_NUMBER, FIELD(struct config_backend, weight), .max = 1000,
	 .fallback = "1"},
	{"health_check_port", SCHEMA_NUMBER, FIELD(struct config_backend, check_port),
	 .max = UINT16_MAX, .fallback = "0"},
};

static const struct schema_table servers = {
	TABLE(server_keys),
	.name_offset = offsetof(struct config_backend, name),
};

static const struct schema_key pool_keys[] = {
	{"health_check", SCHEMA_CHOICE, FIELD(struct config_pool, health_check),
	 .choices = health_checks, .fallback = "tcp"},
	{"health_check_interval", SCHEMA_SECONDS,
	 FIELD(struct config_pool, health_check_interval_ms), .min = MS(0.1), .max = MS(3600),
	 .fallback = "3"},
	{"health_check_timeout", SCHEMA_SECONDS, FIELD(struct config_pool, health_check_timeout_ms),
	 .min = MS(0.05), .max = MS(3600), .fallback = "2"},
	{"health_check_port", SCHEMA_NUMBER, FIELD(struct config_pool, check.port),
	 .max = UINT16_MAX, .fallback = "0"},
	{"health_check_method", SCHEMA_CHOICE, FIELD(struct config_pool, check.method),
	 .choices = http_methods, .fallback = "GET"},
	{"health_check_path", SCHEMA_TEXT, FIELD(struct config_pool, check.path), .min = 1,
	 .max = HTTP_PATH_MAX, .fallback = "/"},
	{"health_check_host", SCHEMA_TEXT, FIELD(struct config_pool, check.host), .min = 1,
	 .max = CONFIG_CHECK_TEXT_MAX},
	{"health_check_status", SCHEMA_STATUS, .is_list = true, .may_be_single = true,
	 ARRAY(struct config_pool, check.status, check.n_status, CONFIG_MAX_STATUS_RANGES)},
	{"health_check_body", SCHEMA_TEXT, FIELD(struct config_pool, check.body), .min = 1,
	 .max = CONFIG_CHECK_TEXT_MAX},
	{"health_check_send", SCHEMA_OCTETS, FIELD(struct config_pool, check.send),
	 .max = DATAGRAM_MAX},
	{"health_check_expect", SCHEMA_OCTETS, FIELD(struct config_pool, check.expect),
	 .max = CONFIG_CHECK_TEXT_MAX},
	{"rise", SCHEMA_NUMBER, FIELD(struct config_pool, rise), .min = 1, .max = 1000,
	 .fallback = "1"},
	{"fall", SCHEMA_NUMBER, FIELD(struct config_pool, fall), .min = 1, .max = 1000,
	 .fallback = "3"},
	{"passive_checks", SCHEMA_FLAG, FIELD(struct config_pool, passive_checks),
	 .fallback = "true"},
	{"slow_start", SCHEMA_SECONDS, FIELD(struct config_pool, slow_start_ms), .max = MS(3600),
	 .fallback = "0"},
	{"panic_threshold", SCHEMA_NUMBER, FIELD(struct config_pool, panic_threshold), .max = 100,
	 .fallback = "0"},
	{"on_backend_down", SCHEMA_CHOICE, FIELD(struct config_pool, on_backend_down),
	 .choices = on_backend_down, .fallback = "reset"},
	{"send_proxy", SCHEMA_CHOICE, FIELD(struct config_pool, send_proxy), .choices = send_proxy,
	 .fallback = "none"},
	{"servers", SCHEMA_NAMED, .table = &servers,
	 ARRAY(struct config_pool, backends, n_backends, CONFIG_MAX_BACKENDS)},
};

static const struct schema_key proxy_keys[] = {
	{"threads", SCHEMA_NUMBER, FIELD(struct config, proxy.threads), .min = 1,
	 .max = CONFIG_MAX_WORKERS, .choices = threads, .fallback = "auto"},
	{"connect_timeout", SCHEMA_SECONDS, FIELD(struct config, proxy.connect_timeout_ms),
	 .can_change = true, .min = MS(0.01), .max = MS(3600), .fallback = "5"},
	{"client_timeout", SCHEMA_SECONDS, FIELD(struct config, proxy.client_timeout_ms),
	 .can_change = true, .min = MS(0.1), .max = MS(SECONDS_MAX), .fallback = "300"},
	{"idle_timeout", SCHEMA_SECONDS, FIELD(struct config, proxy.idle_timeout_ms),
	 .can_change = true, .min = MS(0.1), .max = MS(SECONDS_MAX), .fallback = "3600"},
	{"header_timeout", SCHEMA_SECONDS, FIELD(struct config, proxy.header_timeout_ms),
	 .can_change = true, .min = MS(0.1), .max = MS(3600), .fallback = "3"},
	{"drain_timeout", SCHEMA_SECONDS, FIELD(struct config, proxy.drain_timeout_ms),
	 .can_change = true, .max = MS(86400), .fallback = "30"},
	{"retries", SCHEMA_NUMBER, FIELD(struct config, proxy.retries), .can_change = true,
	 .max = 16, .fallback = "2"},
	{"max_connections", SCHEMA_NUMBER, FIELD(struct config, proxy.max_connections),
	 .can_change = true, .max = CONNECTIONS_MAX, .fallback = "0"},
	{"on_full", SCHEMA_CHOICE, FIELD(struct config, proxy.on_full), .can_change = true,
	 .choices = on_full, .fallback = "wait"},
	{"tcp_keepalive", SCHEMA_NUMBER, FIELD(struct config, proxy.tcp_keepalive_s),
	 .can_change = true, .max = KEEPALIVE_MAX, .fallback = "60"},
	{"tcp_fast_open", SCHEMA_FLAG, FIELD(struct config, proxy.tcp_fast_open),
	 .can_change = true, .fallback = "false"},
	{"pin_threads", SCHEMA_FLAG, FIELD(struct config, proxy.pin_threads), .fallback = "true"},
	{"splice", SCHEMA_FLAG, FIELD(struct config, proxy.splice), .can_change = true,
	 .fallback = "true"},
	{"source_addrs", SCHEMA_ADDR, .is_list = true, .can_change = true,
	 ARRAY(struct config, proxy.source_addrs, proxy.n_source_addrs, CONFIG_MAX_SOURCE_ADDRS)},
};

static const struct schema_key passthrough_keys[] = {
	{"workers", SCHEMA_NUMBER, FIELD(struct config, passthrough.workers),
	 .max = CONFIG_MAX_WORKERS, .choices = workers, .fallback = "auto"},
	{"busy_poll", SCHEMA_NUMBER, FIELD(struct config, passthrough.busy_poll_us),
	 .max = BUSY_POLL_MAX, .fallback = "50"},
	{"connection_tracker_capacity", SCHEMA_NUMBER,
	 FIELD(struct config, passthrough.connection_tracker_capacity), .min = 1,
	 .max = CAPACITY_MAX, .fallback = "1048576"},
	{"stats_update_frequency", SCHEMA_SECONDS,
	 FIELD(struct config, passthrough.stats_update_frequency_ms), .min = MS(0.1),
	 .max = MS(86400), .fallback = "5"},
	{"snat_addrs", SCHEMA_ADDR, .is_list = true,
	 ARRAY(struct config, passthrough.snat_addrs, passthrough.n_snat_addrs,
	       CONFIG_MAX_SNAT_ADDRS)},
	{"nat_ports", SCHEMA_PORT_RANGE, FIELD(struct config, passthrough.nat_port_min),
	 .offset2 = offsetof(struct config, passthrough.nat_port_max), .min = 1024,
	 .max = UINT16_MAX, .fallback = "33768-61000"},
	{"interfaces", SCHEMA_LINK, .is_list = true,
	 ARRAY(struct config, passthrough.interfaces, passthrough.n_interfaces,
	       CONFIG_MAX_INTERFACES)},
	{"io", SCHEMA_CHOICE, FIELD(struct config, passthrough.io), .choices = io_kinds,
	 .fallback = "afpacket"},
	{"fast_path", SCHEMA_CHOICE, FIELD(struct config, passthrough.fast_path),
	 .choices = fast_path_uses, .fallback = "auto"},
	{"maglev_table_size", SCHEMA_NUMBER, FIELD(struct config, passthrough.maglev_table_size),
	 .min = 2, .max = MAGLEV_MAX, .fallback = "65537"},
	{"mss_clamp", SCHEMA_NUMBER, FIELD(struct config, passthrough.mss_clamp), .min = MSS_MIN,
	 .max = MSS_MAX, .choices = mss_clamps, .fallback = "auto"},
};

static const struct schema_key dsr_keys[] = {
	{"method", SCHEMA_CHOICE, FIELD(struct config, dsr.method), .choices = dsr_methods,
	 .fallback = "nat"},
	{"require_ready", SCHEMA_FLAG, FIELD(struct config, dsr.require_ready),
	 .fallback = "false"},
	{"check_source", SCHEMA_ADDR, .is_list = true, .may_be_single = true,
	 ARRAY(struct config, dsr.check_sources, dsr.n_check_sources, CONFIG_MAX_CHECK_SOURCES)},
	{"mss_clamp", SCHEMA_NUMBER, FIELD(struct config, dsr.mss_clamp), .min = MSS_MIN,
	 .max = MSS_MAX, .choices = mss_clamps, .fallback = "auto"},
};

#define TIMEOUT(field, seconds)                                              \
	{                                                                    \
#field, SCHEMA_NUMBER, FIELD(struct config, timeouts.field), \
			.min = 1, .max = SECONDS_MAX, .fallback = (seconds)  \
	}

static const struct schema_key timeout_keys[] = {
	TIMEOUT(tcp_syn, "120"),          TIMEOUT(tcp_handshake, "60"),
	TIMEOUT(tcp_established, "7440"), TIMEOUT(tcp_closing, "240"),
	TIMEOUT(tcp_time_wait, "120"),    TIMEOUT(tcp_reset, "10"),
	TIMEOUT(udp_unreplied, "30"),     TIMEOUT(udp, "300"),
};

static const struct schema_key firewall_keys[] = {
	{"manage", SCHEMA_FLAG, FIELD(struct config, firewall_manage), .fallback = "true"},
};

static const struct schema_key reload_keys[] = {
	{"max_backends", SCHEMA_NUMBER, FIELD(struct config, reload.max_backends),
	 .max = CONFIG_MAX_BACKENDS, .fallback = "0"},
	{"max_frontends", SCHEMA_NUMBER, FIELD(struct config, reload.max_frontends),
	 .max = CONFIG_MAX_FRONTENDS, .fallback = "0"},
	{"drain_timeout", SCHEMA_SECONDS, FIELD(struct config, reload.drain_timeout_ms),
	 .can_change = true, .max = MS(86400), .fallback = "300"},
	{"max_disruption", SCHEMA_SHARE, FIELD(struct config, reload.max_disruption_permille),
	 .can_change = true, .fallback = "1"},
	{"watch", SCHEMA_FLAG, FIELD(struct config, reload.watch), .fallback = "true"},
};

static const struct schema_key stats_keys[] = {
	{"port", SCHEMA_NUMBER, FIELD(struct config, stats_port), .max = UINT16_MAX,
	 .may_be_text = true, .fallback = "0"},
	{"listen_addr", SCHEMA_ADDR, FIELD(struct config, stats_listen_addr),
	 .fallback = "127.0.0.1"},
	{"token", SCHEMA_TOKEN, .is_secret = true, FIELD(struct config, stats_token)},
	{"token_file", SCHEMA_PATH, FIELD(struct config, stats_token_file), .max = PATH_MAX - 1},
};

static const struct schema_key api_keys[] = {
	{"socket", SCHEMA_PATH, FIELD(struct config, api_socket), .max = CONFIG_UNIX_PATH_MAX,
	 .choices = no_path, .fallback = "/run/culvert/culvert.sock"},
};

static const struct schema_key log_keys[] = {
	{"level", SCHEMA_CHOICE, FIELD(struct config, log_level), .can_change = true,
	 .choices = log_levels, .fallback = "info"},
	{"format", SCHEMA_CHOICE, FIELD(struct config, log_format), .choices = log_formats,
	 .fallback = "text"},
	{"output", SCHEMA_CHOICE, FIELD(struct config, log_output), .choices = log_outputs,
	 .fallback = "stderr"},
};

static const struct schema_key flow_log_keys[] = {
	{"path", SCHEMA_PATH, FIELD(struct config, flow_log.path), .max = PATH_MAX - 1},
	{"format", SCHEMA_CHOICE, FIELD(struct config, flow_log.format),
	 .choices = flow_log_formats, .fallback = "logfmt"},
	{"starts", SCHEMA_FLAG, FIELD(struct config, flow_log.starts), .fallback = "false"},
	{"half_open", SCHEMA_FLAG, FIELD(struct config, flow_log.half_open), .fallback = "false"},
};

static const struct schema_key service_keys[] = {
	{"user", SCHEMA_USER, FIELD(struct config, service_user)},
};

static const struct schema_table frontends = {
	TABLE(frontend_keys),
	.name_offset = offsetof(struct config_frontend, name),
};
static const struct schema_table pools = {
	TABLE(pool_keys),
	.name_offset = offsetof(struct config_pool, name),
};
static const struct schema_table proxy = {TABLE(proxy_keys)};
static const struct schema_table passthrough = {TABLE(passthrough_keys)};
static const struct schema_table dsr = {TABLE(dsr_keys)};
static const struct schema_table timeouts = {TABLE(timeout_keys)};
static const struct schema_table firewall = {TABLE(firewall_keys)};
static const struct schema_table reload = {TABLE(reload_keys)};
static const struct schema_table stats = {TABLE(stats_keys)};
static const struct schema_table api = {TABLE(api_keys)};
static const struct schema_table log_section = {TABLE(log_keys)};
static const struct schema_table flow_log = {TABLE(flow_log_keys)};
static const struct schema_table service = {TABLE(service_keys)};

// Sections last, so that a listing of the keys reads like a file.
static const struct schema_key root_keys[] = {
	{"mode", SCHEMA_CHOICE, FIELD(struct config, mode), .choices = modes, .fallback = "proxy"},
	{"frontends", SCHEMA_NAMED, .table = &frontends,
	 ARRAY(struct config, frontends, n_frontends, CONFIG_MAX_FRONTENDS)},
	{"backends", SCHEMA_NAMED, .table = &pools,
	 ARRAY(struct config, pools, n_pools, CONFIG_MAX_BACKENDS)},
	{"proxy", SCHEMA_TABLE, .table = &proxy},
	{"passthrough", SCHEMA_TABLE, .table = &passthrough},
	{"dsr", SCHEMA_TABLE, .table = &dsr},
	{"timeouts", SCHEMA_TABLE, .table = &timeouts},
	{"firewall", SCHEMA_TABLE, .table = &firewall},
	{"reload", SCHEMA_TABLE, .table = &reload},
	{"stats", SCHEMA_TABLE, .table = &stats},
	{"api", SCHEMA_TABLE, .table = &api},
	{"log", SCHEMA_TABLE, .table = &log_section},
	{"flow_log", SCHEMA_TABLE, .table = &flow_log},
	{"service", SCHEMA_TABLE, .table = &service},
};

const struct schema_table schema_root = {TABLE(root_keys)};

const struct schema_key *schema_find(const struct schema_table *table, const char *name)
{
	for (size_t i = 0; i < table->n_keys; i++) {
		if (strcmp(table->keys[i].name, name) == 0)
			return &table->keys[i];
	}
	return NULL;
}
