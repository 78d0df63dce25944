// SPDX-License-Identifier: Apache-2.0
#include "proxy/limits.h"

#include <errno.h>
#include <sys/resource.h>

#include "proxy/thread.h"

enum {
	DESCRIPTORS_APART = 64, // for everything that is no session: log, control, statistics
	DESCRIPTORS_PER_SESSION = 2,
	PIPE_SHARE = 8, // a pipe for one session in so many
	SESSIONS_MIN = 16,
	SESSIONS_MAX = 10 * 1000 * 1000,
};

// Descriptors that are there for sessions and their pipes, when health checks and listeners have
// had theirs.
static uint64_t count_descriptors(const struct proxy *proxy, const struct config *config)
{
	struct rlimit limit;
	uint64_t apart = DESCRIPTORS_APART + config_n_backends(config) +
			 proxy->n_threads * (config->n_frontends + 2);
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	return limit.rlim_cur > apart ? limit.rlim_cur - apart : 0;
}

static uint32_t count_possible(const struct proxy *proxy, const struct config *config)
{
	uint64_t n_descriptors = count_descriptors(proxy, config);
	// Per eight sessions: two descriptors each, and those of a pipe.
	uint64_t possible = n_descriptors * PIPE_SHARE / (PIPE_SHARE * DESCRIPTORS_PER_SESSION + 2);
	return possible < SESSIONS_MAX ? (uint32_t)possible : SESSIONS_MAX;
}

// At run time no more than there was address space mapped for.
static uint32_t count_allowed(const struct proxy *proxy, const struct config *config)
{
	uint32_t possible = count_possible(proxy, config);
	return possible < proxy->max_sessions ? possible : proxy->max_sessions;
}

int limits_check(const struct proxy *proxy, const struct config *config, struct err *err)
{
	uint32_t wanted = config->proxy.max_connections;
	uint32_t allowed = count_allowed(proxy, config);
	if (wanted > allowed)
		return err_set(err, -EMFILE,
			       "[proxy] max_connections = %u needs about %u open files, and the "
			       "limit allows %u connections; raise it (LimitNOFILE=, ulimit -n), "
			       "or lower max_connections",
			       wanted, wanted * 2 + wanted / 4 + DESCRIPTORS_APART, allowed);
	if (allowed < SESSIONS_MIN)
		return err_set(err, -EMFILE,
			       "the limit of open files leaves room for %u connections only; "
			       "raise it (LimitNOFILE=, ulimit -n)",
			       allowed);
	return 0;
}

int limits_find(struct proxy *proxy, const struct config *config, struct err *err)
{
	proxy->max_sessions = count_possible(proxy, config);
	return limits_check(proxy, config, err);
}

// Threads look at these when they need them: relaxed, for nothing else hangs on them.
void limits_follow(struct proxy *proxy, const struct snapshot *snapshot)
{
	uint32_t wanted = snapshot->config->proxy.max_connections;
	uint32_t all = wanted ? wanted : count_allowed(proxy, snapshot->config);
	atomic_store_explicit(&proxy->all.max, all, memory_order_relaxed);
	atomic_store_explicit(&proxy->max_pipes, all / PIPE_SHARE / proxy->n_threads + 1,
			      memory_order_relaxed);
	for (uint32_t i = 0; i < snapshot->n_frontends; i++) {
		const struct config_frontend *frontend = snapshot->frontends[i].config;
		uint32_t own =
			frontend && frontend->max_connections ? frontend->max_connections : all;
		atomic_store_explicit(&proxy->frontends[i].max, own, memory_order_relaxed);
	}
}
