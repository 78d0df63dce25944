// SPDX-License-Identifier: Apache-2.0
#include "culvert/net/mss.h"

#include <criterion/criterion.h>
#include <string.h>

#include "../support/lib/frame.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MAX = 1440 };

static struct frame_spec syn_with(const uint8_t *options, uint8_t len, enum frame_sum sum)
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
	memcpy(spec.tcp_options.bytes, options, len);
	spec.tcp_options.len = len;
	return spec;
}

// Options before and after, 12 bytes each.
static const struct {
	const char *name;
	uint8_t before[12];
	uint8_t after[12];
} cases[] = {
	{"larger", {2, 4, 0x05, 0xb4, 3, 3, 7}, {2, 4, 0x05, 0xa0, 3, 3, 7}},
	{"the greatest", {2, 4, 0xff, 0xff}, {2, 4, 0x05, 0xa0}},
	{"equal", {2, 4, 0x05, 0xa0}, {2, 4, 0x05, 0xa0}},
	{"smaller", {2, 4, 0x02, 0x18}, {2, 4, 0x02, 0x18}},
	{"at an odd place", {1, 2, 4, 0x05, 0xb4, 3, 3, 7}, {1, 2, 4, 0x05, 0xa0, 3, 3, 7}},
	{"at the end",
	 {1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0x05, 0xb4},
	 {1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0x05, 0xa0}},
	{"behind others", {4, 2, 3, 3, 7, 2, 4, 0x23, 0x28}, {4, 2, 3, 3, 7, 2, 4, 0x05, 0xa0}},
	{"none", {3, 3, 7, 4, 2}, {3, 3, 7, 4, 2}},
	{"behind the end of the options", {0, 2, 4, 0x05, 0xb4}, {0, 2, 4, 0x05, 0xb4}},
	{"of a wrong length", {2, 3, 0xff}, {2, 3, 0xff}},
	{"beyond the header",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0xff},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0xff}},
	{"behind one without a length",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3},
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3}},
	{"behind one that is too short", {3, 1, 2, 4, 0x05, 0xb4}, {3, 1, 2, 4, 0x05, 0xb4}},
	{"behind one that is too long", {3, 13, 2, 4, 0x05, 0xb4}, {3, 13, 2, 4, 0x05, 0xb4}},
};

static void clamp_all(enum frame_sum sum)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t frame[200];
		uint8_t expected[200];
		char why[200];
		struct virtio_net_hdr vnet;
		struct frame_view view;
		struct frame_spec before = syn_with(cases[i].before, 12, sum);
		struct frame_spec after = syn_with(cases[i].after, 12, sum);
		uint32_t len = frame_build(&before, frame, &vnet);
		frame_build(&after, expected, &vnet);
		cr_assert_eq(parse_frame(frame, len, &view), PARSE_OK);
		mss_clamp(frame, &view, MAX, sum == SUM_PARTIAL);
		cr_expect_null(frame_difference(expected, len, frame, len, why, sizeof(why)),
			       "%s: %s", cases[i].name, why);
	}
}

Test(mss, is_lowered_and_never_raised_and_the_checksum_follows)
{
	clamp_all(SUM_RIGHT);
}

Test(mss, a_wrong_checksum_stays_wrong)
{
	clamp_all(SUM_WRONG);
}

Test(mss, a_checksum_that_is_left_to_the_hardware_is_left_alone)
{
	clamp_all(SUM_PARTIAL);
}
