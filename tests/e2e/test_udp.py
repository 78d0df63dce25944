# SPDX-License-Identifier: Apache-2.0
"""UDP flows: echoes come back to the flow that sent, from the backend it began with."""

import re
import socket

import pytest

from harness import config
from harness.config import UDP_PORT as PORT
from harness.lab import VIP
from test_connections import EVERYWHERE

SOURCES = "10.128.0.0/16"


def start(culvert, lab, **options):
    culvert.start(config.passthrough(lab, protocol="udp", port=PORT, **options))


def run_flows(lab, support, n_flows, n_rounds, sources=SOURCES, timeout=150):
    """The rounds as dictionaries of numbers; there is one for each."""
    lab.run("client", "ip", "route", "replace", "local", sources, "dev", "lo")
    result = lab.run("client", support("udp-flows"), "--dst", f"{VIP}:{PORT}",
                     "--sources", sources, "--flows", n_flows, "--rounds", n_rounds,
                     timeout=timeout)
    rounds = [{key: int(value) for key, value in re.findall(r"(\w+) (\d+)", line)}
              for line in result.stdout.splitlines()]
    assert [round_["round"] for round_ in rounds] == list(range(n_rounds)), result.stdout
    return rounds


def assert_all_held(rounds, n_flows):
    for round_ in rounds:
        assert (round_["echoed"], round_["wrong"], round_["moved"]) == (n_flows, 0, 0), round_


@pytest.mark.parametrize("lab", EVERYWHERE, indirect=True)
@pytest.mark.parametrize("workers", [0, 2])
def test_flows_keep_their_backend(lab, culvert, echo_servers, support, workers):
    echo_servers(lab)
    start(culvert, lab, workers=workers)
    assert_all_held(run_flows(lab, support, 3000, 3), 3000)
    stats = culvert.stats()
    assert stats["flows"]["current"] == stats["total_connections"] == 3000


def open_client(lab, timeout):
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((VIP, PORT))
    return sock


def test_the_first_datagram_after_ready_is_answered(lab, culvert, echo_servers):
    echo_servers(lab)
    start(culvert, lab)
    with open_client(lab, timeout=1) as sock:
        sock.send(b"first")
        assert sock.recv(100)[1:] == b"first"


@pytest.mark.smoke
def test_datagrams_of_any_size_come_back_whole(lab, culvert, echo_servers):
    echo_servers(lab)
    start(culvert, lab)
    with open_client(lab, timeout=2) as sock:
        for size in (0, 1, 2, 17, 1000, 1471):
            payload = bytes(i % 251 for i in range(size))
            sock.send(payload)
            assert sock.recv(65536)[1:] == payload


def assert_one_more_is_refused(lab, culvert, support, n_flows):
    """The table is full of live flows: a new one is refused by name, and none of them is lost."""
    before = culvert.stats()
    round_, = run_flows(lab, support, 1, 1, sources="10.129.0.0/16")
    assert round_["echoed"] == 0, round_
    drops = culvert.stats()["drops"]
    assert drops["flow_table_full"] > before["drops"].get("flow_table_full", 0), drops
    assert_all_held(run_flows(lab, support, n_flows, 1), n_flows)
    after = culvert.stats()
    assert after["total_connections"] == before["total_connections"] == n_flows
    assert after["flows"]["current"] == n_flows
    assert after["flows"]["reclaimed"] == 0


def test_a_full_table_refuses_the_next_flow_by_name(lab, culvert, echo_servers, support):
    echo_servers(lab)
    start(culvert, lab, passthrough={"connection_tracker_capacity": 3000})
    assert_all_held(run_flows(lab, support, 3000, 2), 3000)
    assert_one_more_is_refused(lab, culvert, support, 3000)


FLOW_BYTES = 128  # at most, as the README says
INDEX_BYTES = 64 / 6  # of them in the hash index, which is in memory from the start


def resident_bytes(culvert):
    with open(f"/proc/{culvert.process.pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) * 1024


@pytest.mark.stress
@pytest.mark.parametrize("workers", [0, 2])
def test_300000_flows_are_held_at_once(make_lab, make_culvert, echo_servers, support, workers):
    """12 backends times 2 addresses have NAT ports for 650,000 flows."""
    lab = make_lab(backends=12)
    lab.run("lb", "ip", "addr", "add", "10.0.0.3/24", "dev", "eth0")
    echo_servers(lab)
    culvert = make_culvert(lab)
    options = {"snat_addrs": ["10.0.0.2", "10.0.0.3"]}
    if workers == 0:  # several share the capacity by hash, so the first is full before the last
        options["connection_tracker_capacity"] = 300000
    start(culvert, lab, workers=workers, passthrough=options)
    before = resident_bytes(culvert)
    assert_all_held(run_flows(lab, support, 300000, 2), 300000)
    if workers == 0:  # with several, packet buffers that are used for the first time blur it
        per_flow = (resident_bytes(culvert) - before) / 300000 + INDEX_BYTES
        print(f"{per_flow:.1f} bytes per flow")
        assert per_flow <= FLOW_BYTES, per_flow
    stats = culvert.stats()
    assert stats["flows"]["current"] == stats["total_connections"] == 300000
    assert stats["flows"]["reclaimed"] == 0
    if workers == 0:
        assert_one_more_is_refused(lab, culvert, support, 300000)
