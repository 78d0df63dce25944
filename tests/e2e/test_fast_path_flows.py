# SPDX-License-Identifier: Apache-2.0
"""Flows that the kernel forwards live and end as others do, whatever happens to them meanwhile."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from harness import fast_path, http, transfer
from harness.fast_path import PORT
from harness.lab import VIP, VIPS
from harness.packets import TCP, TCP_ACK, TCP_RST, WHOLE_V4, ipv4, tcp
from harness.reload import reload, without
from harness.snmp import counter
from harness.wait import await_condition
from test_fast_path import every_family, every_mode, mode_lab, start  # two are fixtures

pytestmark = pytest.mark.packet_sockets("the fast path is theirs")

BULK_BYTES = 8 << 20
NARROW = 1280
ONE = {"backends": 1}


@pytest.fixture
def start_pair(start):
    """Call it with a mode: culvert in a lab where the only backend's connections are the test's."""
    def make(mode, where=None, **overrides):
        return start(mode, {**ONE, **(where or {})}, port=PORT, checked=False, **overrides)
    return make


@contextlib.contextmanager
def fast_pair(culvert, **where):
    with fast_path.pair(culvert.lab, **where) as (near, far):
        speak_until_fast(culvert, near, far)
        yield near, far


def speak_until_fast(culvert, near, far):
    """A flow that was on the fast path is not there again at once."""
    await_condition(lambda: fast_path.talk(near, far, 1) or fast_path.flows(culvert) == 1,
                    "the flow is on the fast path", 30, 0.1)


def goes_on(culvert, near, far):
    """It may be taken to the worker for a while, and goes by the kernel again."""
    speak_until_fast(culvert, near, far)
    with fast_path.used(culvert, 10):
        fast_path.talk(near, far)
    assert fast_path.state_of(culvert, near) == "established"


# ---- the network changes ----------------------------------------------------------------------------

def change_address(lab, host, number):
    lab.run(host, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify")
    lab.run(host, "ip", "link", "set", "dev", "eth0", "address", f"02:00:5e:00:53:{number:02x}")


@every_mode
@pytest.mark.parametrize("host", ["client", "b1"])
def test_the_link_address_of_an_end_changes(start_pair, mode, host):
    culvert = start_pair(mode)
    with fast_pair(culvert) as (near, far):
        for number in range(2):
            change_address(culvert.lab, host, number + (2 if host == "client" else 0))
            goes_on(culvert, near, far)


@pytest.mark.parametrize("mode", ["passthrough", "nat"])
def test_the_route_of_a_backend_moves(start, mode):
    """By way of another backend's host, and back."""
    culvert = start(mode, {"backends": 2, "direct": True}, port=PORT, checked=False, weights=[1, 0])
    lab = culvert.lab
    lab.run("b2", "sh", "-c", "cd /proc/sys/net/ipv4; echo 1 >ip_forward; "
                              "echo 0 | tee conf/*/send_redirects; echo 0 | tee conf/*/rp_filter")
    route = (f"{lab.backend_addr('b1')}/32", "via", lab.backend_addr("b2"))
    with fast_pair(culvert) as (near, far):
        lab.run("lb", "ip", "route", "add", *route)
        await_condition(lambda: fast_path.talk(near, far, 1) or counter(lab, "b2", "Ip", "ForwDatagrams"),
                        "packets go by the other host", 20)
        goes_on(culvert, near, far)
        lab.run("lb", "ip", "route", "del", *route)
        before = None

        def is_direct():
            nonlocal before
            fast_path.talk(near, far, 5)
            last, before = before, counter(lab, "b2", "Ip", "ForwDatagrams")
            return last == before

        await_condition(is_direct, "packets go straight to it", 20)
        goes_on(culvert, near, far)


def is_too_big(culvert, near, far):
    near.sendall(bytes(4000))
    fast_path.receive(far, 4000)
    return culvert.stats()["drops"].get("too_big")


def slow_packets(culvert):
    stats = fast_path.stats(culvert)
    return stats["packets"]["forwarded"] - stats["fast_path"]["packets"]


@every_family
def test_a_link_gets_narrower(start_pair, family):
    """The client learns of it by what a worker says to those of its packets that are too long."""
    culvert = start_pair("passthrough", {"topology": "two-arm", "offloads": "off"}, family=family)
    lab = culvert.lab
    with fast_pair(culvert, family=family) as (near, far):
        try:
            for host, dev in (("b1", "eth0"), ("lb", "eth1")):
                lab.run(host, "ip", "link", "set", dev, "mtu", NARROW)
            await_condition(lambda: is_too_big(culvert, near, far), "somebody is told", 20)
            speak_until_fast(culvert, near, far)
            assert f"mtu {NARROW}" in lab.run("client", "ip", "route", "get", VIPS[family]).stdout
            slow = slow_packets(culvert)
            with fast_path.used(culvert, BULK_BYTES // NARROW):
                assert_arrives(near, far)
            assert slow_packets(culvert) - slow < BULK_BYTES // NARROW // 4
        finally:
            for host, dev in (("b1", "eth0"), ("lb", "eth1")):
                lab.run(host, "ip", "link", "set", dev, "mtu", 1500)


def assert_arrives(sender, receiver, meanwhile=lambda: None, size=BULK_BYTES):
    """The rest of one direction of the stream, whole."""
    sent = []
    for sock in (sender, receiver):
        sock.settimeout(transfer.SECONDS)
    thread = threading.Thread(target=lambda: sent.append(transfer.send(sender, size)), daemon=True)
    thread.start()
    meanwhile()
    assert transfer.receive(receiver) == (size, *await_condition(lambda: sent, "all is sent", 60))
    thread.join()


# ---- flows end --------------------------------------------------------------------------------------

def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def is_free(lab, source):
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET6 if ":" in source[0] else socket.AF_INET)
    with sock, contextlib.suppress(OSError):
        sock.bind(source)
        return True
    return False


def speaks_from_the_same_port(culvert, mode, source):
    # The kernel keeps it until the last acknowledgement is there.
    await_condition(lambda: is_free(culvert.lab, source), "the port is free")
    with fast_path.pair(culvert.lab, source=source) as (near, far):
        fast_path.talk(near, far)
        # In DSR mode a worker goes on telling it from the one before.
        if mode == "passthrough":
            goes_on(culvert, near, far)


@pytest.mark.parametrize("mode,side", [("passthrough", "client"), ("passthrough", "backend"),
                                       ("nat", "client"), ("l2", "client")])
def test_a_fin_ends_it(start_pair, mode, side):
    culvert = start_pair(mode)
    with fast_pair(culvert) as (near, far):
        first, second = (near, far) if side == "client" else (far, near)
        first.shutdown(socket.SHUT_WR)
        assert second.recv(1) == b""
        assert fast_path.state_of(culvert, near) in ("fin_wait", "close_wait", "time_wait")
        assert fast_path.flows(culvert) == 0
        # What is half closed goes on.
        second.sendall(b"still here")
        assert fast_path.receive(first, 10) == b"still here"
        source = near.getsockname()
        second.shutdown(socket.SHUT_WR)
        assert first.recv(1) == b""
    if side == "backend":  # else the client's kernel rests the port
        speaks_from_the_same_port(culvert, mode, source)


@every_mode
@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_rst_ends_it(start_pair, mode, side):
    culvert = start_pair(mode)
    with fast_pair(culvert) as (near, far):
        source = near.getsockname()
        first, second = (near, far) if side == "client" else (far, near)
        reset(first)
        with pytest.raises(ConnectionResetError):
            second.recv(1)
        if side == "client" or mode == "passthrough":  # it was seen
            assert fast_path.state_of(culvert, source) == "reset"
            assert fast_path.flows(culvert) == 0
    speaks_from_the_same_port(culvert, mode, source)


@every_mode
def test_a_silent_flow_expires_and_one_that_speaks_does_not(start_pair, mode):
    culvert = start_pair(mode, timeouts={"tcp_established": 3})
    with fast_pair(culvert) as (near, far):
        with fast_path.used(culvert, 8):
            for _ in range(8):  # nobody may ask for it meanwhile: that would be to look after it
                time.sleep(0.5)
                fast_path.talk(near, far, 1)
        assert fast_path.state_of(culvert, near) == "established"
        await_condition(lambda: culvert.stats()["flows"]["current"] == 0, "it is forgotten", 30)
        assert fast_path.flows(culvert) == 0


# ---- backends and configurations come and go ------------------------------------------------------------

def kept_connections(lab, culvert, count=24):
    """By who answers them; all are forwarded by the kernel."""
    kept = {name: [] for name in lab.backend_names()}
    for _ in range(count):
        sock = http.connect(lab)
        kept[http.request(sock)].append(sock)
    fast_path.await_flows(culvert, count)
    for name, socks in kept.items():
        assert all(http.request(sock) == name for sock in socks) and socks
    return kept


def assert_reset(socks):
    for sock in socks:
        sock.settimeout(20)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


@every_mode
def test_clients_of_a_backend_that_falls_silent_are_reset(make_lab, make_culvert, mode):
    lab = fast_path.prepare(make_lab(**fast_path.lab_options(mode)), mode)
    culvert = make_culvert(lab)
    culvert.start(fast_path.settings(lab, mode))
    culvert.await_all_up()
    kept = kept_connections(lab, culvert)
    lab.silence("b2")
    assert_reset(kept["b2"])
    for name in ("b1", "b3"):
        with fast_path.used(culvert, len(kept[name])):
            assert all(http.request(sock) == name for sock in kept[name])


@every_mode
def test_drain_keeps_connections_and_maint_ends_them(start, mode):
    culvert = start(mode)
    kept = kept_connections(culvert.lab, culvert)
    fast_path.ctl(culvert, "drain", "b2")
    assert set(http.short_connections(culvert.lab, 30)) == {"b1", "b3"}
    for _ in range(3):
        assert all(http.request(sock) == "b2" for sock in kept["b2"])
    await_condition(lambda: http.request(kept["b2"][0]) and fast_path.flows(culvert) == 24,
                    "they are on the fast path", 20)
    fast_path.ctl(culvert, "maint", "b2")
    assert_reset(kept["b2"])
    for name in ("b1", "b3"):
        assert all(http.request(sock) == name for sock in kept[name])
    fast_path.ctl(culvert, "ready", "b2")


def test_a_frontend_that_is_removed(start):
    other = {"other": {"listen_addr": f"{VIP}:8080", "backend": "web"}}
    soon = {"drain_timeout": 1}
    culvert = start("passthrough", frontends=other, reload=soon)
    settings = fast_path.settings(culvert.lab, "passthrough", frontends=other, reload=soon)
    with fast_path.conversation(culvert.lab, culvert) as (sock, _):
        del settings["frontends"]["web"]
        reload(culvert, settings)
        assert_reset([sock])
        fast_path.await_flows(culvert, 0)


@pytest.mark.parametrize("mode", ["passthrough", "nat"])
@pytest.mark.parametrize("workers", [0, 2])
def test_reloads_break_no_transfer(start, mode, workers):
    options = {"port": PORT, "checked": False, "weights": [1, 0, 0], "workers": workers}
    culvert = start(mode, **options)
    full = fast_path.settings(culvert.lab, mode, **options)
    with fast_pair(culvert) as (near, far):
        def reloads():
            for number in range(6):
                reload(culvert, without(full, "b3") if number % 2 == 0 else full)
        assert_arrives(near, far, reloads, size=8 * BULK_BYTES)
        assert len(culvert.log_lines("reload: ok")) == 6


# ---- somebody who sees nothing of it ----------------------------------------------------------------------

def numbers_of(lab, near, far):
    """The next of the client's sequence numbers, and what it has acknowledged."""
    with lab.inside("client"):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    with tap:
        tap.bind(("eth0", 3))
        tap.settimeout(10)
        fast_path.talk(near, far, 1)
        near.sendall(b"number")
        assert fast_path.receive(far, 6) == b"number"
        while True:
            packet = tap.recv(65536)
            src, dst, seq, ack = struct.unpack_from("!HHII", packet, 20)
            if (src, dst) == (near.getsockname()[1], PORT) and packet.endswith(b"number"):
                return seq + 6, ack


class Forger:
    """Segments on a host, with whatever numbers."""

    def __init__(self, lab, host):
        with lab.inside(host):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, src, dst, whole=True, **what):
        self.sock.sendto(ipv4(src[0], dst[0], TCP, tcp(src, dst, **what), fragment=WHOLE_V4 if whole else 0),
                         (dst[0], 0))


@every_mode
def test_guessed_numbers_do_not_move_it(start_pair, mode):
    culvert = start_pair(mode)
    lab = culvert.lab
    forger = Forger(lab, "client")
    with forger.sock, fast_pair(culvert) as (near, far):
        ends = near.getsockname(), (VIP, PORT)
        seq, ack = numbers_of(lab, near, far)
        wrong = seq + (1 << 30)
        with fast_path.used(culvert, 20):
            for number in range(20):
                forger.send(*ends, data=b"x" * 100, seq=wrong + 100 * number, ack=ack + (1 << 30),
                            flags=TCP_ACK)
        forger.send(*ends, seq=wrong + 2000, ack=0, flags=TCP_RST)
        culvert.ledger()
        assert fast_path.state_of(culvert, near) == "established"
        goes_on(culvert, near, far)
        # Whoever knows the number is believed.
        seq, _ = numbers_of(lab, near, far)
        forger.send(*ends, seq=seq, ack=0, flags=TCP_RST)
        await_condition(lambda: fast_path.state_of(culvert, near) == "reset", "it has been reset")
        assert fast_path.flows(culvert) == 0


def test_numbers_that_only_a_worker_has_seen_are_kept(start_pair):
    """A backend whose packets may be fragmented speaks past the kernel, and more than half of all
    numbers go by while the client's packets are all fast."""
    culvert = start_pair("passthrough")
    lab = culvert.lab
    forger = Forger(lab, "b1")
    with forger.sock, fast_pair(culvert) as (near, far):
        ends = (lab.backend_addr("b1"), PORT), far.getpeername()
        client, backend = numbers_of(lab, near, far)
        for _ in range(2):
            backend += 3 << 29
            slow = slow_packets(culvert)
            with fast_path.used(culvert, 1):  # the client's kernel says that it expects another number
                forger.send(*ends, whole=False, data=b"x", seq=backend, ack=client, flags=TCP_ACK)
                culvert.ledger()
            assert slow_packets(culvert) == slow + 1
        forger.send(*ends, seq=backend + 1, ack=0, flags=TCP_RST)
        await_condition(lambda: fast_path.state_of(culvert, near) == "reset", "it has been reset", 5)


# ---- under pressure only ----------------------------------------------------------------------------

@contextlib.contextmanager
def stream(near, far):
    """Within the block one end sends as much as the other takes."""
    is_over = threading.Event()

    def send():
        while not is_over.is_set():
            near.sendall(bytes(1 << 16))
        near.sendall(b"x")

    def drain():
        while (piece := far.recv(1 << 20)) and not piece.endswith(b"x"):
            pass

    threads = [threading.Thread(target=each) for each in (send, drain)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@every_mode
def test_by_default_flows_that_speak_at_a_time_are_there(start_pair, mode):
    """Though no packet waits, and the thread has time left."""
    culvert = start_pair(mode, workers=0, passthrough={"fast_path": "auto"})
    with fast_path.pairs(culvert.lab, 2) as pairs:
        def are_there_when_they_have_spoken():
            for _ in range(200):
                for near, far in pairs:
                    fast_path.talk(near, far, 1)
            return fast_path.flows(culvert) == len(pairs)

        await_condition(are_there_when_they_have_spoken, "both are there", 60, 0)


@every_mode
def test_by_default_a_flow_is_there_while_much_goes_by(start_pair, mode):
    """Where one thread does everything: with several, packets wait to be handed on, and flows stay there."""
    culvert = start_pair(mode, {"offloads": "off"}, workers=0, passthrough={"fast_path": "auto"})
    with fast_path.pair(culvert.lab) as (near, far):
        for _ in range(2):
            with stream(near, far), fast_path.used(culvert, 1000):
                fast_path.await_flows(culvert, 1, 60)
                time.sleep(1)  # for packets to go by
            fast_path.await_flows(culvert, 0, 60)
            fast_path.talk(near, far)
        assert fast_path.state_of(culvert, near) == "established"
