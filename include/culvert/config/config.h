// SPDX-License-Identifier: Apache-2.0
// What the configuration file says, checked: plain data, immutable once loaded. Every default is
// filled in, every name resolved. The file's `backends.NAME` is a pool and its `servers.S` are the
// pool's backends; those keys keep the spelling of the program whose files culvert also reads.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "culvert/base/err.h"
#include "culvert/base/log.h"
#include "culvert/net/addr.h"

enum mode { MODE_PROXY, MODE_PASSTHROUGH, MODE_DSR };
enum hash_kind { HASH_5_TUPLE, HASH_SOURCE_IP };
enum health_kind { HEALTH_TCP, HEALTH_HTTP, HEALTH_UDP, HEALTH_NONE };
enum http_method { HTTP_GET, HTTP_HEAD };
enum on_backend_down { ON_DOWN_RESET, ON_DOWN_KEEP };
enum send_proxy { SEND_PROXY_NONE, SEND_PROXY_V1, SEND_PROXY_V2 };
enum on_full { ON_FULL_WAIT, ON_FULL_REFUSE };
enum dsr_method { DSR_NAT, DSR_L2, DSR_IPIP };

// Who takes the next connection: balance/scheduler.h.
enum scheduler_kind {
	SCHEDULER_MAGLEV,
	SCHEDULER_ROUND_ROBIN,
	SCHEDULER_WEIGHTED_ROUND_ROBIN,
	SCHEDULER_LEAST_CONNECTIONS,
	SCHEDULER_RANDOM_TWO,
};

// Sentinels of `workers`; other values are a count of worker threads.
enum {
	WORKERS_INLINE = 0, // capture, work and transmit to completion in one thread
	WORKERS_AUTO = -1,  // inline on one or two processors, else a pipeline
};

enum {
	THREADS_AUTO = -1, // of proxy mode: one per processor that this process may run on
	MSS_CLAMP_OFF = 0,
	MSS_CLAMP_AUTO = -1, // what fits through this host's links, or through the tunnel
};

// The caps below bound the ids that a flow entry stores.
enum {
	CONFIG_MAX_FRONTENDS = 4096,
	CONFIG_MAX_BACKENDS = 16384, // over all pools
	CONFIG_MAX_SNAT_ADDRS = 64,
	CONFIG_MAX_INTERFACES = 16,
	CONFIG_MAX_WORKERS = 64,
	CONFIG_MAX_NETWORKS = 256, // of accept_proxy
	CONFIG_MAX_SOURCE_ADDRS = 64,
	CONFIG_MAX_CHECK_SOURCES = 2,                       // families
	CONFIG_MAX_STATUS_RANGES = 16,                      // of health_check_status
	CONFIG_CHECK_TEXT_MAX = 256,                        // bytes of what a check looks for
	CONFIG_UNIX_PATH_MAX = 107,                         // a sockaddr_un with its last zero
	CONFIG_NAME_MAX_BYTES = 64,                         // of anything that a file names
	CONFIG_BACKEND_TEXT_MAX = CONFIG_UNIX_PATH_MAX + 6, // with the terminating zero
	CONFIG_BACKEND_LABEL_MAX = 2 * CONFIG_NAME_MAX_BYTES + 4 + CONFIG_BACKEND_TEXT_MAX,
};

// Where the file says something; both from 1, and 0 when it does not.
struct config_place {
	unsigned line;
	unsigned column;
};

// HTTP status codes, both ends inclusive.
struct config_status_range {
	uint16_t first;
	uint16_t last;
};

struct config_octets {
	uint8_t *bytes; // owned; NULL: the file does not say them
	size_t n;
};

// What a health check asks, and what it wants to hear.
struct config_check {
	uint16_t port;                      // host byte order; 0 (default): the backend's own
	enum http_method method;            // http: default GET
	char *path;                         // http: owned; default "/"
	char *host;                         // http: owned; NULL (default): address and port
	struct config_status_range *status; // http: owned; none (default): 200 to 399
	size_t n_status;
	char *body;                  // http: owned; text that the body has to contain; NULL: any
	struct config_octets send;   // udp: the datagram; default: an empty one
	struct config_octets expect; // udp: what the answer has to contain; bytes NULL (default):
				     // any answer passes; n 0: silence does as well
};

struct config_backend {
	char *name;               // owned; the S of servers.S
	struct endpoint endpoint; // all zero when unix_path is set
	char *unix_path; // owned; NULL: reached by TCP/IP. Without the file's "unix:"; a leading
			 // "@" stands for the zero byte of an abstract name (unix(7)); proxy mode
			 // only
	uint16_t weight; // 0 (takes no new flows) to 1000; default 1
	uint16_t check_port; // host byte order; 0 (default): that of the pool's check
	unsigned line;       // where the file says the address
	unsigned column;
};

struct config_pool {
	char *name;                      // owned; the NAME of backends.NAME
	struct config_backend *backends; // owned; in the order of the file
	size_t n_backends;
	enum health_kind health_check;     // default tcp; udp pools: none
	uint32_t health_check_interval_ms; // file: seconds, fractions allowed; default 3
	uint32_t health_check_timeout_ms;  // file: seconds; default 2
	uint32_t rise;                     // passes in a row that bring a backend up; default 1
	uint32_t fall;                     // failures in a row that take it down; default 3
	struct config_check check;         // health_check_*, but for its times
	bool passive_checks;               // traffic takes a backend down too; default true
	uint32_t slow_start_ms;            // file: seconds; 0 (default): the whole weight at once
	uint8_t panic_threshold;           // percent; 0 (default): who is down gets nothing
	enum on_backend_down on_backend_down; // default reset
	enum send_proxy send_proxy;           // default none; proxy mode only
	struct config_place send_proxy_at;
	uint8_t proto; // IPPROTO_TCP or IPPROTO_UDP: that of the frontends that name it; else TCP
	unsigned line; // where the file names it
	unsigned column;
};

struct config_frontend {
	char *name; // owned
	struct endpoint endpoint;
	size_t pool;                     // index into config.pools
	enum hash_kind hash;             // default 5-tuple; what SCHEDULER_MAGLEV decides by
	enum scheduler_kind scheduler;   // default maglev
	uint32_t max_connections;        // proxy mode; 0 (default): no limit of its own
	struct ip_network *accept_proxy; // owned; whose connections begin with a PROXY header
	size_t n_accept_proxy;           // default none
	struct config_place max_connections_at;
	struct config_place accept_proxy_at;
	unsigned line; // where the file says the address
	unsigned column;
};

// All in whole seconds, at least 1; defaults in brackets with their source.
struct config_timeouts {
	uint32_t tcp_syn;         // a SYN seen, no answer yet [120: Linux conntrack]
	uint32_t tcp_handshake;   // SYN-ACK seen, no ACK yet [60]
	uint32_t tcp_established; // [7440: RFC 5382 REQ-5]
	uint32_t tcp_closing;     // one side has sent FIN [240: RFC 5382 REQ-5, transitory]
	uint32_t tcp_time_wait;   // both have [120: 2 MSL]
	uint32_t tcp_reset;       // after a valid RST [10]
	uint32_t udp_unreplied;   // only the client has spoken [30]
	uint32_t udp;             // both have [300: RFC 4787 REQ-5]
};

// How the packet modes receive and send.
enum io_kind {
	IO_AFPACKET, // packet sockets; default
	IO_XDP,      // AF_XDP sockets beside them
};

// Whether the kernel forwards packets of established flows itself, with io = "afpacket".
enum fast_path_use {
	FAST_PATH_AUTO,   // when a thread has more to do than to look out for packets; default
	FAST_PATH_ALWAYS, // where it can
	FAST_PATH_OFF,
};

struct config_passthrough {
	int workers;           // count, or a WORKERS_* sentinel; default auto
	uint32_t busy_poll_us; // how long to look for packets before sleeping; default 50; 0: never
	uint32_t connection_tracker_capacity; // flows; default 1,048,576; at least 1
	uint32_t stats_update_frequency_ms;   // file: seconds; default 5: totals, at level debug
	struct ip_addr *snat_addrs; // owned; none: the address of the route to each backend
	size_t n_snat_addrs;
	uint16_t nat_port_min;   // host byte order; default 33768
	uint16_t nat_port_max;   // inclusive; default 61000
	unsigned nat_ports_line; // 0: the file does not say them
	unsigned nat_ports_column;
	char **interfaces; // owned; none: found from the addresses of frontends and routes
	size_t n_interfaces;
	enum io_kind io;
	enum fast_path_use fast_path;
	uint32_t maglev_table_size; // a prime; default 65537
	int mss_clamp;              // bytes, MSS_CLAMP_AUTO (default) or MSS_CLAMP_OFF; not in DSR
	struct config_place mss_clamp_at;
};

// Times in the file are seconds, fractions allowed.
struct config_proxy {
	int threads;                  // 1 to CONFIG_MAX_WORKERS, or THREADS_AUTO (default)
	uint32_t connect_timeout_ms;  // per backend tried; default 5
	uint32_t client_timeout_ms;   // a client that has to take or send something; default 300
	uint32_t idle_timeout_ms;     // a session in which nothing moves; default 3600
	uint32_t header_timeout_ms;   // for a client's PROXY header; default 3
	uint32_t drain_timeout_ms;    // what sessions get to finish after SIGTERM; default 30
	uint32_t retries;             // other backends tried after the first; default 2, 0 to 16
	uint32_t max_connections;     // over all frontends; 0 (default): what descriptors allow
	enum on_full on_full;         // default wait: the listen queue holds what comes
	uint32_t tcp_keepalive_s;     // silence before the kernel probes; 0: never; default 60
	bool tcp_fast_open;           // towards clients and backends; default false
	bool pin_threads;             // to a processor each, when there are as many; default true
	bool splice;                  // large transfers by splice(2); default true
	struct ip_addr *source_addrs; // owned; to connect from, in turn; default: by route
	size_t n_source_addrs;
};

struct config_dsr {
	enum dsr_method method;        // default nat
	bool require_ready;            // use only backends that have passed the readiness check
	struct ip_addr *check_sources; // owned; what that check speaks from: one of a family
	size_t n_check_sources;
	int mss_clamp; // ipip: bytes, MSS_CLAMP_AUTO (default) or MSS_CLAMP_OFF
};

// How the file is taken over again while the process runs.
struct config_reload {
	uint32_t max_backends;     // room for as many; 0 (default): config_max_backends()
	uint32_t max_frontends;    // likewise
	uint32_t drain_timeout_ms; // what flows of a removed backend or frontend get; default 300 s
	uint32_t max_disruption_permille; // of the slots that may move; default 1000
	bool watch;                       // for changes of the file; default true
};

// What the command line says in place of the file, now and at every reload.
struct config_overrides {
	bool has_mode;
	enum mode mode;
	bool has_log_level;
	enum log_level log_level;
	// By ip_addr_is_v4(); all zero: not given.
	struct ip_addr check_sources[CONFIG_MAX_CHECK_SOURCES];
	const char *user; // borrowed; NULL: not given
};

struct config_flow_log {
	char *path;             // owned; NULL: there is none (default)
	enum log_format format; // logfmt (default) or JSON
	bool starts;            // a line for beginnings as well; default false
	bool half_open;         // also what never became a connection; default false
};

struct config {
	uint32_t n_refs; // w, r: control; references besides the first: config_ref()
	char *path;      // owned; as given
	// When the file began to be read, by the clock that files are dated by
	// (CLOCK_REALTIME_COARSE). Of config_load_for(), else all zero.
	struct timespec read_at;
	enum mode mode;
	bool has_mode;                     // the file has the key `mode`
	struct config_frontend *frontends; // owned
	size_t n_frontends;
	struct config_pool *pools; // owned
	size_t n_pools;
	struct config_timeouts timeouts;
	struct config_passthrough passthrough;
	struct config_proxy proxy;
	struct config_dsr dsr;
	struct config_reload reload;
	bool firewall_manage;             // default true
	uint16_t stats_port;              // host byte order; 0: no statistics server (default)
	struct ip_addr stats_listen_addr; // default 127.0.0.1
	char *stats_token;                // owned; NULL: everybody may look
	char *stats_token_file;           // owned; where that is from, or NULL
	char *api_socket;                 // owned; a path; NULL: none
	enum log_level log_level;         // default info
	enum log_format log_format;       // default text
	enum log_output log_output;       // default stderr
	struct config_flow_log flow_log;
	char *service_user; // owned; NULL: whoever has started it
	struct config_overrides overrides;
};

enum { CONFIG_FILE_MAX_BYTES = 4 << 20 };

// What was wrong with a file: every finding, in the order of the file.
struct config_errors {
	struct err *list; // owned; each `file` borrows the path given to config_load(), see below
	size_t count;
};

// Read `path` (.toml, .yaml or .yml decide the syntax) and check all that can be known from the
// file alone. On success *config is a new object for config_destroy(); on failure it is untouched
// and `errors`, zero-initialised by the caller, holds at least one finding (unless memory is short)
// and about a hundred at most. Returns 0 or -errno. Called by: control.
int config_load(const char *path, struct config **config, struct config_errors *errors);
// The same for who goes on with config_check_mode(), in *mode or, when that is NULL, in the file's
// or proxy. In a file that is refused, that mode's errors are found too, as far as what is broken
// lets them: one round of mending is enough.
int config_load_for(const char *path, const enum mode *mode, struct config **config,
		    struct config_errors *errors);

// The same as config_load_for(), of a text that is there already; `name` stands for the path, and
// its ending for the syntax.
int config_load_text(const char *text, size_t length, const char *name, const enum mode *mode,
		     struct config **config, struct config_errors *errors);
// What such a file holds, for free(). 0 or -errno. Called by: whoever sends it somewhere.
int config_read(const char *path, char **text, size_t *length, struct err *err);

// The checks that depend on the mode finally chosen and on this host: a wildcard address where a
// packet mode needs the VIP itself, a frontend and pool of different address families or protocols,
// keys and addresses that the mode could only ignore, backends that could not answer in the name of
// a VIP by the DSR method, a NAT range that overlaps the kernel's ephemeral ports when nobody
// reserves it. Adds to `errors`, whose `file` then borrows config->path. Returns 0 or -errno.
// Called by: control.
int config_check_mode(const struct config *config, enum mode mode, struct config_errors *errors);

void config_destroy(struct config *config); // NULL is legal
// One more holder, and one less: the last one destroys it. Called by: control.
struct config *config_ref(struct config *config);
void config_unref(struct config *config);              // NULL is legal
void config_errors_fini(struct config_errors *errors); // leaves it empty

// The backend of a running number over all pools, in the order of the file; it exists.
const struct config_backend *config_backend(const struct config *config, size_t number);

// How many there are over all pools, and for how many there is to be room as long as the process
// lives: those that a reload adds, and those that it has removed and that still have flows.
uint32_t config_n_backends(const struct config *config);
uint32_t config_max_backends(const struct config *config);
uint32_t config_max_frontends(const struct config *config);

// Where the backend is reached, as the file says it: "198.51.100.11:80", "unix:/run/web.sock".
// `text` has room for CONFIG_BACKEND_TEXT_MAX. Returns `text`.
const char *config_backend_format(const struct config_backend *backend, char *text);

// What log lines call it: "web/b1 (198.51.100.11:80)". `text` has room for
// CONFIG_BACKEND_LABEL_MAX. Returns `text`.
const char *config_backend_label(const struct config_pool *pool,
				 const struct config_backend *backend, char *text);

// What the readiness check of one family speaks from, borrowed; NULL: not given.
const struct ip_addr *config_check_source(const struct config *config, bool is_v4);

// What --check-source or an option for the mode says. NULL, or what is wrong with it: a sentence
// for the command line. Called by: the start of the program.
const char *config_overrides_set_mode(struct config_overrides *overrides, enum mode mode);
const char *config_overrides_set_check_source(struct config_overrides *overrides, const char *text);
// Let the command line's words stand in place of the file's. 0 or -ENOMEM.
int config_override(struct config *config, const struct config_overrides *overrides);

// Neither of a group, nor of this host alone, nor of a link alone (RFC 4291 section 2.5).
bool config_is_client_addr(const struct ip_addr *addr);

const char *config_scheduler_name(enum scheduler_kind scheduler); // as the file says it
const char *mode_name(enum mode mode);                            // "proxy", "passthrough" or "dsr"
// Where health checks of the backend go: a port in host byte order; 0 for a Unix socket.
uint16_t config_check_port(const struct config_pool *pool, const struct config_backend *backend);
// Whether a check takes the status for a good one.
bool config_check_takes_status(const struct config_check *check, unsigned status);
