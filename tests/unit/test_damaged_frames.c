// SPDX-License-Identifier: Apache-2.0
// Replays what the fuzzers start from, and what they have found, through the packet path.
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/lib/barrage.h"
#include "culvert/net/parse.h"

static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	cr_assert_not_null(file, "%s", path);
	cr_assert_eq(fseek(file, 0, SEEK_END), 0);
	long len = ftell(file);
	cr_assert_geq(len, 0);
	rewind(file);
	uint8_t *bytes = malloc(len ? (size_t)len : 1);
	cr_assert_not_null(bytes);
	*size = fread(bytes, 1, (size_t)len, file);
	cr_assert_eq(*size, (size_t)len);
	fclose(file);
	return bytes;
}

static void for_each_file(const char *pattern,
			  void (*run)(const char *path, const uint8_t *bytes, size_t size))
{
	glob_t found;
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "run from the repository");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		size_t size;
		uint8_t *bytes = read_file(found.gl_pathv[i], &size);
		run(found.gl_pathv[i], bytes, size);
		free(bytes);
	}
	globfree(&found);
}

// What is hard on one way through may be so on another.
static void run_pipeline(const char *path, const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	cr_assert_not_null(copy);
	memcpy(copy, bytes, size);
	for (unsigned way = 0; way < BARRAGE_WAYS && size; way++) {
		const char *wrong = barrage_run(copy, size);
		cr_expect_null(wrong, "%s, setup %u: %s", path, copy[0], wrong);
		copy[0] = (uint8_t)(copy[0] / BARRAGE_WAYS * BARRAGE_WAYS +
				    (copy[0] + 1U) % BARRAGE_WAYS);
	}
	free(copy);
}

static void run_parse(const char *path, const uint8_t *bytes, size_t size)
{
	struct frame_view view;
	if (parse_frame(bytes, (uint32_t)size, &view) == PARSE_OK)
		cr_expect_leq(view.frame_len, size, "%s", path);
}

Test(damaged_frames, the_packet_path_stands_them_and_keeps_its_books)
{
	for_each_file("tests/fuzz/corpus/pipeline/*", run_pipeline);
}

Test(damaged_frames, the_parser_stands_them)
{
	for_each_file("tests/fuzz/corpus/parse/*", run_parse);
	for_each_file("tests/fuzz/corpus/pipeline/*", run_parse);
}

// Each seed with each of its bytes replaced: quick, and deeper than any list of cases.
static void run_mutants(const char *path, const uint8_t *bytes, size_t size)
{
	static const uint8_t values[] = {0x00, 0xff, 0x45, 0x80};
	uint8_t *mutant = malloc(size ? size : 1);
	cr_assert_not_null(mutant);
	for (size_t at = 4; at < size && at < 100; at++) {
		memcpy(mutant, bytes, size);
		mutant[at] = values[at % sizeof(values)];
		mutant[1] |= BARRAGE_FIX_IP;
		const char *wrong = barrage_run(mutant, size);
		cr_assert_null(wrong, "%s, byte %zu: %s", path, at, wrong);
	}
	free(mutant);
}

Test(damaged_frames, the_packet_path_stands_any_byte_of_theirs_changed)
{
	for_each_file("tests/fuzz/corpus/pipeline/*[05]", run_mutants);
}
