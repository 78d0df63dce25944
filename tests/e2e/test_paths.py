# SPDX-License-Identifier: Apache-2.0
"""Narrow links, scarce ports, and packets that are not for the load balancer."""

import hashlib
import os
import socket

import pytest

from harness import config, http
from harness.lab import VIP

NARROW = 1300
FILE_BYTES = 8 << 20

routed = pytest.mark.parametrize("lab_options", [
    {"topology": "routed", "offloads": offloads} for offloads in ("on", "off")],
    ids=["offloads-on", "offloads-off"])


@pytest.fixture
def file(tmp_path):
    """A file that the backends serve; its path, size and SHA-256."""
    tmp_path.chmod(0o755)
    content = os.urandom(FILE_BYTES)
    path = tmp_path / "file"
    path.write_bytes(content)
    return path, FILE_BYTES, hashlib.sha256(content).hexdigest()


def start_with_narrow_route(make_lab, make_culvert, file, lab_options, router, route):
    """The router's own links stay wide: it must say "fragmentation needed", and be heard."""
    lab = make_lab(files=file[0].parent, **lab_options)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    lab.run(router, "ip", "route", "change", *route, "mtu", "lock", NARROW)
    return lab


@routed
def test_the_client_learns_of_a_narrow_link_to_the_backends(make_lab, make_culvert, file,
                                                            lab_options):
    lab = start_with_narrow_route(make_lab, make_culvert, file, lab_options, "r2",
                                  ["10.1.0.0/24", "dev", "eth1", "src", "10.1.0.1"])
    http.upload(lab, "/files/uploaded", file[0])
    uploaded = (file[0].parent / "uploaded").read_bytes()
    assert hashlib.sha256(uploaded).hexdigest() == file[2]
    assert f"mtu {NARROW}" in lab.run("client", "ip", "route", "get", VIP).stdout


@routed
def test_the_backend_learns_of_a_narrow_link_to_the_client(make_lab, make_culvert, file,
                                                           lab_options):
    lab = start_with_narrow_route(make_lab, make_culvert, file, lab_options, "r1",
                                  ["10.2.0.0/24", "dev", "eth0", "src", "10.2.0.1"])
    assert http.download(lab, "/files/file") == file[1:]


@pytest.mark.parametrize("workers", [0, 2])
def test_few_nat_ports_serve_many_short_connections(make_lab, make_culvert, workers):
    """Closed flows give their ports to new ones; the backend, in TIME_WAIT, accepts them."""
    lab = make_lab(backends=1)
    culvert = make_culvert(lab)
    culvert.start(config.passthrough(lab, workers=workers,
                                     passthrough={"nat_ports": "40000-40199"}))
    culvert.await_all_up()
    answers = http.short_connections(lab, 2000)
    assert answers == {"b1": 2000}, (answers, culvert.stats()["drops"])


def test_udp_to_a_tcp_frontend_is_left_to_the_kernel(lab, culvert):
    culvert.start(config.passthrough(lab))
    with lab.inside("client"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(2)
        sock.connect((VIP, 80))
        sock.send(b"not HTTP")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)
    assert culvert.stats()["flows"]["current"] == 0


def test_the_balancers_own_connections_still_work(lab, culvert):
    """From its ephemeral ports, to a backend's served port: answers are not taken for replies."""
    culvert.start(config.passthrough(lab))
    culvert.await_all_up()
    for _ in range(50):
        assert http.get(lab, host="lb", addr=lab.backend_addr("b1")) == "b1"
