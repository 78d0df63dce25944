// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/tcp_option.h"

#include <criterion/criterion.h>
#include <string.h>

#include "../support/lib/frame.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { OPTIONS_LEN = 16 };

static struct frame_spec syn_with(const uint8_t *options, enum frame_sum sum)
{
	struct frame_spec spec = {
		.src = frame_v4(0x0a01000b),
		.dst = frame_v4(0x0a010064),
		.proto = IPPROTO_TCP,
		.ttl = 64,
		.src_port = 1000,
		.dst_port = 80,
		.flags = TCP_FLAG_SYN,
		.sum = sum,
	};
	memcpy(spec.tcp_options.bytes, options, OPTIONS_LEN);
	spec.tcp_options.len = OPTIONS_LEN;
	return spec;
}

// Options before and after.
static const struct {
	const char *name;
	uint8_t before[OPTIONS_LEN];
	uint8_t after[OPTIONS_LEN];
} cases[] = {
	{"in front",
	 {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 5, 180, 1, 1},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 5, 180, 1, 1}},
	{"at an odd place",
	 {3, 3, 7, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1},
	 {3, 3, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	{"at an odd place, next to what stays",
	 {3, 3, 7, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 3, 3, 9},
	 {3, 3, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 9}},
	{"at the end",
	 {1, 1, 1, 1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	{"none", {2, 4, 5, 180, 3, 3, 7, 4, 2}, {2, 4, 5, 180, 3, 3, 7, 4, 2}},
	{"of a wrong length", {8, 9, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 1, 2, 3, 4, 5, 6, 7}},
	{"behind the end of the options",
	 {0, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
	 {0, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}},
	{"beyond the header",
	 {1, 1, 1, 1, 1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7},
	 {1, 1, 1, 1, 1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7}},
	{"behind one without a length",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8}},
};

static void hide_all(enum frame_sum sum)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t frame[200];
		uint8_t expected[200];
		char why[200];
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct frame_spec before = syn_with(cases[i].before, sum);
		struct frame_spec after = syn_with(cases[i].after, sum);
		uint32_t len = frame_build(&before, frame, &vnet);
		frame_build(&after, expected, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		tcp_option_hide_timestamps(frame, &view, sum == SUM_PARTIAL);
		cr_expect_null(frame_difference(expected, len, frame, len, why, sizeof(why)),
			       "%s: %s", cases[i].name, why);
	}
}

Test(tcp_option, timestamps_become_padding_and_the_checksum_follows)
{
	hide_all(SUM_RIGHT);
}

Test(tcp_option, a_wrong_checksum_stays_wrong)
{
	hide_all(SUM_WRONG);
}

Test(tcp_option, a_checksum_that_is_left_to_the_hardware_is_left_alone)
{
	hide_all(SUM_PARTIAL);
}
