// SPDX-License-Identifier: Apache-2.0
// libyaml's loader puts no bound on depth, nodes or anchors, and searches anchors one by one. So a
// first pass looks at the events alone and refuses what is over the limits; the second loads.
#include "config/yaml_reader.h"

#include <errno.h>

#include "config/document.h"

struct tally {
	size_t n_documents;
	size_t n_nodes;
	size_t n_anchors;
	size_t depth;
};

static struct position position_of(yaml_mark_t mark)
{
	return (struct position){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static int report_problem(const yaml_parser_t *parser, struct report *report)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		report_add(report, (struct position){0}, "out of memory");
		return -ENOMEM;
	}
	report_add(report, position_of(parser->problem_mark), "%s%s%s",
		   parser->context ? parser->context : "", parser->context ? ": " : "",
		   parser->problem ? parser->problem : "not YAML");
	return -EINVAL;
}

static void tally_event(struct tally *tally, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		tally->n_documents++;
		break;
	case YAML_MAPPING_START_EVENT:
		tally->depth++;
		tally->n_nodes++;
		tally->n_anchors += event->data.mapping_start.anchor != NULL;
		break;
	case YAML_SEQUENCE_START_EVENT:
		tally->depth++;
		tally->n_nodes++;
		tally->n_anchors += event->data.sequence_start.anchor != NULL;
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		tally->depth--;
		break;
	case YAML_SCALAR_EVENT:
		tally->n_nodes++;
		tally->n_anchors += event->data.scalar.anchor != NULL;
		break;
	case YAML_ALIAS_EVENT:
		tally->n_nodes++;
		break;
	default:
		break;
	}
}

// What is over a limit, or NULL.
static const char *tally_problem(const struct tally *tally)
{
	if (tally->n_documents > 1)
		return "a second document; one file holds one configuration";
	if (tally->depth > DOCUMENT_MAX_DEPTH + 1)
		return document_too_deep;
	if (tally->n_nodes > DOCUMENT_MAX_NODES)
		return document_too_many_values;
	if (tally->n_anchors > DOCUMENT_MAX_ANCHORS)
		return "too many anchors; write the values out";
	return NULL;
}

static int check_events(const char *text, size_t length, struct report *report)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);

	struct tally tally = {0};
	int code = 0;
	for (bool is_done = false; !is_done && code == 0;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			code = report_problem(&parser, report);
			break;
		}
		is_done = event.type == YAML_STREAM_END_EVENT;
		tally_event(&tally, &event);
		const char *problem = tally_problem(&tally);
		if (problem) {
			report_add(report, position_of(event.start_mark), "%s", problem);
			code = -EINVAL;
		}
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return code;
}

static int load(yaml_document_t *document, const char *text, size_t length, struct report *report)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	int code = 0;
	if (!yaml_parser_load(&parser, document))
		code = report_problem(&parser, report);
	yaml_parser_delete(&parser);
	return code;
}

int yaml_reader_read(yaml_document_t *document, const char *text, size_t length,
		     struct report *report)
{
	int code = check_events(text, length, report);
	return code != 0 ? code : load(document, text, length, report);
}
