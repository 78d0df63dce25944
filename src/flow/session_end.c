// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/session_end.h"

const char *session_end_name(enum session_end end)
{
	static const char *const names[N_SESSION_ENDS] = {
#define X(symbol, name, text) name,
		SESSION_END_LIST(X)
#undef X
	};
	return names[end];
}

const char *session_end_text(enum session_end end)
{
	static const char *const texts[N_SESSION_ENDS] = {
#define X(symbol, name, text) text,
		SESSION_END_LIST(X)
#undef X
	};
	return texts[end];
}

const char *connect_result_name(enum connect_result result)
{
	static const char *const names[N_CONNECT_RESULTS] = {
#define X(name, text) text,
		CONNECT_RESULT_LIST(X)
#undef X
	};
	return names[result];
}
