// SPDX-License-Identifier: Apache-2.0
#include "control/metrics_text.h"

#include <inttypes.h>

#define US_PER_S 1e6

void metrics_family(FILE *out, const char *name, enum metric_type type, const char *help)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
	};
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

// `le` is the bound of a bucket, or NULL.
static void put_labels(FILE *out, const struct metric_label *labels, const char *le)
{
	char before = '{';
	for (; labels && labels->name; labels++) {
		fprintf(out, "%c%s=\"", before, labels->name);
		put_escaped(out, labels->value);
		fputc('"', out);
		before = ',';
	}
	if (le) {
		fprintf(out, "%cle=\"%s\"", before, le);
		before = ',';
	}
	if (before == ',')
		fputc('}', out);
}

void metrics_count(FILE *out, const char *name, const struct metric_label *labels, uint64_t value)
{
	fputs(name, out);
	put_labels(out, labels, NULL);
	fprintf(out, " %" PRIu64 "\n", value);
}

void metrics_real(FILE *out, const char *name, const struct metric_label *labels, double value)
{
	fputs(name, out);
	put_labels(out, labels, NULL);
	fprintf(out, " %.15g\n", value);
}

void metrics_histogram(FILE *out, const char *name, const struct metric_label *labels,
		       const struct histogram_sum *histogram)
{
	uint64_t count = 0;
	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char le[32] = "+Inf";
		if (i < HISTOGRAM_BOUNDS)
			snprintf(le, sizeof(le), "%.15g", histogram_bounds_us[i] / US_PER_S);
		count += histogram->buckets[i];
		fprintf(out, "%s_bucket", name);
		put_labels(out, labels, le);
		fprintf(out, " %" PRIu64 "\n", count);
	}
	fprintf(out, "%s_sum", name);
	put_labels(out, labels, NULL);
	fprintf(out, " %.15g\n%s_count", (double)histogram->sum_us / US_PER_S, name);
	put_labels(out, labels, NULL);
	fprintf(out, " %" PRIu64 "\n", count);
}
