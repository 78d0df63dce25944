# SPDX-License-Identifier: Apache-2.0
"""Datagrams in fragments: they arrive whole in every mode, whatever their order, and those that never
become whole cost the others nothing."""

import contextlib
import hashlib
import ipaddress
import random
import socket
import struct
import threading

import pytest

from harness import config, dsr_lab, snmp
from harness.config import UDP_PORT as PORT
from harness.culvert import BINARY
from harness.lab import ROOT, VIP, VIP6
from harness.packets import FRAGMENT, MORE_V4, UDP, fragment_header, ipv4, ipv6, udp
from harness.wait import await_condition
from test_udp import resident_bytes

SIZE = 8000
PIECE = 1480  # of a fragment, in IPv4 as much as fits
PIECE6 = 1448
CLIENT, CLIENT6, CLIENT_PORT = "10.0.0.10", "fd00::10", 4000
WHERE = [pytest.param({"topology": topology}, id=topology) for topology in dsr_lab.TOPOLOGIES]


class Servers:
    """On each backend a server that answers with what it has got, or with what `reply` makes of it."""

    def __init__(self, lab, family=socket.AF_INET, addr="", reply=bytes):
        self.reply, self.is_stopping, self.threads = reply, False, []
        for name in lab.backend_names():
            with lab.inside(name):
                sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind((addr, PORT))
            sock.settimeout(0.2)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        with sock:
            while not self.is_stopping:
                # One that is too late, or that the kernel does not take, is lost as on any network.
                with contextlib.suppress(OSError):
                    data, peer = sock.recvfrom(65536)
                    sock.sendto(self.reply(data), peer)

    def stop(self):
        self.is_stopping = True
        for thread in self.threads:
            thread.join()


@pytest.fixture
def start_servers():
    """Call it with the arguments of Servers."""
    with contextlib.ExitStack() as stack:
        def start(*args, **options):
            stack.callback(Servers(*args, **options).stop)
        yield start


def payload_of(number, size=SIZE):
    return random.Random(number).randbytes(size)


def open_client(lab, vip=VIP, port=0):
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    with lab.inside("client"):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    if port:
        sock.bind(("", port))
    sock.settimeout(2)
    sock.connect((vip, PORT))
    return sock


def drain(sock):
    """Take what has come late, of a question that was asked again."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(65536)


def ask(sock, data, send=None, expected=None):
    """The answer, be it right or not; a lost question is asked again."""
    drain(sock)
    answer = None
    for _ in range(5):
        sock.settimeout(3)
        (send or sock.send)(data)
        with contextlib.suppress(TimeoutError):
            # Late ones of a question before this are none.
            while (answer := sock.recv(65536)) != (data if expected is None else expected):
                pass
            return answer
    return answer


def assert_echoes(sock, n=20, expected=bytes):
    for number in range(n):
        data = payload_of(number)
        assert ask(sock, data, expected=expected(data)) == expected(data)


def start(culvert, lab, **options):
    culvert.start(config.passthrough(lab, protocol="udp", port=PORT, **options))


def start6(culvert, lab, **options):
    start(culvert, lab, family=6, **options)


def assert_nothing_lost(culvert):
    lost = {name: n for name, n in culvert.stats()["drops"].items() if "fragment" in name and n}
    assert not lost, lost
    assert culvert.ledger()["held"] == 0


# --- passthrough -----------------------------------------------------------------------------------

@pytest.mark.parametrize("lab", WHERE, indirect=True)
@pytest.mark.parametrize("workers", [0, 2])
def test_large_datagrams_come_back_whole(lab, culvert, start_servers, workers):
    start_servers(lab)
    start(culvert, lab, workers=workers)
    with open_client(lab) as sock:
        assert_echoes(sock)
    assert culvert.stats()["flows"]["current"] == 1
    assert_nothing_lost(culvert)


@pytest.mark.parametrize("workers", [0, 2])
def test_large_datagrams_of_IPv6_come_back_whole(lab, culvert, start_servers, workers):
    start_servers(lab, socket.AF_INET6)
    start6(culvert, lab, workers=workers)
    with open_client(lab, VIP6) as sock:
        ask(sock, b"small")  # neighbours are known
        assert_echoes(sock)
    assert_nothing_lost(culvert)


def kernel_waits_for(lab):
    """Fragments that the balancer's kernel has put by to make datagrams of them."""
    waiting = snmp.counter(lab, "lb", "Ip", "ReasmReqds")
    words6 = lab.run("lb", "awk", "/^Ip6ReasmReqds/ { print $2 }", "/proc/net/snmp6").stdout
    return waiting + int(words6)


def test_the_balancers_kernel_leaves_them_alone(lab, culvert, start_servers):
    start_servers(lab)
    start(culvert, lab)
    with open_client(lab) as sock:
        assert_echoes(sock)
    assert kernel_waits_for(lab) == 0


def test_other_services_of_the_address_get_theirs(lab, culvert, start_servers):
    start_servers(lab)
    start(culvert, lab)
    with lab.inside("lb"):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other, open_client(lab) as sock:
        other.bind((VIP, PORT + 1))
        other.settimeout(5)
        for number in range(20):
            assert ask(sock, payload_of(number)) == payload_of(number)
            sock.connect((VIP, PORT + 1))
            sock.send(payload_of(number))
            sock.connect((VIP, PORT))
            assert other.recv(65536) == payload_of(number)


def test_other_services_get_theirs_under_the_same_identification(lab, culvert, start_servers):
    start_servers(lab)
    start(culvert, lab)
    with lab.inside("lb"):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other, open_client(lab, port=CLIENT_PORT) as sock, raw_socket(lab, socket.AF_INET) as raw:
        other.bind((VIP, PORT + 1))
        other.settimeout(5)

        def send_to(port):
            def send(data):
                for piece in fragments4(data, 7, port=port):
                    raw.sendto(piece, (VIP, 0))
            return send

        for number in range(10):
            assert ask(sock, payload_of(number), send_to(PORT)) == payload_of(number)
            send_to(PORT + 1)(payload_of(number))
            assert other.recv(65536) == payload_of(number)


def icmp_sent(lab):
    return snmp.counter(lab, "lb", "Icmp", "OutMsgs")


@pytest.mark.parametrize("tracked", [False, True])
def test_with_the_setup_script(lab, culvert, start_servers, tracked):
    """With connection tracking the kernel puts datagrams together before any rule sees them."""
    options = {"firewall": {"manage": False}}
    path = culvert.write_config(config.passthrough(lab, protocol="udp", port=PORT, **options))
    script = [ROOT / "iptables" / "setup.sh", "--config", path, "--culvert", BINARY]
    start_servers(lab)
    lab.run("lb", script[0], "up", *script[1:])
    if tracked:
        lab.run("lb", "iptables", "-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID")
    start(culvert, lab, **options)
    with open_client(lab) as sock:
        assert_echoes(sock)
    assert icmp_sent(lab) == 0
    assert_nothing_lost(culvert)
    culvert.stop()
    lab.run("lb", script[0], "down", *script[1:])
    lab.run("lb", "sh", "-c", "nft list tables | xargs -r -n 3 nft delete")


# --- made by the balancer ---------------------------------------------------------------------------

UDP_SEGMENT, IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 103, 10, 0  # linux/udp.h, linux/in.h
N_DATAGRAMS, DATAGRAM = 10, 1400
NARROW = 1300


def send_at_once(sock, datagrams):
    """By one call, which the kernel leaves in one piece until it must take it apart."""
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, DATAGRAM)
    sock.send(b"".join(datagrams))


@pytest.mark.parametrize("workers", [0, 2])
def test_datagrams_in_one_super_frame_are_fragmented_each_by_itself(make_lab, make_culvert,
                                                                    start_servers, workers):
    lab = make_lab("two-arm")
    for host, dev in [("lb", "eth1"), *((name, "eth0") for name in lab.backend_names())]:
        lab.run(host, "ip", "link", "set", dev, "mtu", NARROW)
    start_servers(lab)
    culvert = make_culvert(lab)
    start(culvert, lab, workers=workers)
    wanted = {payload_of(number, DATAGRAM) for number in range(N_DATAGRAMS)}
    got = set()
    with open_client(lab) as sock:
        ask(sock, b"small")
        for _ in range(5):
            send_at_once(sock, [payload_of(number, DATAGRAM) for number in range(N_DATAGRAMS)])
            with contextlib.suppress(TimeoutError):
                while got != wanted:
                    got.add(sock.recv(65536))
            if got == wanted:
                break
    assert got == wanted
    assert culvert.stats()["drops"]["too_big"] == 0


# --- orders ----------------------------------------------------------------------------------------

def fragments4(data, number, src=CLIENT, port=PORT):
    datagram = udp((src, CLIENT_PORT), (VIP, port), data)
    return [ipv4(src, VIP, UDP, datagram[at:at + PIECE], number=number,
                 fragment=at // 8 | (MORE_V4 if at + PIECE < len(datagram) else 0))
            for at in range(0, len(datagram), PIECE)]


def fragments6(data, number):
    datagram = udp((CLIENT6, CLIENT_PORT), (VIP6, PORT), data)
    return [ipv6(CLIENT6, VIP6, FRAGMENT,
                 fragment_header(UDP, at, at + PIECE6 < len(datagram), number)
                 + datagram[at:at + PIECE6])
            for at in range(0, len(datagram), PIECE6)]


def raw_socket(lab, family):
    with lab.inside("client"):
        return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)


def shuffled(pieces):
    return random.Random(1).sample(pieces, len(pieces))


ORDERS = {
    "first-one-last": lambda pieces: pieces[1:] + pieces[:1],
    "last-one-first": lambda pieces: pieces[::-1],
    "any": shuffled,
    "each-twice": lambda pieces: [copy for piece in pieces[:-1] for copy in (piece, piece)]
                                 + pieces[-1:],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_any_order_will_do(lab, culvert, start_servers, order, workers, family):
    is_v4 = family == socket.AF_INET
    start_servers(lab, family)
    (start if is_v4 else start6)(culvert, lab, workers=workers)
    vip = VIP if is_v4 else VIP6
    numbers = iter(range(100, 1000))

    def send(data):
        for piece in ORDERS[order]((fragments4 if is_v4 else fragments6)(data, next(numbers))):
            raw.sendto(piece, (vip, 0))

    with raw_socket(lab, family) as raw, open_client(lab, vip, CLIENT_PORT) as sock:
        for number in range(10):
            assert ask(sock, payload_of(number), send) == payload_of(number)
    drops = culvert.stats()["drops"]
    assert drops["fragment_duplicate"] >= (50 if order == "each-twice" else 0)
    assert drops["fragment_overlap"] == drops["fragment_store_full"] == 0


def test_two_clients_with_one_identification(lab, culvert, start_servers):
    """Behind one address of the balancer the backend must not put their fragments together."""
    other = "10.0.0.20"
    lab.run("client", "ip", "addr", "add", f"{other}/24", "dev", "eth0")
    start_servers(lab)
    names = lab.backend_names()
    start(culvert, lab, weights=[1] + [0] * (len(names) - 1))
    with lab.inside("client"):
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(raw_socket(lab, socket.AF_INET))
        for sock, addr in zip(socks, (CLIENT, other)):
            stack.enter_context(sock)
            sock.bind((addr, CLIENT_PORT))
            sock.settimeout(5)
        for number in range(10):
            data = [payload_of(2 * number), payload_of(2 * number + 1)]
            trains = zip(fragments4(data[0], 7), fragments4(data[1], 7, other))
            for piece in [piece for both in trains for piece in both]:
                raw.sendto(piece, (VIP, 0))
            assert [sock.recv(65536) for sock in socks] == data


# --- DSR -------------------------------------------------------------------------------------------

def digest(data):
    """An answer in one piece: how backends translate answers in fragments is not the balancer's."""
    return hashlib.sha256(data).digest()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", WHERE)
def test_dsr_by_translation(make_lab, make_culvert, start_servers, where, workers):
    lab = make_lab(direct=True, **where)
    dsr_lab.open_path(lab)
    dsr_lab.translate_answers(lab, PORT, PORT, "udp")
    start_servers(lab, reply=digest)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, "nat", protocol="udp", port=PORT, workers=workers))
    with open_client(lab) as sock:
        assert_echoes(sock, expected=digest)
    assert_nothing_lost(culvert)


@pytest.mark.parametrize("workers", [0, 2])
def test_dsr_by_link_addresses(make_lab, make_culvert, start_servers, workers):
    lab = make_lab(direct=True)
    dsr_lab.hold_vip(lab)
    start_servers(lab, addr=VIP)
    culvert = make_culvert(lab)
    culvert.start(config.dsr(lab, "l2", protocol="udp", port=PORT, workers=workers))
    with open_client(lab) as sock:
        assert_echoes(sock)
    assert_nothing_lost(culvert)


def start_dsr6(lab, culvert, start_servers, method, workers):
    if method == "nat":
        dsr_lab.translate_answers(lab, PORT, PORT, "udp", family=6)
        start_servers(lab, socket.AF_INET6, reply=digest)
    else:
        dsr_lab.hold_vip(lab, family=6)
        start_servers(lab, socket.AF_INET6, VIP6, reply=digest)
    culvert.start(config.dsr(lab, method, family=6, protocol="udp", port=PORT, workers=workers))


DSR6 = [pytest.param(method, {"topology": topology}, id=f"{method}-{topology}")
        for method, topologies in (("nat", dsr_lab.TOPOLOGIES), ("l2", ("one-arm", "two-arm")))
        for topology in topologies]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("method, where", DSR6)
def test_dsr_of_IPv6(make_lab, make_culvert, start_servers, method, where, workers):
    lab = make_lab(direct=True, **where)
    dsr_lab.open_path(lab)
    culvert = make_culvert(lab)
    start_dsr6(lab, culvert, start_servers, method, workers)
    with open_client(lab, VIP6) as sock:
        ask(sock, b"small", expected=digest(b"small"))  # neighbours are known
        assert_echoes(sock, expected=digest)
    assert_nothing_lost(culvert)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", ["nat", "l2"])
def test_dsr_of_IPv6_in_any_order(make_lab, make_culvert, start_servers, order, method):
    lab = make_lab(direct=True)
    culvert = make_culvert(lab)
    start_dsr6(lab, culvert, start_servers, method, 2)
    numbers = iter(range(100, 1000))

    def send(data):
        for piece in ORDERS[order](fragments6(data, next(numbers))):
            raw.sendto(piece, (VIP6, 0))

    with raw_socket(lab, socket.AF_INET6) as raw, open_client(lab, VIP6, CLIENT_PORT) as sock:
        ask(sock, b"small", expected=digest(b"small"))
        for number in range(10):
            data = payload_of(number)
            assert ask(sock, data, send, expected=digest(data)) == digest(data)
    drops = culvert.stats()["drops"]
    assert drops["fragment_duplicate"] >= (50 if order == "each-twice" else 0)
    assert drops["fragment_overlap"] == drops["fragment_store_full"] == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_dsr_by_tunnels_that_are_too_narrow_for_the_fragments(make_lab, make_culvert, support,
                                                              start_servers, workers):
    lab = make_lab(direct=True)
    with dsr_lab.tunnels_end(lab, support("ipip_decap")):
        start_servers(lab, addr=VIP)
        culvert = make_culvert(lab)
        culvert.start(config.dsr(lab, "ipip", protocol="udp", port=PORT, workers=workers))
        with open_client(lab) as sock:
            assert_echoes(sock)
        assert_nothing_lost(culvert)


# --- what is never completed -----------------------------------------------------------------------

N_TRAINS = 100_000
MOST_BYTES = 48 << 20  # flows of first fragments that came alone included


def send_trains(raw, n, is_done):
    """Each of another client: a middle fragment, or now and then a first one. These are forwarded, and
    more of them would use up the memory that the backends' kernels have for fragments."""
    middle = bytearray(fragments4(bytes(SIZE), 1)[1])
    first = bytearray(fragments4(bytes(SIZE), 1)[0])
    base = int(ipaddress.ip_address("10.128.0.0"))
    for i in range(n):
        piece = middle if i % 200 else first
        struct.pack_into("!H", piece, 4, i % 65535 + 1)
        struct.pack_into("!I", piece, 12, base + i)
        raw.sendto(piece, (VIP, 0))
    is_done.set()


@pytest.mark.stress
@pytest.mark.parametrize("workers", [0, 2])
def test_trains_that_are_never_completed(lab, culvert, start_servers, workers):
    start_servers(lab)
    start(culvert, lab, workers=workers)
    is_done = threading.Event()
    with raw_socket(lab, socket.AF_INET) as raw, open_client(lab) as sock:
        assert_echoes(sock)
        before = resident_bytes(culvert)
        flood = threading.Thread(target=send_trains, args=(raw, N_TRAINS, is_done))
        flood.start()
        while not is_done.is_set():
            assert_echoes(sock, 1)
        flood.join()
        assert resident_bytes(culvert) - before < MOST_BYTES
        assert_echoes(sock)
    await_condition(lambda: culvert.stats()["packets"]["held"] == 0, "nothing waits any more", 30)
    drops = culvert.stats()["drops"]
    unheard = drops["fragment_expired"] + drops["fragment_store_full"]
    assert unheard + culvert.stats()["packets"]["kernel_dropped"] > N_TRAINS / 2, drops
    assert resident_bytes(culvert) - before < MOST_BYTES
