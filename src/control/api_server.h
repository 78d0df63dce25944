// SPDX-License-Identifier: Apache-2.0
// For the parts of the API: what they register.
// Called by: control.
#pragma once

#include "control/api_router.h"
#include "culvert/control/api.h"

// Routes of other files: `n` of them, borrowed as long as the API. Handlers find it in
// control/api_request.h what a request has.
void api_add_routes(struct api *api, const struct api_route *routes, size_t n, void *arg);
// The same for what tells who the clients are or what they send: not over TCP without a token, for
// that is open to every user of this host.
void api_add_private_routes(struct api *api, const struct api_route *routes, size_t n, void *arg);

// Each file's own.
void api_add_admin(struct api *api);   // POST
void api_add_config(struct api *api);  // /api/v1/config
void api_add_drops(struct api *api);   // /api/v1/drops
void api_add_flows(struct api *api);   // /api/v1/flows, /api/v1/explain
void api_add_listing(struct api *api); // /api/v1/frontends, /api/v1/backends
void api_add_metrics(struct api *api); // /metrics
void api_add_stats(struct api *api);   // /stats, in the shape that it has had from the beginning
void api_add_status(struct api *api);  // /api/v1/status, /healthz, /readyz
