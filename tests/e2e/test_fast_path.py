# SPDX-License-Identifier: Apache-2.0
"""What established connections carry is forwarded by the kernel, arrives whole, and is counted as if
a worker had seen it. That no end found a wrong checksum is looked at after each test."""

import contextlib
import json
import socket

import pytest

from harness import fast_path, http, transfer
from harness.config import UDP_PORT
from harness.fast_path import MODES, PORT
from harness.lab import VIP, VIPS, Lab
from harness.wait import await_condition

pytestmark = pytest.mark.packet_sockets("the fast path is theirs")

BULK_BYTES = 8 << 20
REQUESTS = 100
SO_NO_CHECK = 11  # of socket(7)

every_mode = pytest.mark.parametrize("mode", MODES)
every_family = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture(scope="module")
def mode_lab():
    """Call it with a mode and arguments of Lab: a lab that all tests of the file share."""
    labs = {}
    with contextlib.ExitStack() as stack:
        def get(mode, **options):
            key = mode, *options.items()
            if key not in labs:
                labs[key] = Lab(**fast_path.lab_options(mode, **options))
                stack.callback(labs[key].down)
                fast_path.prepare(labs[key], mode)
            return labs[key]
        yield get


@pytest.fixture
def start(mode_lab, make_culvert):
    """Call it with a mode, arguments of Lab, and what the configuration shall say: culvert, ready."""
    def make(mode, where=None, **overrides):
        lab = mode_lab(mode, **(where or {}))
        culvert = make_culvert(lab)
        culvert.start(fast_path.settings(lab, mode, **overrides))
        if overrides.get("protocol") != "udp":
            culvert.await_all_up(port=overrides.get("port", 80), family=overrides.get("family", 4))
        assert not culvert.log_lines("no fast path"), culvert.log()
        return culvert
    return make


@pytest.fixture
def serve():
    """Call it with a lab: servers for bulk transfers on its backends."""
    with contextlib.ExitStack() as stack:
        def make(lab):
            for host in lab.backend_names():
                stack.callback(transfer.Server(lab, host, PORT, BULK_BYTES).close)
        yield make


def assert_most_are_fast(culvert, mode, share=0.8):
    """In DSR mode a client that only listens sends little, and a worker sees all that is no ACK."""
    fast, forwarded = fast_path.packets(culvert)
    assert fast > share * forwarded, (mode, fast, forwarded, culvert.stats()["drops"])


# ---- traffic --------------------------------------------------------------------------------------

@every_mode
@every_family
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_requests_on_a_kept_connection(start, mode, family, workers, offloads):
    culvert = start(mode, {"offloads": offloads}, family=family, workers=workers)
    with http.connect(culvert.lab, addr=VIPS[family]) as sock:
        assert len({http.request(sock) for _ in range(REQUESTS)}) == 1
    assert_most_are_fast(culvert, mode)


@pytest.mark.smoke
@every_mode
def test_nothing_when_it_is_off(start, mode):
    culvert = start(mode, passthrough={"fast_path": "off"})
    with http.connect(culvert.lab) as sock:
        assert len({http.request(sock) for _ in range(REQUESTS)}) == 1
    fast, forwarded = fast_path.packets(culvert)
    assert fast == fast_path.flows(culvert) == 0 and forwarded >= REQUESTS
    assert culvert.stats()["fast_path"]["state"] == "off"
    assert fast_path.programs(culvert.lab) == []


@every_mode
@every_family
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_bulk_both_ways(mode_lab, start, serve, mode, family, offloads):
    lab = mode_lab(mode, offloads=offloads)
    serve(lab)
    culvert = start(mode, {"offloads": offloads}, family=family, port=PORT)
    transfer.upload(lab, VIPS[family], PORT, BULK_BYTES)
    transfer.download(lab, VIPS[family], PORT, BULK_BYTES)
    assert_most_are_fast(culvert, mode, 0.5)


@pytest.mark.parametrize("topology,mode", [("two-arm", mode) for mode in MODES] +
                         [("routed", "passthrough"), ("routed", "nat")])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_topology(start, topology, mode, workers):
    culvert = start(mode, {"topology": topology}, workers=workers)
    for link in ("eth0", "eth1") if topology == "two-arm" else ("eth0",):
        assert len(fast_path.programs(culvert.lab, link)) == 1
    http.run_threads(lambda _: converse(culvert.lab), range(10))
    assert_most_are_fast(culvert, mode, 0.7)


def converse(lab):
    with http.connect(lab) as sock:
        assert len({http.request(sock) for _ in range(REQUESTS)}) == 1


# ---- datagrams ------------------------------------------------------------------------------------

def open_udp(lab, family, has_checksum=True):
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    sock.settimeout(5)
    if not has_checksum:
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sock.connect((VIPS[family], UDP_PORT))
    return sock


def echo(sock, payload):
    sock.send(payload)
    answer = sock.recv(2048)
    assert answer[1:] == payload
    return answer[:1]


@every_mode
@every_family
def test_a_conversation_by_datagrams(start, echo_servers, mode, family):
    culvert = start(mode, protocol="udp", port=UDP_PORT, family=family)
    echo_servers(culvert.lab)
    with open_udp(culvert.lab, family) as sock:
        # Where answers are not seen it is one when the client speaks again in a later second.
        await_condition(lambda: echo(sock, b"hello") and fast_path.flows(culvert) == 1,
                        "the flow is on the fast path", interval=0.1)
        ways = 2 if mode == "passthrough" else 1
        with fast_path.used(culvert, 40 * ways):
            assert len({echo(sock, bytes(range(256)) * 5 + b"%d" % number) for number in range(40)}) == 1
    culvert.ledger()


def test_datagrams_without_a_checksum_stay_so(start, echo_servers):
    culvert = start("passthrough", protocol="udp", port=UDP_PORT)
    echo_servers(culvert.lab)
    with open_udp(culvert.lab, 4, has_checksum=False) as sock:
        echo(sock, b"first"), echo(sock, b"second")
        fast_path.await_flows(culvert)
        with fast_path.used(culvert, 20):
            for size in range(10):
                echo(sock, b"x" * size)


# ---- what is counted ------------------------------------------------------------------------------

def forget_soon(seconds=1):
    return {name: seconds for name in ("tcp_closing", "tcp_time_wait", "tcp_reset")}


@every_mode
@pytest.mark.parametrize("fast", ["always", "off"])
@every_family
def test_the_counts_are_those_of_the_client(start, tmp_path, mode, fast, family):
    """To the byte, in each place where they are told."""
    log = tmp_path / "flows.log"
    culvert = start(mode, family=family, passthrough={"fast_path": fast}, timeouts=forget_soon(),
                    flow_log={"path": str(log), "format": "json"})
    lab = culvert.lab
    fast_path.count_at_client(lab)
    with http.connect(lab, addr=VIPS[family]) as sock:
        for _ in range(REQUESTS):
            http.request(sock)
        assert fast_path.packets(culvert)[0] >= 0.9 * REQUESTS or fast == "off"
        sent, got = (fast_path.counted_at_client(lab, chain) for chain in ("out", "in"))
        said = fast_path.flow_of(culvert, sock)
        assert said["bytes"]["tx"] == sent[1]
        assert said["bytes"]["rx"] == (got[1] if mode == "passthrough" else None)
    await_condition(lambda: log.read_text().endswith("\n"), "a line for the connection", 20)
    sent, got = (fast_path.counted_at_client(lab, chain) for chain in ("out", "in"))
    line, = map(json.loads, log.read_text().splitlines())
    packets = culvert.ledger()["forwarded"]
    stats = culvert.stats()
    assert int(line["bytes_tx"]) == stats["total_bytes_tx"] == stats["backends"]["web"]["bytes_tx"] == sent[1]
    if mode == "passthrough":
        assert int(line["bytes_rx"]) == stats["total_bytes_rx"] == got[1]
        assert packets == sent[0] + got[0]
    else:
        assert packets == sent[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_two_thousand_connections(mode_lab, start, stream_peer, stream_load, workers):
    lab = mode_lab("passthrough")
    for host in lab.backend_names():
        stream_peer(lab, host, "echo", port=8000)
    culvert = start("passthrough", port=8000, workers=workers)
    load = stream_load(lab, VIP, 2000, port=8000, seconds=4, max_message=64, max_messages=1000,
                       max_pause_ms=500, timeout_ms=60000)
    # Those whose two entries find no room in their buckets stay with the worker: hardly any.
    await_condition(lambda: fast_path.flows(culvert) >= 1950, "nearly all on the fast path", 60)
    load.end()
    report = load.finish(120)
    assert sum(report["failed"].values()) == 0, report
    assert_most_are_fast(culvert, "passthrough", 0.3)
