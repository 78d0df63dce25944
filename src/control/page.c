// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "control/api_request.h"
#include "control/api_server.h"

enum { ETAG_MAX = 32 };

struct bytes {
	const char *start;
	const char *end;
};

struct asset {
	const char *path;
	const char *type;
	struct bytes plain;
	struct bytes gzip;
};

// Symbols of page_assets.S.
#define DECLARE_ASSET(symbol)                                             \
	extern const char page_##symbol##_start[], page_##symbol##_end[]; \
	extern const char page_##symbol##_gz_start[], page_##symbol##_gz_end[]

DECLARE_ASSET(html);
DECLARE_ASSET(js);
DECLARE_ASSET(css);
DECLARE_ASSET(icon);

#define ASSET(path, type, symbol)                                         \
	{                                                                 \
		path, type, {page_##symbol##_start, page_##symbol##_end}, \
		{                                                         \
			page_##symbol##_gz_start, page_##symbol##_gz_end  \
		}                                                         \
	}

static const struct asset assets[] = {
	ASSET("/", "text/html; charset=utf-8", html),
	ASSET("/page/page.js", "text/javascript; charset=utf-8", js),
	ASSET("/page/page.css", "text/css; charset=utf-8", css),
	ASSET("/page/favicon.svg", "image/svg+xml", icon),
};

enum { N_ASSETS = sizeof(assets) / sizeof(assets[0]) };

// Nothing from anywhere else, and no place in anybody's frame.
static const char policy[] =
	"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

// "gzip" among what the client takes, and not with the weight 0 (RFC 9110 section 12.5.3).
static bool takes_gzip(struct evkeyvalq *headers)
{
	const char *list = evhttp_find_header(headers, "Accept-Encoding");
	const char *at = list ? strcasestr(list, "gzip") : NULL;
	if (!at)
		return false;
	const char *weight = at + strlen("gzip");
	weight += strspn(weight, " \t");
	if (*weight != ';')
		return true;
	weight += 1 + strspn(weight + 1, " \t");
	return strncasecmp(weight, "q=", 2) != 0 || strpbrk(weight + 2, "123456789,") != NULL;
}

static void add_headers(struct evhttp_request *http, const char *etag, bool is_gzip)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
	evhttp_add_header(headers, "ETag", etag);
	evhttp_add_header(headers, "Cache-Control", "no-cache"); // ask whether it is still that
	evhttp_add_header(headers, "Vary", "Accept-Encoding");
	evhttp_add_header(headers, "Content-Security-Policy", policy);
	evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
	if (is_gzip)
		evhttp_add_header(headers, "Content-Encoding", "gzip");
}

static void answer_asset(struct api_request *request, const struct asset *asset)
{
	char etag[ETAG_MAX];
	struct evkeyvalq *asked = evhttp_request_get_input_headers(request->http);
	bool is_gzip = takes_gzip(asked);
	const struct bytes *bytes = is_gzip ? &asset->gzip : &asset->plain;
	size_t size = (size_t)(bytes->end - bytes->start);
	const char *known = evhttp_find_header(asked, "If-None-Match");
	if (!size) {
		api_answer_error(request, 404,
				 "build it with npm at hand, and without WEB=0; the numbers are at "
				 "/stats and /metrics",
				 "the live page was not built into this culvert");
		return;
	}
	snprintf(etag, sizeof(etag), "\"%016llx\"",
		 (unsigned long long)XXH3_64bits(bytes->start, size));
	add_headers(request->http, etag, is_gzip);
	if (known && strstr(known, etag))
		api_answer_bytes(request, HTTP_NOTMODIFIED, asset->type, "", 0);
	else
		api_answer_bytes(request, HTTP_OK, asset->type, bytes->start, size);
}

static void on_asset(struct api_request *request, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < N_ASSETS; i++) {
		if (strcmp(assets[i].path, request->match.route->pattern) == 0) {
			answer_asset(request, &assets[i]);
			return;
		}
	}
}

static const struct api_route routes[N_ASSETS] = {
	{EVHTTP_REQ_GET, "/", on_asset},
	{EVHTTP_REQ_GET, "/page/page.js", on_asset},
	{EVHTTP_REQ_GET, "/page/page.css", on_asset},
	{EVHTTP_REQ_GET, "/page/favicon.svg", on_asset},
};

bool page_has_route(const struct api_route *route)
{
	return route && route->handler == on_asset;
}

void page_add_routes(struct api *api)
{
	api_add_routes(api, routes, N_ASSETS, NULL);
}
