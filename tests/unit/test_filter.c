// SPDX-License-Identifier: Apache-2.0
// The capture filter must let everything through that culvert would forward: too broad is slow, too
// narrow is a fault.
#include "culvert/packet/filter.h"

#include <criterion/criterion.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/lib/frame_text.h"
#include "../support/lib/scene.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void two_frontends(struct scene *scene)
{
	scene_init(scene, "10.2.0.1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "10.2.0.21:8080", 1);
	size_t dns = scene_add_pool(scene, "dns", IPPROTO_UDP);
	scene_add_backend(scene, dns, "two", "10.2.0.21:5353", 1);
	scene_add_frontend(scene, "10.1.0.100:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "10.1.0.100:53", dns, HASH_5_TUPLE);
}

static char *text_for(const struct config *config)
{
	struct endpoint *vips = calloc(config->n_frontends + 1, sizeof(*vips));
	cr_assert(vips);
	for (size_t i = 0; i < config->n_frontends; i++)
		vips[i] = config->frontends[i].endpoint;
	char *text = filter_text(config, vips, config->n_frontends);
	free(vips);
	return text;
}

static bool lets_through(const char *filter, const char *text)
{
	struct text_frame frame = frame_from_text(text);
	struct bpf_program program;
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 262144);
	cr_assert_eq(pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN), 0, "%s: %s",
		     filter, pcap_geterr(dead));
	struct pcap_pkthdr header = {.caplen = frame.len, .len = frame.len};
	bool is_in = pcap_offline_filter(&program, &header, frame.bytes);
	pcap_freecode(&program);
	pcap_close(dead);
	text_frame_fini(&frame);
	return is_in;
}

Test(filter, lets_through_what_culvert_forwards)
{
	static const struct {
		const char *text;
		bool is_in;
		bool is_in_coarse;
	} cases[] = {
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S", true, true},
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S ipopts rr", true, true},
		{"10.1.0.11:1000 > 10.1.0.100:53 udp len 9", true, true},
		{"10.2.0.21:8080 > 10.2.0.1:40000 tcp SA", true, true},
		{"10.2.0.21:5353 > 10.2.0.1:40999 udp", true, true},
		{"10.2.0.21:8080 > 10.2.0.1:40999 tcp A ipopts rr,alert", true, true},
		{"10.9.9.9 > 10.2.0.1 icmp frag-needed 1300 { 10.2.0.1:1 > 10.2.0.21:2 tcp A }",
		 true, true},
		{"10.9.9.9 > 10.1.0.100 icmp time-exceeded { 10.1.0.100:1 > 10.2.0.21:2 tcp A }",
		 true, true},
		{"10.9.9.9 > 10.1.0.100 icmp param-problem { 10.1.0.100:1 > 10.2.0.21:2 tcp A }",
		 true, true},
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp A mf len 8", true, true},
		{"10.1.0.11:1000 > 10.1.0.100:80 udp frag 8", true, true},
		{"10.2.0.21:5353 > 10.2.0.1:40999 udp len 3000 part 0 1480", true, true},
		{"10.2.0.21:5353 > 10.2.0.1:40999 udp len 3000 part 1480 1480", true, true},
		{"10.2.0.21:5353 > 10.2.0.1:39999 udp len 3000 part 0 1480", true, true},
		{"10.2.0.21:5353 > 10.2.0.2:40999 udp len 3000 part 1480 1480", false, true},
		{"10.1.0.11:1000 > 10.1.0.100:81 tcp S", false, true},
		{"10.1.0.11:1000 > 10.1.0.101:80 tcp S", false, true},
		{"10.1.0.11:1000 > 10.1.0.100:80 udp", false, true},
		{"10.2.0.21:8080 > 10.2.0.1:39999 tcp A", false, true},
		{"10.2.0.21:8080 > 10.2.0.1:41000 tcp A", false, true},
		{"10.1.0.11 > 10.1.0.100 icmp echo", false, true},
		{"10.1.0.11 > 10.1.0.100 proto 47 len 20", false, false},
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S poke 12=86dd", false, true},
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S poke 0=06", true, true},
	};
	struct scene scene;
	two_frontends(&scene);
	char *exact = text_for(scene.config);
	char *coarse = filter_text_coarse();
	cr_assert(exact && coarse);
	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(lets_through(exact, cases[i].text), cases[i].is_in, "%s",
			     cases[i].text);
		cr_expect_eq(lets_through(coarse, cases[i].text), cases[i].is_in_coarse,
			     "%s, coarse", cases[i].text);
	}
	free(exact);
	free(coarse);
	scene_fini(&scene);
}

static void two_frontends_v6(struct scene *scene)
{
	scene_init(scene, "fd00:2::1");
	size_t web = scene_add_pool(scene, "web", IPPROTO_TCP);
	scene_add_backend(scene, web, "one", "[fd00:2::21]:8080", 1);
	size_t dns = scene_add_pool(scene, "dns", IPPROTO_UDP);
	scene_add_backend(scene, dns, "two", "[fd00:2::21]:5353", 1);
	scene_add_frontend(scene, "[fd00:1::100]:80", web, HASH_5_TUPLE);
	scene_add_frontend(scene, "[fd00:1::100]:53", dns, HASH_5_TUPLE);
}

// pcap finds no port behind extension headers: what has any is let in by its address alone.
Test(filter, lets_through_what_culvert_forwards_over_IPv6)
{
	static const struct {
		const char *text;
		bool is_in;
	} cases[] = {
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:53 udp len 9", true},
		{"[fd00:2::21]:8080 > [fd00:2::1]:40000 tcp SA", true},
		{"[fd00:2::21]:5353 > [fd00:2::1]:40999 udp", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S ext hop", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S ext dest", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S ext route0", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S ext frag", true},
		{"[fd00:1::11]:1000 > [fd00:1::100]:53 udp len 64 part 8 16", true},
		{"[fd00:9::9] > [fd00:1::100] icmp6 too-big 1300 "
		 "{ [fd00:1::100]:80 > [fd00:1::11]:1 tcp A }",
		 true},
		{"[fd00:9::9] > [fd00:2::1] icmp6 port-unreachable "
		 "{ [fd00:2::1]:1 > [fd00:2::21]:2 udp }",
		 true},
		{"[fd00:9::9] > [fd00:2::1] icmp6 time-exceeded "
		 "{ [fd00:2::1]:1 > [fd00:2::21]:2 udp }",
		 true},
		{"[fd00:9::9] > [fd00:2::1] icmp6 param-problem "
		 "{ [fd00:2::1]:1 > [fd00:2::21]:2 udp }",
		 true},
		{"[fd00:1::11] > [fd00:1::100] icmp6 echo", false},
		{"[fd00:1::11] > [fd00:1::100] icmp6 neighbour-solicitation", false},
		{"[fd00:1::11]:1000 > [fd00:1::100]:81 tcp S", false},
		{"[fd00:1::11]:1000 > [fd00:1::101]:80 tcp S", false},
		{"[fd00:1::11]:1000 > [fd00:1::101]:80 tcp S ext dest", false},
		{"[fd00:1::11]:1000 > [fd00:1::100]:80 udp", false},
		{"[fd00:2::21]:8080 > [fd00:2::1]:39999 tcp A", false},
		{"[fd00:1::11] > [fd00:1::100] proto 50 len 40", false},
		// No frontend is IPv4.
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S", false},
		{"10.2.0.21:8080 > 10.2.0.1:40000 tcp SA", false},
	};
	struct scene scene;
	two_frontends_v6(&scene);
	char *exact = text_for(scene.config);
	char *coarse = filter_text_coarse();
	cr_assert(exact && coarse);
	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(lets_through(exact, cases[i].text), cases[i].is_in, "%s",
			     cases[i].text);
		cr_expect(lets_through(coarse, cases[i].text), "%s, coarse", cases[i].text);
	}
	free(exact);
	free(coarse);
	scene_fini(&scene);
}

Test(filter, frontends_of_both_families_stand_beside_each_other)
{
	struct scene scene;
	two_frontends_v6(&scene);
	scene_add_pool(&scene, "old", IPPROTO_TCP);
	scene_add_frontend(&scene, "10.1.0.100:80", 2, HASH_5_TUPLE);
	char *text = text_for(scene.config);
	cr_assert_not_null(text);
	cr_expect(lets_through(text, "10.1.0.11:1000 > 10.1.0.100:80 tcp S"));
	cr_expect(lets_through(text, "[fd00:1::11]:1000 > [fd00:1::100]:80 tcp S"));
	cr_expect_not(lets_through(text, "10.1.0.11:1000 > 10.1.0.100:53 udp"));
	free(text);
	scene_fini(&scene);
}

Test(filter, in_DSR_mode_nothing_but_the_clients_half_comes_in_over_IPv6)
{
	struct scene scene;
	two_frontends_v6(&scene);
	scene.config->mode = MODE_DSR;
	char *text = text_for(scene.config);
	cr_assert_not_null(text);
	cr_expect(lets_through(text, "[fd00:1::11]:1000 > [fd00:1::100]:80 tcp A"));
	cr_expect_not(lets_through(text, "[fd00:2::21]:8080 > [fd00:2::1]:40000 tcp SA"));
	cr_expect_not(lets_through(text, "[fd00:1::100]:80 > [fd00:1::11]:40000 tcp SA"));
	free(text);
	scene_fini(&scene);
}

Test(filter, in_DSR_mode_nothing_but_the_clients_half_comes_in)
{
	static const struct {
		const char *text;
		bool is_in;
	} cases[] = {
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp S", true},
		{"10.1.0.11:1000 > 10.1.0.100:80 tcp A mf len 8", true},
		{"10.9.9.9 > 10.1.0.100 icmp frag-needed 1300 { 10.1.0.100:80 > 10.1.0.11:1 tcp A "
		 "}",
		 true},
		{"10.2.0.21:8080 > 10.2.0.1:40000 tcp SA", false},
		{"10.1.0.100:80 > 10.1.0.11:40000 tcp SA", false},
	};
	struct scene scene;
	two_frontends(&scene);
	scene.config->mode = MODE_DSR;
	char *text = text_for(scene.config);
	cr_assert_not_null(text);
	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(lets_through(text, cases[i].text), cases[i].is_in, "%s",
			     cases[i].text);
	free(text);
	scene_fini(&scene);
}

Test(filter, replies_in_fragments_come_in_for_any_address_where_ours_are_found_later)
{
	struct scene scene;
	two_frontends(&scene);
	scene.config->passthrough.n_snat_addrs = 0;
	char *text = text_for(scene.config);
	cr_assert_not_null(text);
	cr_expect(
		lets_through(text, "10.2.0.21:5353 > 10.2.0.2:40999 udp len 3000 part 1480 1480"));
	cr_expect_not(lets_through(text, "10.2.0.21:5353 > 10.2.0.2:39999 udp len 9"));
	free(text);
	scene_fini(&scene);
}

Test(filter, a_program_too_long_for_the_kernel_is_told_and_the_coarse_one_is_not)
{
	struct scene scene;
	struct err err = {0};
	scene_init(&scene, "10.2.0.1");
	size_t web = scene_add_pool(&scene, "web", IPPROTO_TCP);
	char *text = text_for(scene.config);
	cr_expect_eq(filter_check(text, &err), 0, "%s", err.message);
	free(text);
	for (unsigned i = 0; i < 1000; i++) {
		char endpoint[40];
		snprintf(endpoint, sizeof(endpoint), "10.1.%u.%u:%u", i / 200, i % 200 + 1, i + 1);
		scene_add_frontend(&scene, endpoint, web, HASH_5_TUPLE);
	}
	text = text_for(scene.config);
	char *coarse = filter_text_coarse();
	cr_expect_lt(filter_check(text, &err), 0);
	cr_expect_neq(err.message[0], '\0');
	cr_expect_eq(filter_check(coarse, NULL), 0);
	free(text);
	free(coarse);
	scene_fini(&scene);
}

Test(filter, nonsense_is_refused)
{
	struct err err = {0};
	cr_expect_lt(filter_check("ether dst nobody", &err), 0);
	cr_expect_neq(err.message[0], '\0');
}
