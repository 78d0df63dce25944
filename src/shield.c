// SPDX-License-Identifier: Apache-2.0
#include "shield.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "culvert/packet/engine.h"
#include "culvert/packet/filter.h"

// The exact filter, or a broader one when it has more instructions than the kernel takes.
static char *make_filter(const struct config *config, const struct cover *cover)
{
	char *text = filter_text(config, cover->vips, cover->n_vips);
	if (text && filter_check(text, NULL) == 0)
		return text;
	free(text);
	return filter_text_coarse();
}

static int set_filter(struct shield *shield, const struct cover *cover, struct err *err)
{
	char *text = make_filter(shield->topology->config, cover);
	if (!text)
		return err_set(err, -ENOMEM, "not enough memory for the capture filter");
	int code = engine_set_filter(shield->engine, text, err);
	free(text);
	return code;
}

static int set_scope(struct shield *shield, const struct cover *cover,
		     const struct snapshot *snapshot, struct err *err)
{
	struct io_scope scope = {.vips = cover->vips, .n_vips = cover->n_vips};
	// Backends answer clients, not us.
	if (shield->topology->config->mode != MODE_DSR) {
		scope.backends = cover->backends;
		scope.n_backends = cover->n_backends;
		scope.own = snapshot->snats;
		scope.n_own = snapshot->n_snats;
		scope.nat_port_min = snapshot->nat_port_min;
		scope.nat_port_max = snapshot->nat_port_max;
	}
	int code = engine_set_scope(shield->engine, &scope, err);
	if (code)
		return code;
	shield->n_own = snapshot->n_snats;
	memcpy(shield->own, snapshot->snats, sizeof(shield->own));
	return 0;
}

static bool has_other_own(const struct shield *shield, const struct snapshot *snapshot)
{
	return shield->n_own != snapshot->n_snats ||
	       memcmp(shield->own, snapshot->snats, sizeof(shield->own)) != 0;
}

int shield_tell_scope(struct shield *shield, const struct snapshot *snapshot, struct err *err)
{
	return set_scope(shield, &shield->cover, snapshot, err);
}

// Filter, scope and firewall for another cover, which is taken over. On failure the firewall has
// the one before, and filter and scope may have this one. The firewall comes last: from then on it
// has borrowed from the cover.
static int set_cover(struct shield *shield, struct cover *cover, const struct snapshot *snapshot,
		     struct err *err)
{
	shield->is_unsure = true;
	int code = set_filter(shield, cover, err);
	if (!code)
		code = set_scope(shield, cover, snapshot, err);
	if (!code)
		code = guard_update(&shield->guard, shield->topology, cover, snapshot, err);
	if (code) {
		cover_fini(cover);
		return code;
	}
	cover_fini(&shield->cover);
	shield->cover = *cover;
	shield->is_unsure = false;
	return 0;
}

int shield_widen(struct shield *shield, const struct snapshot *snapshot, struct err *err)
{
	struct cover wide;
	if (cover_make(&wide, snapshot, &shield->cover))
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	bool is_wider = shield->is_unsure || wide.n_vips > shield->cover.n_vips ||
			wide.n_backends > shield->cover.n_backends ||
			guard_lacks(&shield->guard, snapshot) || has_other_own(shield, snapshot);
	if (is_wider)
		return set_cover(shield, &wide, snapshot, err);
	cover_fini(&wide);
	return 0;
}

int shield_narrow(struct shield *shield, struct cover *exact, const struct snapshot *snapshot,
		  struct err *err)
{
	bool is_narrower = shield->is_unsure || exact->n_vips < shield->cover.n_vips ||
			   exact->n_backends < shield->cover.n_backends;
	if (is_narrower)
		return set_cover(shield, exact, snapshot, err);
	cover_fini(exact);
	return 0;
}

char *shield_make_filter(const struct shield *shield)
{
	return make_filter(shield->topology->config, &shield->cover);
}

int shield_open(struct shield *shield, const struct topology *topology,
		const struct snapshot *snapshot, struct err *err)
{
	shield->topology = topology;
	if (cover_make(&shield->cover, snapshot, NULL))
		return err_set(err, -ENOMEM, "not enough memory for firewall rules");
	return guard_open(&shield->guard, topology, &shield->cover, snapshot, err);
}

void shield_close(struct shield *shield)
{
	guard_close(&shield->guard);
	cover_fini(&shield->cover);
}
