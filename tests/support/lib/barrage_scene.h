// SPDX-License-Identifier: Apache-2.0
// The network that a barrage comes down on, and who speaks to whom in it.
#pragma once

#include "pump.h"
#include "recipe.h"

enum { BARRAGE_N_BACKENDS_MAX = 6 };

struct barrage_scene {
	struct scene scene;
	struct pump pump;
	bool is_wrapping; // backends are reached through tunnels
	uint32_t n_trains;
};

// `setup` is the first byte of the input. Some flows are open when it returns.
void barrage_scene_open(struct barrage_scene *stage, uint8_t setup);
void barrage_scene_close(struct barrage_scene *stage);

// Set the next hops of the backends in `mask` to `state`, all others to HOP_READY.
void barrage_scene_set_hops(struct barrage_scene *stage, uint32_t mask, enum hop_state state);

// Who sends what recipe_read() returned, as seen on `link`.
void barrage_scene_ends(const struct barrage_scene *stage, const struct recipe *recipe,
			struct recipe_ends *ends, uint32_t *link);

// The NAT port of an IPv4 flow of `proto`, or 0.
uint16_t barrage_scene_port(const struct barrage_scene *stage, uint8_t proto);
