// SPDX-License-Identifier: Apache-2.0
// What clients of the API ask the threads of the data path: flows, what becomes of a client,
// samples of what is dropped. One query is under way at a time and the others wait in turn; each is
// answered within a few seconds, and be it that it took too long.
// Called by: the main thread, which is control.
#pragma once

#include "culvert/control/api.h"

struct engine;
struct inquiry;
struct proxy;
struct service;

// Both borrowed; the service has its event loop and registry. 0 or -errno.
int inquiry_open_packet(struct inquiry **inquiry, const struct service *service,
			struct engine *engine, struct err *err);
int inquiry_open_proxy(struct inquiry **inquiry, const struct service *service, struct proxy *proxy,
		       struct err *err);
// Answer nobody any more: before the API stops.
void inquiry_forget(struct inquiry *inquiry);
// When the data path is gone. Both: NULL is legal.
void inquiry_close(struct inquiry *inquiry);

// For api_ops.
void inquiry_flows(struct inquiry *inquiry, const struct api_flow_query *asked,
		   struct api_request *request);
void inquiry_explain(struct inquiry *inquiry, const struct api_explain_query *asked,
		     struct api_request *request);
// Packet modes.
void inquiry_sample(struct inquiry *inquiry, const struct api_sample_query *asked,
		    struct api_request *request);
