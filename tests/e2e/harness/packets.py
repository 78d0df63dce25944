# SPDX-License-Identifier: Apache-2.0
"""Packets byte by byte, and an interface of a lab's host whose other end is the test."""

import contextlib
import fcntl
import ipaddress
import os
import select
import socket
import struct
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x0001, 0x0002, 0x1000

TCP, UDP, ICMP, HOPOPTS, FRAGMENT, AH, DSTOPTS = 6, 17, 1, 0, 44, 51, 60
MORE_V4, WHOLE_V4 = 0x2000, 0x4000
TCP_RST, TCP_PSH, TCP_ACK = 0x04, 0x08, 0x10


def packed(addr):
    return ipaddress.ip_address(addr).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(src, dst, proto, size):
    if ":" in dst:
        return packed(src) + packed(dst) + struct.pack("!II", size, proto)
    return packed(src) + packed(dst) + struct.pack("!HH", proto, size)


def tcp(src, dst, data=b"", flaw=0, seq=1, ack=1, flags=TCP_PSH | TCP_ACK):
    """`src` and `dst` are (address, port); `flaw` is how far the checksum is from right."""
    head = struct.pack("!HHIIHHHH", src[1], dst[1], seq % 2**32, ack % 2**32, 0x5000 | flags, 65535, 0, 0)
    right = checksum(pseudo_header(src[0], dst[0], TCP, len(head + data)) + head + data)
    wrong = (right + flaw - 1) % 0xFFFF + 1 if flaw else right
    return head[:16] + struct.pack("!H", wrong) + head[18:] + data


def udp(src, dst, data=b"", has_checksum=True):
    head = struct.pack("!HHHH", src[1], dst[1], 8 + len(data), 0)
    value = checksum(pseudo_header(src[0], dst[0], UDP, 8 + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", value if has_checksum else 0) + data


def ipv4(src, dst, proto, payload, options=b"", number=1, fragment=0):
    """`fragment` is the header's field: flags and offset in units of 8 bytes."""
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH4s4s", 0x40 + size // 4, 0, size + len(payload), number, fragment,
                       64, proto, 0, packed(src), packed(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(src, dst, proto, payload):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), proto, 64, packed(src),
                       packed(dst)) + payload


def options(following, size=8):
    """An IPv6 header with options that mean nothing."""
    return struct.pack("!BBBB", following, size // 8 - 1, 1, size - 4) + bytes(size - 4)


def fragment_header(following, offset, more, number):
    return struct.pack("!BBHI", following, 0, offset | more, number)


class Wire:
    """`name` on a host: what the host sends to addresses there is read here, from the IP header."""

    def __init__(self, lab, host, name, kind, networks, peers):
        self.lab, self.host, self.kind = lab, host, kind
        with lab.inside(host):
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            flags = (IFF_TUN if kind == "tun" else IFF_TAP) | IFF_NO_PI
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            self.raw = {family: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
                        for family in (socket.AF_INET, socket.AF_INET6)}
        lab.run(host, "ip", "link", "set", name, "up")
        for network in networks:
            lab.run(host, "ip", "addr", "add", network, "dev", name,
                    *["nodad"] if ":" in network else [])
        for peer in peers if kind == "tap" else []:
            lab.run(host, "ip", "neigh", "add", peer, "lladdr", "02:00:00:00:00:02", "dev", name)

    def send(self, packet):
        """From the host, as it is."""
        is_v4 = packet[0] >> 4 == 4
        dst = ipaddress.ip_address(packet[16:20] if is_v4 else packet[24:40])
        self.raw[socket.AF_INET if is_v4 else socket.AF_INET6].sendto(packet, (str(dst), 0))

    def receive(self, dst, timeout=3.0):
        """The next packet to that address."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            select.select([self.fd], [], [], deadline - time.monotonic())
            with contextlib.suppress(BlockingIOError):
                packet = os.read(self.fd, 65536)[14 if self.kind == "tap" else 0:]
                if packed(dst) == (packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]):
                    return packet
        raise TimeoutError(f"nothing for {dst}")

    def close(self):
        os.close(self.fd)
        for sock in self.raw.values():
            sock.close()
