// SPDX-License-Identifier: Apache-2.0
#include "culvert/flow/verdict.h"

#include <stddef.h>

static const char *const names[] = {
#define VERDICT_NAME(symbol, name, text) name,
	VERDICT_LIST(VERDICT_NAME)
#undef VERDICT_NAME
};

static const char *const texts[] = {
#define VERDICT_TEXT(symbol, name, text) text,
	VERDICT_LIST(VERDICT_TEXT)
#undef VERDICT_TEXT
};

const char *verdict_name(enum verdict verdict)
{
	return (unsigned)verdict < N_VERDICTS ? names[verdict] : NULL;
}

const char *verdict_text(enum verdict verdict)
{
	return (unsigned)verdict < N_VERDICTS ? texts[verdict] : NULL;
}
