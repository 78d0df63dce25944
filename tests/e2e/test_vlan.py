# SPDX-License-Identifier: Apache-2.0
"""VLANs: on interfaces of their own, one within another, beside the parent; and tags that carry a
priority only."""

import hashlib
import os
import socket
import struct

import pytest

from harness import config, http, packets, vlan
from harness.config import UDP_PORT as PORT
from harness.lab import VIP
from harness.packets import UDP

VLAN_VIP = "10.10.0.1"
CLIENT = "10.0.0.10"
FILE_BYTES = 4 << 20


def mac_of(lab, host, name="eth0"):
    return bytes.fromhex(
        lab.run(host, "cat", f"/sys/class/net/{name}/address").stdout.strip().replace(":", ""))


@pytest.fixture
def nested(make_lab, tmp_path):
    """Call it with the VLANs, the outer one first, as (number, protocol): a lab in which client and
    balancer share it, and the name of its interface."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_bytes(os.urandom(FILE_BYTES))

    def make(*vlans):
        lab = make_lab(files=tmp_path)
        for host, addr in (("client", "10.10.0.10/24"), ("lb", f"{VLAN_VIP}/24")):
            name = "eth0"
            for depth, (number, protocol) in enumerate(vlans, 1):
                addrs = [addr] if depth == len(vlans) else []
                name = vlan.add(lab, host, name, number, tmp_path, protocol, addrs)
        return lab, name
    return make


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("vlans", [
    [(10, "802.1Q")],
    [(100, "802.1ad"), (20, "802.1Q")],
], ids=["802.1Q", "QinQ"])
def test_clients_in_a_vlan_and_beside_it_reach_their_frontends(nested, make_culvert, tmp_path, vlans):
    """The interface of the VLAN and the lowest one are both captured on: each frame is one's own."""
    lab, _ = nested(*vlans)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(
        lab, frontends={"tagged": {"listen_addr": f"{VLAN_VIP}:80", "backend": "web"}}))
    culvert.await_all_up()
    for addr in (VIP, VLAN_VIP):
        assert http.get(lab, addr=addr) in lab.backend_names()
    lab.run("client", "curl", "-sf", "-o", tmp_path / "got", f"http://{VLAN_VIP}/files/file")
    assert sha256(tmp_path / "got") == sha256(tmp_path / "file")
    stats = culvert.stats()
    assert stats["total_connections"] == 3, stats
    assert stats["packets"]["dropped"] == 0, stats


def test_one_vip_is_served_in_a_vlan_and_beside_it(nested, make_culvert):
    lab, name = nested((10, "802.1Q"))
    # Answers to the untagged client go out untagged, for the balancer remembers where it came from.
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, passthrough={"interfaces": ["eth0", name]}))
    culvert.await_all_up()
    assert http.get(lab) in lab.backend_names()
    lab.run("client", "ip", "route", "add", VIP, "dev", name, "src", "10.10.0.10")
    assert http.get(lab) in lab.backend_names()
    stats = culvert.stats()
    assert stats["total_connections"] == 2, stats
    assert stats["packets"]["dropped"] == 0, stats


class TaggedClient:
    """Sends datagrams to the VIP in frames with any tags, and hears the answers as anybody."""

    def __init__(self, lab):
        self.macs = mac_of(lab, "lb") + mac_of(lab, "client")
        with lab.inside("client"):
            self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.bind(("eth0", 0))
        self.answers.bind((CLIENT, 0))
        self.answers.settimeout(5)
        self.port = self.answers.getsockname()[1]

    def send(self, data, tags=()):
        packet = packets.ipv4(CLIENT, VIP, UDP, packets.udp((CLIENT, self.port), (VIP, PORT), data))
        tagging = b"".join(struct.pack("!HH", *tag) for tag in tags)
        self.out.send(self.macs + tagging + struct.pack("!H", 0x0800) + packet)

    def receive(self):
        """Without the backend's mark."""
        return self.answers.recv(100)[1:]

    def close(self):
        self.out.close()
        self.answers.close()


@pytest.mark.smoke
def test_what_has_a_priority_and_no_vlan_is_answered(lab, culvert, echo_servers):
    echo_servers(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=PORT))
    client = TaggedClient(lab)
    for number, tags in enumerate([[], [(0x8100, 5 << 13)], [(0x88A8, 7 << 13)], [(0x8100, 0)]]):
        client.send(b"tagged %d" % number, tags)
        assert client.receive() == b"tagged %d" % number
    client.close()
    assert culvert.stats()["total_connections"] == 1


def test_what_is_in_a_vlan_without_an_interface_is_left_alone(lab, culvert, echo_servers):
    echo_servers(lab)
    culvert.start(config.passthrough(lab, protocol="udp", port=PORT))
    client = TaggedClient(lab)
    client.send(b"lost", [(0x8100, 10)])
    client.send(b"lost", [(0x88A8, 100), (0x8100, 20)])
    client.send(b"found")
    assert client.receive() == b"found"
    client.close()
    # There and back, and nothing else.
    assert culvert.ledger()["received"] == 2
