// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/config: the configuration in force, as a file would say it.
#include "control/api_request.h"
#include "control/api_server.h"
#include "control/api_view.h"
#include "culvert/config/config_json.h"

static void on_config(struct api_request *request, void *arg)
{
	(void)arg;
	api_answer_json(request, 200, config_to_json(api_config(request->source)));
}

void api_add_config(struct api *api)
{
	static const struct api_route route = {EVHTTP_REQ_GET, "/api/v1/config", on_config};
	api_add_routes(api, &route, 1, NULL);
}
