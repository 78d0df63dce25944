// SPDX-License-Identifier: Apache-2.0
#include "ctl/facts.h"

#include <stdarg.h>
#include <stdlib.h>

#include "ctl/table.h"

struct table *facts_create(void)
{
	static const struct table_column columns[] = {{"", TABLE_LEFT}, {"", TABLE_LEFT}};
	return table_create(columns, 2);
}

void facts_add(struct table *facts, const char *label, enum paint paint, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (*label)
		table_text(facts, PAINT_DIM, label);
	else
		table_empty(facts);
	table_text(facts, paint, text);
	table_end_row(facts);
	free(text);
}
