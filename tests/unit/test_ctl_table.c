// SPDX-License-Identifier: Apache-2.0
#include "ctl/table.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const struct table_column columns[] = {{"NAME", TABLE_LEFT},
					      {"COUNT", TABLE_RIGHT},
					      {"NOTE", TABLE_LEFT}};

static void set_locale(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
}

static struct table *make_table(void)
{
	struct table *table = table_create(columns, 3);
	cr_assert(table);
	return table;
}

static char *print(const struct table *table, bool has_color)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	cr_assert(table_print(table, out, has_color));
	fclose(out);
	return text;
}

static void expect_text(const struct table *table, const char *expected)
{
	char *text = print(table, false);
	cr_expect_str_eq(text, expected);
	free(text);
}

Test(ctl_table, columns_are_as_wide_as_their_widest_and_numbers_are_right, .init = set_locale)
{
	struct table *table = make_table();
	json_t *object = json_pack("{s:i,s:{s:i}}", "a", 7, "b", "c", 1234567);
	table_text(table, PAINT_NONE, "x");
	table_count(table, object, "a");
	table_text(table, PAINT_NONE, "first");
	table_end_row(table);
	table_text(table, PAINT_NONE, "longer");
	table_count(table, object, "b.c");
	table_end_row(table);
	table_text(table, PAINT_NONE, "");
	table_count(table, object, "b.none");
	table_end_row(table);
	expect_text(table, "NAME        COUNT  NOTE\n"
			   "x               7  first\n"
			   "longer  1,234,567\n"
			   "-               -\n");
	json_decref(object);
	table_destroy(table);
}

Test(ctl_table, numbers_are_in_the_units_of_what_they_count, .init = set_locale)
{
	struct table *table = make_table();
	json_t *object = json_pack("{s:i,s:f,s:f}", "bytes", 1500000, "share", 0.25, "rate", 12.5);
	table_bytes(table, object, "bytes");
	table_share(table, object, "share");
	table_count(table, object, "rate");
	table_end_row(table);
	table_bytes(table, object, "none");
	table_share(table, object, "none");
	table_text(table, PAINT_NONE, "x");
	table_end_row(table);
	expect_text(table, "NAME    COUNT  NOTE\n"
			   "1.5 MB    25%  13\n"
			   "-           -  x\n");
	json_decref(object);
	table_destroy(table);
}

Test(ctl_table, nothing_is_printed_without_rows, .init = set_locale)
{
	struct table *table = make_table();
	cr_expect(table_is_empty(table));
	expect_text(table, "");
	table_destroy(table);
	table_destroy(NULL);
}

Test(ctl_table, width_is_counted_in_columns_of_the_terminal, .init = set_locale)
{
	struct table *table = make_table();
	table_text(table, PAINT_NONE, "né");
	table_text(table, PAINT_NONE, "1");
	table_text(table, PAINT_NONE, "a");
	table_end_row(table);
	table_text(table, PAINT_NONE, "日本語");
	table_text(table, PAINT_NONE, "2");
	table_text(table, PAINT_NONE, "b");
	table_end_row(table);
	expect_text(table, "NAME    COUNT  NOTE\n"
			   "né          1  a\n"
			   "日本語      2  b\n");
	table_destroy(table);
}

Test(ctl_table, colours_are_around_the_text_and_change_no_width, .init = set_locale)
{
	struct table *table = make_table();
	table_word(table, "up");
	table_end_row(table);
	char *text = print(table, true);
	cr_expect_str_eq(text, "\033[2mNAME\033[0m  \033[2mCOUNT\033[0m  \033[2mNOTE\033[0m\n"
			       "\033[32mup\033[0m\n");
	free(text);
	table_destroy(table);
}

Test(ctl_table, words_have_the_colour_of_what_they_mean)
{
	cr_expect_eq(paint_of_word("up"), PAINT_GOOD);
	cr_expect_eq(paint_of_word("down"), PAINT_BAD);
	cr_expect_eq(paint_of_word("drain"), PAINT_WARN);
	cr_expect_eq(paint_of_word("unchecked"), PAINT_DIM);
	cr_expect_eq(paint_of_word("of another version"), PAINT_NONE);
}

Test(ctl_paint, nothing_is_left_that_a_terminal_would_obey, .init = set_locale)
{
	static const struct {
		const char *text;
		const char *clean;
	} cases[] = {
		{"plain", "plain"},
		{"\033[31mred\033[0m", "?[31mred?[0m"},
		{"a\nb\tc\rd\be\177f", "a?b?c?d?e?f"},
		{"csi \xc2\x9b"
		 "31m",
		 "csi ?31m"},
		{"\xff\xfe", "??"},
		{"cut \xe6\x97", "cut ??"},
		{"turned \xe2\x80\xae back", "turned ? back"},
		{"日本", "日本"},
		{"", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *clean = paint_clean(cases[i].text);
		cr_expect_str_eq(clean, cases[i].clean);
		free(clean);
	}
}

Test(ctl_paint, without_utf8_only_ascii_is_printed)
{
	setlocale(LC_CTYPE, "C");
	char *clean = paint_clean("n\xc3\xa9");
	cr_expect_str_eq(clean, "n??");
	free(clean);
}

Test(ctl_table, a_narrow_terminal_gets_fewer_columns_and_is_told_which, .init = set_locale)
{
	static const char *const titles[] = {"COUNT", NULL};
	static const struct {
		unsigned width;
		bool is_whole;
	} cases[] = {{0, true}, {19, true}, {18, false}, {3, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct table *table = make_table();
		table_text(table, PAINT_NONE, "a name");
		table_text(table, PAINT_NONE, "12345");
		table_text(table, PAINT_NONE, "that goes on and on");
		table_end_row(table);
		table_fit(table, cases[i].width, titles);
		expect_text(table, cases[i].is_whole ? "NAME    COUNT  NOTE\n"
						       "a name  12345  that goes on and on\n"
						     : "NAME    NOTE\n"
						       "a name  that goes on and on\n"
						       "\nThe terminal is too narrow for COUNT\n");
		table_destroy(table);
	}
}

Test(ctl_table, without_rows_nothing_is_left_out, .init = set_locale)
{
	static const char *const titles[] = {"COUNT", NULL};
	struct table *table = make_table();
	table_fit(table, 5, titles);
	expect_text(table, "");
	table_destroy(table);
}
