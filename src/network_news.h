// SPDX-License-Identifier: Apache-2.0
// What happens to the network that the packet modes stand in, told to those who read events: links
// that go down and come back, addresses of frontends that vanish, backends that cannot be reached
// any more.
// Called by: control.
#pragma once

#include "culvert/control/events.h"
#include "topology.h"

struct network_news;

// How things are by now is no news. Both are borrowed, and outlive it. 0 or -errno.
int network_news_create(struct network_news **news, const struct topology *topology,
			struct events *events, struct err *err);
void network_news_destroy(struct network_news *news); // NULL is legal

// The topology has looked at the network, or the registry has taken over another configuration.
void network_news_look(struct network_news *news);

// A backend's slot is about to be given back: whoever gets it has never been looked at.
void network_news_forget(struct network_news *news, uint32_t backend);
