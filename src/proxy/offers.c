// SPDX-License-Identifier: Apache-2.0
#include "proxy/offers.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/affinity.h"
#include "proxy/thread.h"

// ---- what is there -----------------------------------------------------------------------------

static struct offer *find_offer(const struct proxy *proxy, const struct endpoint *endpoint)
{
	struct offer *offer = proxy->offers;
	while (offer && !endpoint_equal(&offer->endpoint, endpoint))
		offer = offer->next;
	return offer;
}

static const struct listening *find_listening(const struct proxy *proxy,
					      const struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < proxy->max_frontends; i++) {
		const struct listening *listening = &proxy->listening[i];
		if (listening->is_wanted && endpoint_equal(&listening->endpoint, endpoint))
			return listening;
	}
	return NULL;
}

// Pairs with the release of a thread that has closed its listener.
static bool is_any_open(const struct proxy *proxy, uint32_t slot)
{
	return atomic_load_explicit(&proxy->n_listening[slot], memory_order_acquire) > 0;
}

// With one of the wildcards, or of the same address.
static bool is_overlapping(const struct endpoint *a, const struct endpoint *b)
{
	return a->port_be == b->port_be &&
	       (ip_addr_is_unspecified(&a->addr) || ip_addr_is_unspecified(&b->addr) ||
		ip_addr_equal(&a->addr, &b->addr));
}

// Then the kernel would call the address taken, by ourselves.
static bool overlaps_own(const struct proxy *proxy, const struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < proxy->max_frontends; i++) {
		if (is_any_open(proxy, i) &&
		    is_overlapping(&proxy->listening[i].endpoint, endpoint))
			return true;
	}
	for (const struct offer *offer = proxy->offers; offer; offer = offer->next) {
		if (!offer->is_tentative && is_overlapping(&offer->endpoint, endpoint))
			return true;
	}
	return false;
}

// 0: it is to be opened. 1: it is there. -errno: it is, but cannot be as the configuration wants.
static int find_own(const struct proxy *proxy, const struct config *config, size_t frontend,
		    struct err *err)
{
	const struct config_frontend *wanted = &config->frontends[frontend];
	const struct listening *listening = find_listening(proxy, &wanted->endpoint);
	const struct offer *offer = find_offer(proxy, &wanted->endpoint);
	char text[ENDPOINT_TEXT_MAX];
	if (!listening && !offer)
		return 0;
	bool is_v6_only = listening ? listening->is_v6_only : offer->is_v6_only;
	if (is_v6_only && !listener_is_v6_only(config, frontend))
		return err_set(err, -EBUSY,
			       "frontend %s: %s has left IPv4 to another frontend so far, and can "
			       "take it only when culvert starts again; restart it, or keep a "
			       "frontend for IPv4",
			       wanted->name, endpoint_format(&wanted->endpoint, text));
	return 1;
}

// ---- looking -----------------------------------------------------------------------------------

static int check_one(const struct proxy *proxy, const struct config *config, size_t frontend,
		     struct err *err)
{
	int code = find_own(proxy, config, frontend, err);
	if (code)
		return code < 0 ? code : 0;
	const struct endpoint *endpoint = &config->frontends[frontend].endpoint;
	enum listener_use use =
		overlaps_own(proxy, endpoint) ? LISTENER_PROBE_SHARED : LISTENER_PROBE;
	int fd = listener_open(config, frontend, use, err);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int offers_check(struct proxy *proxy, const struct config *config, struct err *err)
{
	int code = 0;
	for (size_t i = 0; i < config->n_frontends && !code; i++)
		code = check_one(proxy, config, i, err);
	return code;
}

// ---- opening -----------------------------------------------------------------------------------

static void close_offer(const struct proxy *proxy, struct offer *offer)
{
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		if (offer->fds[i] >= 0)
			close(offer->fds[i]);
	}
	free(offer);
}

bool offers_are_settled(const struct proxy *proxy)
{
	for (uint32_t i = 0; i < proxy->max_frontends; i++) {
		if (!proxy->listening[i].is_wanted && is_any_open(proxy, i))
			return false;
	}
	return true;
}

// The sockets of before would count among those of the same address.
static int check_closed(const struct proxy *proxy, const struct config_frontend *frontend,
			struct err *err)
{
	for (uint32_t i = 0; i < proxy->max_frontends; i++) {
		if (is_any_open(proxy, i) &&
		    endpoint_equal(&proxy->listening[i].endpoint, &frontend->endpoint))
			return err_set(err, -EBUSY,
				       "frontend %s: what listened on its address before is not "
				       "closed yet; try again",
				       frontend->name);
	}
	return 0;
}

static int open_all(const struct proxy *proxy, const struct config *config, size_t frontend,
		    struct offer *offer, struct err *err)
{
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		offer->fds[i] = -1;
	for (uint32_t i = 0; i < proxy->n_threads; i++) {
		int fd = listener_open(config, frontend, LISTENER_LISTEN, err);
		if (fd < 0)
			return fd;
		offer->fds[i] = fd;
	}
	// Pairs with nothing: a thread that takes its own looks again.
	if (atomic_load_explicit(&proxy->is_steered, memory_order_relaxed))
		affinity_attach(proxy, offer->fds[0]);
	return 0;
}

static int open_one(struct proxy *proxy, const struct config *config, size_t frontend,
		    struct err *err)
{
	const struct config_frontend *wanted = &config->frontends[frontend];
	int code = find_own(proxy, config, frontend, err);
	if (code)
		return code < 0 ? code : 0;
	code = check_closed(proxy, wanted, err);
	if (code)
		return code;
	struct offer *offer = calloc(1, sizeof(*offer) + proxy->n_threads * sizeof(offer->fds[0]));
	if (!offer)
		return err_set(err, -ENOMEM, "not enough memory for listeners");
	offer->endpoint = wanted->endpoint;
	offer->is_v6_only = listener_is_v6_only(config, frontend);
	offer->is_tentative = true;
	code = open_all(proxy, config, frontend, offer, err);
	if (code) {
		close_offer(proxy, offer);
		return code;
	}
	offer->next = proxy->offers;
	proxy->offers = offer;
	return 0;
}

int offers_open(struct proxy *proxy, const struct config *config, struct err *err)
{
	int code = 0;
	for (size_t i = 0; i < config->n_frontends && !code; i++)
		code = open_one(proxy, config, i, err);
	if (code)
		offers_drop(proxy);
	return code;
}

void offers_keep(struct proxy *proxy)
{
	for (struct offer *offer = proxy->offers; offer; offer = offer->next)
		offer->is_tentative = false;
}

void offers_drop(struct proxy *proxy)
{
	struct offer **link = &proxy->offers;
	while (*link) {
		struct offer *offer = *link;
		if (offer->is_tentative) {
			*link = offer->next;
			close_offer(proxy, offer);
		} else {
			link = &offer->next;
		}
	}
}

// ---- handing over ------------------------------------------------------------------------------

static void take_out(struct proxy *proxy, const struct offer *offer)
{
	struct offer **link = &proxy->offers;
	while (*link != offer)
		link = &(*link)->next;
	*link = offer->next;
}

static void hand_over(struct proxy *proxy, uint32_t slot, struct offer *offer)
{
	proxy->listening[slot] = (struct listening){
		.endpoint = offer->endpoint,
		.is_v6_only = offer->is_v6_only,
		.is_wanted = true,
	};
	// Relaxed: threads see these behind the snapshot, and nobody listens there now.
	atomic_store_explicit(&proxy->n_listening[slot], proxy->n_threads, memory_order_relaxed);
	for (uint32_t i = 0; i < proxy->n_threads; i++)
		atomic_store_explicit(&proxy->threads[i].offered[slot], offer->fds[i],
				      memory_order_relaxed);
	take_out(proxy, offer);
	free(offer);
}

// Of a frontend that has been taken out again before anybody has seen it.
static void close_unwanted(struct proxy *proxy)
{
	struct offer *next;
	for (struct offer *offer = proxy->offers; offer; offer = next) {
		next = offer->next;
		if (offer->is_tentative)
			continue;
		take_out(proxy, offer);
		close_offer(proxy, offer);
	}
}

void offers_hand_over(struct proxy *proxy, const struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->n_frontends; i++) {
		const struct snapshot_frontend *frontend = &snapshot->frontends[i];
		struct listening *listening = &proxy->listening[i];
		if (frontend->state != SLOT_ACTIVE) {
			listening->is_wanted = false;
			continue;
		}
		struct offer *offer = find_offer(proxy, &frontend->endpoint);
		if (!listening->is_wanted && offer && !offer->is_tentative)
			hand_over(proxy, i, offer);
	}
	close_unwanted(proxy);
}

void offers_close_all(struct proxy *proxy)
{
	offers_keep(proxy);
	close_unwanted(proxy);
}
