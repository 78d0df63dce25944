// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format, version 0.0.4: families, each with its help and type, then its samples.
// Called by: control.
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "culvert/base/histogram.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

// What all samples of an object have; a NULL name ends the list. Values are escaped.
struct metric_label {
	const char *name;
	const char *value;
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

// `help` needs no escaping.
void metrics_family(FILE *out, const char *name, enum metric_type type, const char *help);
// `labels` may be NULL.
void metrics_count(FILE *out, const char *name, const struct metric_label *labels, uint64_t value);
void metrics_real(FILE *out, const char *name, const struct metric_label *labels, double value);
// Buckets, sum and count, in seconds.
void metrics_histogram(FILE *out, const char *name, const struct metric_label *labels,
		       const struct histogram_sum *histogram);
