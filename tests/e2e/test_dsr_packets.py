# SPDX-License-Identifier: Apache-2.0
"""What tc/dsr-egress.sh makes of single packets: those that a kernel seldom sends by itself."""

import pytest

from harness import packets
from harness.dsr import Egress
from harness.lab import Lab
from harness.packets import (AH, DSTOPTS, FRAGMENT, HOPOPTS, ICMP, MORE_V4, TCP, UDP, Wire,
                             fragment_header, ipv4, ipv6, options, tcp, udp)

HOST, PEER = "10.9.0.1", "10.9.0.2"
HOST6, PEER6 = "fd09::1", "fd09::2"
# What is bound to what, for TCP and UDP alike.
BACKEND, VIP = (HOST, 8080), ("10.0.0.1", 80)
BACKEND6, VIP6 = (HOST6, 8080), ("fd00:1::1", 80)
CLIENT, CLIENT6 = (PEER, 40000), (PEER6, 40000)
BALANCER, BALANCER6 = ("10.9.0.3", 40000), ("fd09::3", 40000)

DATA = bytes(range(64))


def cancelling(src):
    """The data that makes the checksum of a datagram from the VIP come out as zero."""
    bare = udp(VIP, CLIENT, b"\0\0")
    return udp(src, CLIENT, bare[6:8])


def fragments(src, number=7, first_port=None):
    payload = udp(src if first_port is None else (src[0], first_port), CLIENT, DATA)
    return [ipv4(src[0], PEER, UDP, payload[:24], number=number, fragment=MORE_V4),
            ipv4(src[0], PEER, UDP, payload[24:48], number=number, fragment=MORE_V4 | 3),
            ipv4(src[0], PEER, UDP, payload[48:], number=number, fragment=6)]


def fragments6(src, number=7):
    payload = udp(src, CLIENT6, DATA)
    return [ipv6(src[0], PEER6, FRAGMENT, fragment_header(UDP, 0, 1, number) + payload[:24]),
            ipv6(src[0], PEER6, FRAGMENT, fragment_header(UDP, 24, 0, number) + payload[24:])]


def fragments6_with_options(src, number=8):
    """The rest of the datagram looks like one more header, and one for fragments at that."""
    payload = options(UDP) + udp(src, CLIENT6, DATA[:8] + bytes([FRAGMENT]) + DATA)
    return [ipv6(src[0], PEER6, FRAGMENT, fragment_header(DSTOPTS, 0, 1, number) + payload[:24]),
            ipv6(src[0], PEER6, FRAGMENT, fragment_header(DSTOPTS, 24, 0, number) + payload[24:])]


def extended(src, count, size=8):
    """TCP behind `count` extension headers."""
    chain = tcp(src, CLIENT6, DATA)
    for i in range(count):
        chain = options(TCP if i == 0 else DSTOPTS, size) + chain
    return ipv6(src[0], PEER6, DSTOPTS, chain)


# Each is a function of the source: what is sent has the backend's, what arrives the VIP's.
TRANSLATED = {
    "tcp": lambda src: [ipv4(src[0], PEER, TCP, tcp(src, CLIENT, DATA))],
    "tcp-odd-size": lambda src: [ipv4(src[0], PEER, TCP, tcp(src, CLIENT, DATA[:33]))],
    "tcp-ip-options": lambda src: [
        ipv4(src[0], PEER, TCP, tcp(src, CLIENT, DATA), options=b"\1\1\1\1\1\1\1\0")],
    "tcp-wrong-checksum-stays-wrong": lambda src: [
        ipv4(src[0], PEER, TCP, tcp(src, CLIENT, DATA, flaw=77))],
    "udp": lambda src: [ipv4(src[0], PEER, UDP, udp(src, CLIENT, DATA))],
    "udp-empty": lambda src: [ipv4(src[0], PEER, UDP, udp(src, CLIENT))],
    "udp-without-checksum": lambda src: [
        ipv4(src[0], PEER, UDP, udp(src, CLIENT, DATA, has_checksum=False))],
    "udp-checksum-becomes-zero": lambda src: [ipv4(src[0], PEER, UDP, cancelling(src))],
}
TRANSLATED6 = {
    "tcp6": lambda src: [ipv6(src[0], PEER6, TCP, tcp(src, CLIENT6, DATA))],
    "udp6": lambda src: [ipv6(src[0], PEER6, UDP, udp(src, CLIENT6, DATA))],
    "udp6-without-checksum": lambda src: [
        ipv6(src[0], PEER6, UDP, udp(src, CLIENT6, DATA, has_checksum=False))],
    "tcp6-hop-by-hop": lambda src: [
        ipv6(src[0], PEER6, HOPOPTS, options(TCP) + tcp(src, CLIENT6, DATA))],
    "tcp6-one-extension": lambda src: [extended(src, 1, 24)],
    "tcp6-eight-extensions": lambda src: [extended(src, 8, 16)],
}
LEFT = {
    "other-port": [ipv4(HOST, PEER, TCP, tcp((HOST, 8081), CLIENT, DATA))],
    "destination-port": [ipv4(HOST, PEER, TCP, tcp((HOST, 40000), (PEER, 8080), DATA))],
    "icmp": [ipv4(HOST, PEER, ICMP, b"\0\0\xff\xff\0\0\0\0" + DATA)],
    "authenticated": [ipv4(HOST, PEER, AH, b"\6\4\0\0" + bytes(20) + tcp(BACKEND, CLIENT, DATA))],
    "looks-like-ours-in-options": [ipv4(HOST, PEER, TCP, tcp((HOST, 9), CLIENT, DATA),
                                        options=b"\x1f\x90\1\1")],
    "cut-before-the-ports": [ipv4(HOST, PEER, TCP, b"\x1f")],
    "balancer": [ipv4(HOST, BALANCER[0], TCP, tcp(BACKEND, BALANCER, DATA))],
    "other-port-6": [ipv6(HOST6, PEER6, UDP, udp((HOST6, 8081), CLIENT6, DATA))],
    "authenticated-6": [ipv6(HOST6, PEER6, AH, b"\6\4\0\0" + bytes(20) + tcp(BACKEND6, CLIENT6))],
    "nothing-follows-6": [ipv6(HOST6, PEER6, 59, tcp(BACKEND6, CLIENT6))],
    "extension-cut-6": [ipv6(HOST6, PEER6, DSTOPTS, options(TCP, 8)[:4])],
    "extension-longer-than-the-packet-6": [ipv6(HOST6, PEER6, DSTOPTS, b"\6\xff\1\4" + bytes(4) +
                                                tcp(BACKEND6, CLIENT6))],
    "balancer-6": [ipv6(HOST6, BALANCER6[0], TCP, tcp(BACKEND6, BALANCER6, DATA))],
    "later-fragment-alone": fragments(BACKEND, number=9)[1:],
    "fragments-of-another-port": fragments(BACKEND, number=10, first_port=8081),
    "later-fragment-alone-6": fragments6(BACKEND6, number=9)[1:],
}


@pytest.fixture(scope="module", params=[(method, kind) for method in ("bpf", "nft")
                                        for kind in ("tun", "tap")], ids="-".join)
def wire(request):
    """An interface without and one with link headers, with the bindings loaded."""
    method, kind = request.param
    lab = Lab(backends=1)
    try:
        wire = Wire(lab, "b1", "wire", kind, [f"{HOST}/24", f"{HOST6}/64"],
                    [PEER, PEER6, BALANCER[0], BALANCER6[0]])
        for backend, vip, balancer in ((BACKEND, VIP, BALANCER), (BACKEND6, VIP6, BALANCER6)):
            for proto in ("tcp", "udp"):
                Egress(lab, method, dev="wire").up(backend, vip, balancer=balancer[0], proto=proto)
        wire.method = method
        yield wire
        wire.close()
    finally:
        lab.down()


def pass_through(wire, sent):
    arrived = []
    for packet in sent:
        wire.send(packet)
        dst = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
        arrived.append(wire.receive(str(packets.ipaddress.ip_address(dst))))
    return [packet.hex(" ", 4) for packet in arrived]


def hexadecimal(sent):
    return [packet.hex(" ", 4) for packet in sent]


@pytest.mark.parametrize("name", [*TRANSLATED, *TRANSLATED6])
def test_the_source_becomes_the_virtual_address(wire, name):
    if name in TRANSLATED:
        before, after = TRANSLATED[name](BACKEND), TRANSLATED[name](VIP)
    else:
        before, after = TRANSLATED6[name](BACKEND6), TRANSLATED6[name](VIP6)
    assert pass_through(wire, before) == hexadecimal(after)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_no_reply_stays_as_it_is(wire, name):
    assert pass_through(wire, LEFT[name]) == hexadecimal(LEFT[name])


def only_bpf(wire):
    """nft translates datagrams before they are fragmented, and only those."""
    if wire.method != "bpf":
        pytest.skip("what comes in fragments already is for bpf")


def test_fragments_follow_the_first(wire):
    only_bpf(wire)
    assert pass_through(wire, fragments(BACKEND)) == hexadecimal(fragments(VIP))
    for kind in (fragments6, fragments6_with_options):
        assert pass_through(wire, kind(BACKEND6)) == hexadecimal(kind(VIP6))


def test_a_number_that_comes_again_is_another_datagram(wire):
    only_bpf(wire)
    assert pass_through(wire, fragments(BACKEND, 20)) == hexadecimal(fragments(VIP, 20))
    other = fragments(BACKEND, 20, first_port=9)
    assert pass_through(wire, other) == hexadecimal(other)
    assert pass_through(wire, fragments(BACKEND, 20)) == hexadecimal(fragments(VIP, 20))


def test_more_extension_headers_than_are_looked_at(wire):
    only_bpf(wire)
    sent = [extended(BACKEND6, 9)]
    assert pass_through(wire, sent) == hexadecimal(sent)


def test_what_cannot_be_rewritten_is_dropped_and_counted(wire):
    """The ports are there and the checksum is cut off: its receiver could only be misled."""
    only_bpf(wire)
    egress = Egress(wire.lab, "bpf", dev="wire")
    before = egress.counters(BACKEND)["dropped"]
    wire.send(ipv4(HOST, PEER, TCP, tcp(BACKEND, CLIENT)[:10]))
    with pytest.raises(TimeoutError):
        wire.receive(PEER, timeout=0.2)
    assert egress.counters(BACKEND)["dropped"] == before + 1
