// SPDX-License-Identifier: Apache-2.0
// Which flows the kernel forwards: from when, until when, and by which snapshot.
#include "packet/fast_path.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/fast_lab.h"

enum {
	A = TCP_FLAG_ACK,
	SA = TCP_FLAG_SYN | TCP_FLAG_ACK,
	FA = TCP_FLAG_FIN | TCP_FLAG_ACK,
	REST_MS = 1000,
	ROUND_MS = 250,
};

static const struct fast_lab_params alone = {0};

static bool is_there(const struct fast_lab *lab, const struct fast_lab_client *client)
{
	bool from_client = fast_lab_entry(lab, client, FROM_CLIENT);
	cr_expect_eq(fast_lab_entry(lab, client, FROM_BACKEND) != NULL,
		     from_client && !lab->is_dsr);
	return from_client;
}

static void expect_all_back(struct fast_lab *lab)
{
	fast_lab_move_ms(lab, REST_MS);
	fast_lab_move_ms(lab, REST_MS);
	cr_expect(fast_lab_is_empty(lab));
}

// ---- coming -------------------------------------------------------------------------------------

Test(fast_path, a_connection_goes_there_with_the_end_of_its_handshake)
{
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab lab;
		fast_lab_open_alone(&lab, FAST_LAB_NAT);
		struct fast_lab_client client = fast_lab_client(&lab, 1, IPPROTO_TCP, is_v6);
		fast_lab_say(&lab, &client, FROM_CLIENT, TCP_FLAG_SYN, 0);
		cr_expect_not(is_there(&lab, &client));
		fast_lab_say(&lab, &client, FROM_BACKEND, SA, 0);
		cr_expect_not(is_there(&lab, &client));
		fast_lab_say(&lab, &client, FROM_CLIENT, A, 0);
		cr_expect(is_there(&lab, &client));
		cr_expect_eq(counter_read(&lab.pump.worker.fast.flows), 1);
		fast_lab_close(&lab);
	}
}

Test(fast_path, datagrams_go_there_when_the_client_has_spoken_again)
{
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct fast_lab lab;
		fast_lab_open_alone(&lab, FAST_LAB_NAT);
		struct fast_lab_client client = fast_lab_client(&lab, 1, IPPROTO_UDP, is_v6);
		fast_lab_say(&lab, &client, FROM_CLIENT, 0, 10);
		fast_lab_say(&lab, &client, FROM_CLIENT, 0, 10);
		cr_expect_not(is_there(&lab, &client));
		fast_lab_say(&lab, &client, FROM_BACKEND, 0, 10);
		cr_expect_not(is_there(&lab, &client));
		fast_lab_say(&lab, &client, FROM_CLIENT, 0, 10);
		cr_expect(is_there(&lab, &client));
		fast_lab_close(&lab);
	}
}

Test(fast_path, where_answers_are_not_seen_the_clients_half_goes_there)
{
	for (enum fast_lab_way way = FAST_LAB_DSR_NAT; way < FAST_LAB_N_WAYS; way++) {
		struct fast_lab lab;
		fast_lab_open_alone(&lab, way);
		struct fast_lab_client tcp = fast_lab_client(&lab, 1, IPPROTO_TCP, way % 2);
		struct fast_lab_client udp = fast_lab_client(&lab, 2, IPPROTO_UDP, way % 2);
		fast_lab_say(&lab, &tcp, FROM_CLIENT, TCP_FLAG_SYN, 0);
		fast_lab_say(&lab, &udp, FROM_CLIENT, 0, 10);
		cr_expect_not(is_there(&lab, &tcp) || is_there(&lab, &udp));
		fast_lab_say(&lab, &udp, FROM_CLIENT, 0, 10);
		cr_expect_not(is_there(&lab, &udp), "in the same second");
		tcp.next[FROM_BACKEND]++;
		fast_lab_say(&lab, &tcp, FROM_CLIENT, A, 0);
		cr_expect(is_there(&lab, &tcp));
		fast_lab_move_ms(&lab, 1000);
		fast_lab_say(&lab, &udp, FROM_CLIENT, 0, 10);
		cr_expect(is_there(&lab, &udp));
		fast_lab_close(&lab);
	}
}

Test(fast_path, several_workers_use_entries_of_their_own)
{
	enum { N_WORKERS = 3, N_FLOWS = 50 };
	static struct fast_lab labs[N_WORKERS];
	struct fast_lab_params params = {.n_workers = N_WORKERS};
	uint32_t end = 0; // of those of the workers before
	for (params.number = 0; params.number < N_WORKERS; params.number++) {
		struct fast_lab *lab = &labs[params.number];
		fast_lab_init(lab, FAST_LAB_NAT);
		struct config_passthrough *passthrough = &lab->scene.config->passthrough;
		passthrough->nat_port_min = (uint16_t)(40000 + 300 * params.number);
		passthrough->nat_port_max = (uint16_t)(passthrough->nat_port_min + 299);
		fast_lab_open(lab, &params);
		params.maps = &labs[0].maps;
		const struct fast_path *fast = &lab->pump.worker.fast;
		cr_expect_geq(fast->first, end);
		end = fast->first + fast->n_slots * fast->n_ways;
		cr_expect_leq(end, FAST_ENTRIES);
		for (uint32_t i = 0; i < N_FLOWS; i++) {
			struct fast_lab_client client =
				fast_lab_established(lab, params.number * N_FLOWS + i);
			const struct fast_entry *entry = fast_lab_entry(lab, &client, FROM_CLIENT);
			cr_assert_not_null(entry);
			cr_expect_geq(entry - lab->maps.entries, fast->first);
			cr_expect_lt(entry - lab->maps.entries, end);
		}
	}
	for (int i = N_WORKERS - 1; i >= 0; i--)
		fast_lab_close(&labs[i]);
}

// ---- going --------------------------------------------------------------------------------------

static void one_side_ends(enum flow_dir dir, uint8_t flags)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	struct fast_lab_client other = fast_lab_established(&lab, 2);
	cr_assert(is_there(&lab, &client));
	cr_expect(fast_lab_say(&lab, &client, dir, flags, 0));
	cr_expect_not(is_there(&lab, &client));
	cr_expect(is_there(&lab, &other));
	fast_lab_move_ms(&lab, 2 * REST_MS);
	fast_lab_say(&lab, &client, !dir, A, 0);
	cr_expect_not(is_there(&lab, &client));
	fast_lab_close(&lab);
}

Test(fast_path, a_fin_or_reset_of_either_side_takes_a_connection_back)
{
	one_side_ends(FROM_CLIENT, FA);
	one_side_ends(FROM_BACKEND, FA);
	one_side_ends(FROM_CLIENT, TCP_FLAG_RST);
	one_side_ends(FROM_BACKEND, TCP_FLAG_RST | A);
}

Test(fast_path, a_clients_fin_or_reset_or_other_syn_takes_its_half_back)
{
	static const uint8_t ends[] = {FA, TCP_FLAG_RST, TCP_FLAG_SYN};
	for (size_t i = 0; i < sizeof(ends); i++) {
		struct fast_lab lab;
		fast_lab_open_alone(&lab, i % 2 ? FAST_LAB_DSR_L2 : FAST_LAB_DSR_NAT);
		struct fast_lab_client client = fast_lab_established(&lab, 1);
		cr_assert(is_there(&lab, &client));
		client.next[FROM_CLIENT] += ends[i] == TCP_FLAG_SYN ? 1U << 30 : 0;
		fast_lab_say(&lab, &client, FROM_CLIENT, ends[i], 0);
		cr_expect_not(is_there(&lab, &client), "%zu", i);
		expect_all_back(&lab);
		fast_lab_close(&lab);
	}
}

Test(fast_path, flows_that_expire_leave_nothing)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	lab.pump.worker.flows->params.timeouts[FLOW_ESTABLISHED] = 10;
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	fast_lab_move_ms(&lab, 9000);
	cr_expect(is_there(&lab, &client));
	fast_lab_move_ms(&lab, 1000);
	fast_lab_move_ms(&lab, 1000);
	cr_expect_not(is_there(&lab, &client));
	cr_expect_eq(lab.pump.worker.flows->n_flows, 0);
	expect_all_back(&lab);
	fast_lab_close(&lab);
}

Test(fast_path, the_next_flow_of_an_entry_of_the_table_may_go_there_at_once)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client first = fast_lab_established(&lab, 1);
	flow_table_end(lab.pump.worker.flows, first.flow, FLOW_REMOVED);
	cr_expect_not(is_there(&lab, &first));
	struct fast_lab_client second = fast_lab_established(&lab, 2);
	cr_expect_eq(second.flow, first.flow);
	cr_expect(is_there(&lab, &second));
	fast_lab_close(&lab);
}

// Whoever makes way is finished, and has left before; the slot must not be given up twice.
Test(fast_path, a_flow_whose_place_is_taken_has_left)
{
	struct fast_lab lab;
	fast_lab_init(&lab, FAST_LAB_NAT);
	lab.scene.config->passthrough.connection_tracker_capacity = 4;
	fast_lab_open(&lab, &alone);
	for (uint32_t i = 0; i < 20; i++) {
		struct fast_lab_client client = fast_lab_established(&lab, i);
		cr_expect(is_there(&lab, &client));
		fast_lab_say(&lab, &client, FROM_CLIENT, TCP_FLAG_RST, 0);
		fast_lab_move_ms(&lab, REST_MS);
	}
	cr_expect_gt(counter_read(&lab.pump.worker.flows->reclaimed), 0);
	expect_all_back(&lab);
	fast_lab_close(&lab);
}

Test(fast_path, orphans_have_left)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	for (uint32_t i = 0; i < 30; i++)
		fast_lab_established(&lab, i);
	for (uint32_t i = 0; i < registry_n_backends(lab.scene.registry); i++)
		registry_set_up(lab.scene.registry, i, false);
	fast_lab_publish(&lab);
	fast_lab_move_ms(&lab, ROUND_MS);
	cr_expect_eq(counter_read(&lab.pump.worker.fast.flows), 0);
	struct mem_frame *sent;
	while ((sent = mem_io_take(lab.pump.io)))
		free(sent);
	expect_all_back(&lab);
	fast_lab_close(&lab);
}

// ---- snapshots ----------------------------------------------------------------------------------

Test(fast_path, an_entry_that_says_what_would_be_said_now_stays)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	for (int dir = 0; dir < N_FLOW_DIRS; dir++) {
		const struct fast_entry *there = fast_lab_entry(&lab, &client, FROM_CLIENT);
		const struct fast_entry *back = fast_lab_entry(&lab, &client, FROM_BACKEND);
		fast_lab_publish(&lab);
		cr_expect_not(is_there(&lab, &client), "of an old snapshot");
		// Either side's packet is enough for both.
		fast_lab_say(&lab, &client, (enum flow_dir)dir, A, 10);
		cr_expect(is_there(&lab, &client));
		cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT), there);
		cr_expect_eq(fast_lab_entry(&lab, &client, FROM_BACKEND), back);
	}
	cr_expect_eq(lab.pump.worker.fast.n_resting, 0);
	fast_lab_close(&lab);
}

static void set_hop(struct fast_lab *lab, uint32_t backend, uint16_t link, uint8_t last_of_mac,
		    enum hop_state state)
{
	struct snapshot_hop hop = registry_backend(lab->scene.registry, backend)->hop;
	hop.link = link;
	hop.mac.bytes[5] = last_of_mac;
	hop.state = state;
	registry_set_hop(lab->scene.registry, backend, &hop, 1);
}

static void set_link(struct fast_lab *lab, uint32_t index, uint8_t last_of_mac, uint32_t mtu)
{
	struct snapshot_link link = *registry_link(lab->scene.registry, index);
	link.mac.bytes[5] = last_of_mac;
	link.mtu = mtu;
	registry_update_link(lab->scene.registry, index, &link);
}

// The old entry goes with the first packet, and after a while another one comes.
static void expect_replaced(struct fast_lab *lab, struct fast_lab_client *client)
{
	fast_lab_publish(lab);
	fast_lab_say(lab, client, FROM_BACKEND, A, 10);
	cr_expect_not(is_there(lab, client));
	fast_lab_move_ms(lab, REST_MS - 1);
	fast_lab_say(lab, client, FROM_BACKEND, A, 10);
	cr_expect_not(is_there(lab, client), "too early");
	fast_lab_move_ms(lab, 1);
	fast_lab_say(lab, client, FROM_BACKEND, A, 10);
	cr_assert(is_there(lab, client));
}

Test(fast_path, another_way_to_the_backend_replaces_the_entry)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	uint16_t backend = fast_lab_flow(&lab, &client)->backend;
	set_hop(&lab, backend, SCENE_BACK, 99, HOP_READY);
	expect_replaced(&lab, &client);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT)->dst_mac[5], 99);
	set_hop(&lab, backend, SCENE_FRONT, 99, HOP_READY);
	expect_replaced(&lab, &client);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT)->tx_ifindex,
		     SCENE_FIRST_IFINDEX + SCENE_FRONT);
	set_hop(&lab, backend, SCENE_BACK, 99, HOP_READY);
	expect_replaced(&lab, &client);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT)->tx_ifindex,
		     SCENE_FIRST_IFINDEX + SCENE_BACK);
	fast_lab_close(&lab);
}

Test(fast_path, a_link_that_has_changed_replaces_the_entry)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	set_link(&lab, SCENE_BACK, 98, 1500);
	client.specs[FROM_BACKEND].dst_mac.bytes[5] = 98;
	expect_replaced(&lab, &client);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT)->src_mac[5], 98);
	set_link(&lab, SCENE_FRONT, lab.scene.link_macs[SCENE_FRONT].bytes[5], 1400);
	expect_replaced(&lab, &client);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_BACKEND)->mtu, 1400);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT)->mtu, 1500);
	fast_lab_close(&lab);
}

Test(fast_path, a_client_that_is_somewhere_else_replaces_the_entry_and_not_at_once)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	client.specs[FROM_CLIENT].src_mac.bytes[5] ^= 1;
	fast_lab_say(&lab, &client, FROM_CLIENT, A, 10);
	cr_expect_not(is_there(&lab, &client));
	for (int i = 0; i < 9; i++) {
		fast_lab_move_ms(&lab, 100);
		client.specs[FROM_CLIENT].src_mac.bytes[5] ^= 1;
		fast_lab_say(&lab, &client, FROM_CLIENT, A, 10);
		cr_expect_not(is_there(&lab, &client));
	}
	fast_lab_move_ms(&lab, 100);
	fast_lab_say(&lab, &client, FROM_CLIENT, A, 10);
	cr_expect(is_there(&lab, &client));
	const uint8_t *mac = client.specs[FROM_CLIENT].src_mac.bytes;
	const struct fast_entry *there = fast_lab_entry(&lab, &client, FROM_CLIENT);
	const struct fast_entry *back = fast_lab_entry(&lab, &client, FROM_BACKEND);
	cr_expect_arr_eq(there->rx_mac, mac, 6);
	cr_expect_arr_eq(back->dst_mac, mac, 6);
	cr_expect_eq(lab.pump.worker.fast.n_active, 1);
	cr_expect_leq(lab.pump.worker.fast.n_resting, 1);
	fast_lab_close(&lab);
}

// A guess from elsewhere turns nothing.
Test(fast_path, who_does_not_know_the_numbers_changes_no_path)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	struct fast_lab_client other = client;
	const struct fast_entry *entry = fast_lab_entry(&lab, &client, FROM_CLIENT);
	other.specs[FROM_CLIENT].src_mac.bytes[5] ^= 1;
	other.next[FROM_CLIENT] += 1U << 30;
	other.next[FROM_BACKEND] += 1U << 30;
	fast_lab_say(&lab, &other, FROM_CLIENT, A, 10);
	cr_expect_eq(fast_lab_entry(&lab, &client, FROM_CLIENT), entry);
	fast_lab_close(&lab);
}

Test(fast_path, without_a_way_to_the_backend_nothing_goes_there)
{
	struct fast_lab lab;
	fast_lab_open_alone(&lab, FAST_LAB_NAT);
	struct fast_lab_client client = fast_lab_established(&lab, 1);
	uint16_t backend = fast_lab_flow(&lab, &client)->backend;
	uint8_t last = registry_backend(lab.scene.registry, backend)->hop.mac.bytes[5];
	set_hop(&lab, backend, SCENE_BACK, last, HOP_UNRESOLVED);
	fast_lab_publish(&lab);
	cr_expect_not(fast_lab_say(&lab, &client, FROM_CLIENT, A, 10));
	cr_expect_not(is_there(&lab, &client));
	// The backend's answers go on.
	cr_expect(fast_lab_say(&lab, &client, FROM_BACKEND, A, 10));
	cr_expect_not(is_there(&lab, &client));
	cr_expect_eq(lab.pump.worker.fast.n_active, 0);
	set_hop(&lab, backend, SCENE_BACK, last, HOP_READY);
	fast_lab_publish(&lab);
	fast_lab_move_ms(&lab, REST_MS);
	cr_expect(fast_lab_say(&lab, &client, FROM_CLIENT, A, 10));
	cr_expect(is_there(&lab, &client));
	fast_lab_close(&lab);
}
