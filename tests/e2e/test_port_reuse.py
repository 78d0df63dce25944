# SPDX-License-Identifier: Apache-2.0
"""Many clients behind one source address, and a backend that closes first and is left in TIME_WAIT: it
refuses a SYN from a port that it remembers if number or timestamp is older than that of the connection
before. The kernel gives each client's address numbers and a clock of its own.

A SYN that is refused so is answered with an acknowledgement of the old connection, the client resets,
and begins again a second later. The reset shows it, whatever the speed of the machine."""

import socket

import pytest

from harness import config, snmp, streams
from harness.lab import VIP
from harness.wait import await_condition

CLIENTS = [f"10.0.0.{last}" for last in range(20, 40)]
ANSWER_BYTES = 100
FIRST_PORT = 40000


@pytest.fixture
def start(make_lab, make_culvert, stream_peer):
    """Call it with a number of NAT ports: a lab with a server that closes first, and culvert."""
    def make(n_ports, workers=0, **passthrough):
        lab = make_lab(backends=1)
        for addr in CLIENTS:
            lab.run("client", "ip", "addr", "add", f"{addr}/24", "dev", "eth0")
        stream_peer(lab, "b1", "source", ANSWER_BYTES)
        culvert = make_culvert(lab)
        ports = f"{FIRST_PORT}-{FIRST_PORT + n_ports - 1}"
        culvert.start(config.passthrough(lab, port=streams.PORT, workers=workers,
                                         passthrough={"nat_ports": ports, **passthrough}))
        culvert.await_all_up(port=streams.PORT)
        return lab, culvert
    return make


def call(lab, addr, port=0):
    """One connection, which the server ends."""
    with lab.inside("client"):
        sock = socket.socket()
    with sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((addr, port))
        sock.connect((VIP, streams.PORT))
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert len(answer) == ANSWER_BYTES


def is_closed(lab, port):
    """The client knows nothing any more of a connection from that port."""
    return not lab.run("client", "ss", "-Htan", "sport", "=", f":{port}").stdout


def ports_in_time_wait(lab, n_ports):
    """Of the balancer's NAT ports, those that the backend remembers."""
    lines = lab.run("b1", "ss", "-Htan", "state", "time-wait").stdout.splitlines()
    ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}
    return ports & set(range(FIRST_PORT, FIRST_PORT + n_ports))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_backend_in_time_wait_takes_the_next_client_from_the_same_port(start, workers):
    n_ports = 40
    lab, culvert = start(n_ports, workers)
    for number in range(12 * n_ports):
        call(lab, CLIENTS[number % len(CLIENTS)])
    await_condition(lambda: len(ports_in_time_wait(lab, n_ports)) == n_ports,
                    "the backend remembers every port")
    assert snmp.counter(lab, "client", "Tcp", "OutRsts") == 0
    assert culvert.stats()["drops"]["no_nat_port"] == 0


def test_a_port_in_time_wait_is_left_alone_while_there_are_others(start):
    """Even when the flow table is too small to remember that it was used."""
    n_ports = 100
    lab, culvert = start(n_ports, connection_tracker_capacity=8)
    for number in range(n_ports - 10):
        call(lab, CLIENTS[number % len(CLIENTS)])
    await_condition(lambda: len(ports_in_time_wait(lab, n_ports)) == n_ports - 10,
                    "each connection had a port of its own")
    assert snmp.counter(lab, "client", "Tcp", "OutRsts") == 0


def test_a_client_that_reuses_its_own_port_is_accepted(start):
    """The same client's numbers and clock go on, so the same port serves it."""
    lab, culvert = start(40)
    for _ in range(20):
        call(lab, CLIENTS[0], 5555)
        await_condition(lambda: is_closed(lab, 5555), "the connection is closed")
    assert len(ports_in_time_wait(lab, 40)) == 1
    assert snmp.counter(lab, "client", "Tcp", "OutRsts") == 0
    assert culvert.stats()["total_connections"] == 20
