// SPDX-License-Identifier: Apache-2.0
// What clients of the API may ask of a culvert in any mode.
#include <errno.h>
#include <sys/stat.h>

#include "culvert/base/log.h"
#include "flow_writer.h"
#include "inquiry.h"
#include "reload_queue.h"
#include "service_private.h"

enum { SERVICE_BUSY = 409 };

// ---- how it is ---------------------------------------------------------------------------------

static int gather(void *arg, struct stats *stats)
{
	const struct service *service = arg;
	stats->mode = service->config->mode;
	flow_writer_stats(service->flow_writer, &stats->flow_log);
	return service->hooks->gather(service->arg, stats);
}

// A path that this user may not follow says nothing.
static bool is_missing(const char *path)
{
	struct stat found;
	return stat(path, &found) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static void get_status(void *arg, struct api_status *status)
{
	const struct service *service = arg;
	service->hooks->status(service->arg, status);
	status->is_file_missing = is_missing(service->config->path);
	if (!service->reload)
		return;
	status->loaded_ms = reload_loaded_ms(service->reload);
	status->last_reload = reload_last_json(service->reload);
}

// ---- what operators say ------------------------------------------------------------------------

static int set_state(void *arg, uint32_t backend, enum admin_state state, struct err *err)
{
	struct service *service = arg;
	static const char *const names[] = {
		[ADMIN_READY] = "ready",
		[ADMIN_DRAIN] = "drain",
		[ADMIN_MAINT] = "maint",
	};
	const struct snapshot_backend *b = registry_backend(service->registry, backend);
	char label[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	if (registry_set_admin(service->registry, backend, state))
		return err_set(err, -ENOMEM, "not enough memory to keep the state in mind");
	events_add(service->events, EVENT_ADMIN, LOG_INFO, service_subject(b, subject),
		   "state set to %s", names[state]);
	log_info("admin", "backend %s: state %s",
		 config_backend_label(b->pool_config, b->config, label), names[state]);
	service_publish_now(service);
	return 0;
}

static int set_weight(void *arg, uint32_t backend, int32_t weight, struct err *err)
{
	struct service *service = arg;
	const struct snapshot_backend *b = registry_backend(service->registry, backend);
	bool is_configured = weight == REGISTRY_WEIGHT_CONFIGURED;
	int32_t value = is_configured ? b->config->weight : weight;
	const char *source = is_configured ? ", as configured" : "";
	char label[CONFIG_BACKEND_LABEL_MAX];
	char subject[EVENT_SUBJECT_MAX];
	if (registry_set_weight(service->registry, backend, weight))
		return err_set(err, -ENOMEM, "not enough memory to keep the weight in mind");
	events_add(service->events, EVENT_ADMIN, LOG_INFO, service_subject(b, subject),
		   "weight set to %d%s", value, source);
	log_info("admin", "backend %s: weight %d%s",
		 config_backend_label(b->pool_config, b->config, label), value, source);
	service_publish_now(service);
	return 0;
}

static void answer_reload(void *arg, const struct reload_result *result)
{
	api_answer_json(arg, reload_result_status(result), reload_result_json(result));
}

static void reload(void *arg, const struct api_reload_query *query, struct api_request *request)
{
	const struct service *service = arg;
	const struct reload_request wanted = {
		.cause = RELOAD_BY_API,
		.is_plan = query->is_plan,
		.name = query->name,
		.text = query->text,
		.length = query->length,
		.max_disruption = query->max_disruption,
	};
	if (!service->reload) {
		api_answer_error(request, SERVICE_BUSY, "try again in a moment",
				 "culvert is still starting");
		return;
	}
	reload_queue_run(reload_queue(service->reload), &wanted, answer_reload, request);
}

// ---- questions to the data path ----------------------------------------------------------------

static void list_flows(void *arg, const struct api_flow_query *query, struct api_request *request)
{
	const struct service *service = arg;
	inquiry_flows(service->inquiry, query, request);
}

static void explain_client(void *arg, const struct api_explain_query *query,
			   struct api_request *request)
{
	const struct service *service = arg;
	inquiry_explain(service->inquiry, query, request);
}

static void sample_drops(void *arg, const struct api_sample_query *query,
			 struct api_request *request)
{
	const struct service *service = arg;
	inquiry_sample(service->inquiry, query, request);
}

const struct api_ops *service_ops(enum mode mode)
{
	static const struct api_ops packet_ops = {
		.gather = gather,
		.status = get_status,
		.set_state = set_state,
		.set_weight = set_weight,
		.reload = reload,
		.flows = list_flows,
		.explain = explain_client,
		.sample = sample_drops,
	};
	static const struct api_ops proxy_ops = {
		.gather = gather,
		.status = get_status,
		.set_state = set_state,
		.set_weight = set_weight,
		.reload = reload,
		.flows = list_flows,
		.explain = explain_client,
	};
	return mode == MODE_PROXY ? &proxy_ops : &packet_ops;
}
