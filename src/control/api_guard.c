// SPDX-License-Identifier: Apache-2.0
#include "control/api_guard.h"

#include <event2/http.h>
#include <string.h>
#include <strings.h>

// Takes as long for every wrong token of a length, so that nobody finds one letter by letter.
static bool is_equal(const char *given, const char *token)
{
	size_t length = strlen(token);
	size_t n_given = strlen(given);
	unsigned difference = n_given != length;
	for (size_t i = 0; i < n_given; i++)
		difference |= (unsigned char)given[i] ^ (unsigned char)token[i % length];
	return difference == 0;
}

// RFC 9110 section 11.4: the scheme in any case, then blanks.
static bool has_token(const struct evkeyvalq *headers, const char *token)
{
	static const char scheme[] = "Bearer ";
	const char *value = evhttp_find_header(headers, "Authorization");
	if (!value || strncasecmp(value, scheme, strlen(scheme)) != 0)
		return false;
	value += strlen(scheme);
	return is_equal(value + strspn(value, " "), token);
}

static bool admit_token(struct api_request *request, const char *token)
{
	if (has_token(evhttp_request_get_input_headers(request->http), token))
		return true;
	evhttp_add_header(evhttp_request_get_output_headers(request->http), "WWW-Authenticate",
			  "Bearer realm=\"culvert\"");
	api_answer_error(
		request, 401,
		"send the header \"Authorization: Bearer TOKEN\" with that of [stats] token",
		"the token is missing or wrong");
	return false;
}

// The host of "host", "host:port" or "[host]:port" is an address or localhost.
static bool is_of_this_host(const char *value)
{
	char host[IP_ADDR_TEXT_MAX + 2];
	struct ip_addr addr;
	size_t length = *value == '[' ? strcspn(++value, "]") : strcspn(value, ":");
	if (length >= sizeof(host))
		return false;
	memcpy(host, value, length);
	host[length] = '\0';
	return strcasecmp(host, "localhost") == 0 || ip_addr_parse(host, &addr);
}

static bool admit_host(struct api_request *request)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->http);
	const char *host = evhttp_find_header(headers, "Host");
	if (!host || is_of_this_host(host)) // browsers always send one
		return true;
	api_answer_error(request, 403, "ask by an address or localhost, or set [stats] token",
			 "the name \"%s\" is not one of this port", host);
	return false;
}

bool api_guard_admit(struct api_request *request, const char *token)
{
	return token ? admit_token(request, token) : admit_host(request);
}
