# SPDX-License-Identifier: Apache-2.0
"""What others do to it: clients that break off, a second instance, links that change or go, frames
that are not its own, floods. And what it refuses to start with."""

import contextlib
import signal
import socket
import struct
import subprocess

import pytest

from harness import config, http
from harness.lab import VIP
from harness.wait import await_condition
from test_udp import open_client
from test_udp import start as start_udp

EVERY_BACKEND = {"b1", "b2", "b3"}
NAT_RANGE = "33768-61000"


def start(culvert, lab, **overrides):
    culvert.start(config.passthrough(lab, **overrides))
    culvert.await_all_up()


def served_by(lab, count=100):
    return set(http.short_connections(lab, count))


def exit_status(culvert, timeout=10):
    """Of a process that should end by itself."""
    process = culvert.forget()
    try:
        return process.wait(timeout=timeout)
    finally:
        process.kill()
        process.wait()


# --- statistics clients --------------------------------------------------------------------------

def break_off(sock, manner):
    if "half-close" in manner:
        sock.shutdown(socket.SHUT_WR)
    if "reset" in manner:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.smoke
@pytest.mark.parametrize("manner", ["reset", "half-close", "half-close then reset"])
def test_statistics_clients_may_break_off(lab, culvert, manner):
    start(culvert, lab)
    for _ in range(20):
        # While it sleeps, so that it writes every answer to somebody who has gone.
        culvert.process.send_signal(signal.SIGSTOP)
        for _ in range(16):
            sock = http.connect(lab, addr="127.0.0.1", port=config.STATS_PORT, host="lb")
            sock.sendall(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            break_off(sock, manner)
        culvert.process.send_signal(signal.SIGCONT)
        assert culvert.stats()["total_connections"] == 0
    assert culvert.process.poll() is None
    assert served_by(lab) == EVERY_BACKEND


# --- a second instance ---------------------------------------------------------------------------

def test_a_second_one_is_refused_and_the_first_goes_on(lab, culvert, make_culvert):
    start(culvert, lab)
    second = make_culvert(lab)
    settings = config.passthrough(lab, stats={"port": config.STATS_PORT + 1})
    second.start(settings, await_ready=False)
    assert exit_status(second) == 1
    assert [line for line in second.log_lines("already") if str(culvert.process.pid) in line], \
        second.log()
    assert len(lab.nft_tables()) == 1
    assert lab.reserved_ports() == NAT_RANGE
    assert served_by(lab) == EVERY_BACKEND
    culvert.stop()
    second.start(config.passthrough(lab))
    second.await_all_up()
    assert served_by(lab) == EVERY_BACKEND


# --- links ---------------------------------------------------------------------------------------

def test_the_link_may_change_its_address(lab, culvert):
    start(culvert, lab)
    assert served_by(lab) == EVERY_BACKEND
    lab.run("lb", "ip", "link", "set", "dev", "eth0", "address", "02:00:5e:00:53:01")
    for host in ("client", *lab.backend_names()):
        lab.run(host, "ip", "neigh", "flush", "dev", "eth0")
    await_condition(lambda: http.outcome(lab, timeout=1) in EVERY_BACKEND, "an answer")
    culvert.await_all_up()
    assert served_by(lab) == EVERY_BACKEND


@pytest.mark.smoke
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("lab, link", [({"topology": "one-arm"}, "eth0"),
                                       ({"topology": "two-arm"}, "eth1")],
                         indirect=["lab"], ids=["only link", "one of two links"])
def test_a_link_that_is_deleted_ends_it(lab, culvert, link, workers):
    start(culvert, lab, workers=workers)
    lab.run("lb", "ip", "link", "delete", link)
    assert exit_status(culvert) == 1
    culvert.assert_log_clean()
    lines = [line for line in culvert.log_lines(link) if "capturing" not in line]
    assert any("start" in line for line in lines), culvert.log()  # what to do when it is back
    assert lab.nft_tables() == []
    assert lab.reserved_ports() == ""


def test_a_route_to_a_link_that_is_not_captured_is_said(lab, culvert):
    start(culvert, lab)
    addr = lab.backend_addr("b1")
    lab.run("lb", "ip", "link", "add", "aside", "type", "veth", "peer", "name", "nowhere")
    lab.run("lb", "ip", "link", "set", "aside", "up")
    lab.run("lb", "ip", "route", "add", f"{addr}/32", "dev", "aside")
    await_condition(lambda: [line for line in culvert.log_lines("aside") if addr in line],
                    f"a line about {addr} and the link")
    culvert.await_backend("b1", is_up=False)
    assert served_by(lab) == EVERY_BACKEND - {"b1"}
    lab.run("lb", "ip", "route", "delete", f"{addr}/32", "dev", "aside")
    culvert.await_backend("b1")
    assert served_by(lab) == EVERY_BACKEND


# --- frames that are not its own -----------------------------------------------------------------

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac_of(lab, host):
    return bytes.fromhex(lab.run(host, "cat", "/sys/class/net/eth0/address").stdout.strip()
                         .replace(":", ""))


def make_syn(lab, source_port, tag=b""):
    """A frame with a SYN from the client to the VIP; `tag` stands before its EtherType."""
    addrs = socket.inet_aton("10.0.0.10") + socket.inet_aton(VIP)
    tcp = struct.pack("!HHIIBBHHH", source_port, 80, 1, 0, 5 << 4, 0x02, 64240, 0, 0)
    tcp_sum = checksum(addrs + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", tcp_sum) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0) + addrs
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return mac_of(lab, "lb") + mac_of(lab, "client") + tag + b"\x08\x00" + ip + tcp


@pytest.mark.parametrize("tag", [struct.pack("!HH", 0x8100, 100), struct.pack("!HH", 0x88a8, 100)],
                         ids=["802.1Q", "802.1ad"])
@pytest.mark.parametrize("lab", [{"offloads": "on"}, {"offloads": "off"}], indirect=True,
                         ids=["offloads-on", "offloads-off"])
def test_tagged_frames_are_of_another_network(lab, culvert, tag):
    start(culvert, lab)
    before = culvert.ledger()["forwarded"]
    with lab.inside("client"):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        sock.bind(("eth0", 0))
        for port in range(2000, 2020):
            sock.send(make_syn(lab, port, tag))
        assert culvert.ledger()["forwarded"] == before
        assert culvert.stats()["total_connections"] == 0
        sock.send(make_syn(lab, 2000))
        await_condition(lambda: culvert.stats()["total_connections"] > 0, "the frame without a tag")
    assert culvert.ledger()["forwarded"] > before
    assert culvert.stats()["total_connections"] == 1


# --- what it refuses to start with ---------------------------------------------------------------

def refusal(lab, culvert, **overrides):
    """Exit status and message."""
    path = culvert.write_config(config.passthrough(lab, **overrides))
    result = culvert.run("--passthrough", "--config", path, timeout=10)
    assert lab.nft_tables() == []
    assert lab.reserved_ports() == ""
    return result.returncode, result.stderr


def test_a_virtual_address_on_a_link_without_ethernet_is_refused(lab, culvert):
    lab.run("lb", "ip", "tuntap", "add", "name", "tun7", "mode", "tun")
    lab.run("lb", "ip", "address", "add", "10.9.9.1/32", "dev", "tun7")
    lab.run("lb", "ip", "link", "set", "tun7", "up")
    status, message = refusal(lab, culvert, frontends={"web": {"listen_addr": "10.9.9.1:80"}})
    assert status == 1
    assert "tun7" in message and "Ethernet" in message, message
    assert "needs an interface" in message, message


def test_a_virtual_address_that_is_nowhere_is_refused(lab, culvert):
    status, message = refusal(lab, culvert, frontends={"web": {"listen_addr": "10.9.9.1:80"}})
    assert status == 1
    assert "ip address add 10.9.9.1/32" in message, message
    assert "[passthrough] interfaces" in message, message


@pytest.mark.parametrize("nat_ports", ["32768-65535", "1024-65535", "30000-60999"])
def test_nat_ports_that_leave_the_host_none_are_refused(lab, culvert, nat_ports):
    lab.run("lb", "sh", "-c", "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range")
    status, message = refusal(lab, culvert, passthrough={"nat_ports": nat_ports})
    assert status == 2
    assert "nat_ports" in message and "ip_local_port_range" in message, message


# --- floods --------------------------------------------------------------------------------------

def is_echoed(sock, payload, tries=5):
    """Datagrams may be lost on a busy machine."""
    for _ in range(tries):
        sock.send(payload)
        with contextlib.suppress(TimeoutError):
            while (answer := sock.recv(100)[1:]) != payload:
                pass  # the echo of an earlier try
            return answer == payload
    return False


@pytest.mark.parametrize("workers", [0, 2])
def test_invented_udp_clients_give_way_to_real_ones(make_lab, make_culvert, echo_servers, support,
                                                    workers):
    """Of one backend there are fewer NAT ports than invented clients, and it answers them all."""
    lab = make_lab(backends=1)
    echo_servers(lab)
    culvert = make_culvert(lab)
    start_udp(culvert, lab, workers=workers)
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(open_client(lab, timeout=0.5))
        assert is_echoed(old, b"1") and is_echoed(old, b"2")
        flood = lab.spawn("client", support("flood"), "--udp", "--dst", f"{VIP}:{config.UDP_PORT}",
                          "--rate", 10000, "--seconds", 4, stdout=subprocess.PIPE, text=True)
        stack.callback(flood.wait)
        stack.callback(flood.kill)
        while flood.poll() is None:
            with open_client(lab, timeout=0.5) as new:
                assert is_echoed(new, b"1") and is_echoed(new, b"2")
        assert int(flood.stdout.read()) >= 30000
        for _ in range(20):
            with open_client(lab, timeout=0.5) as new:
                assert is_echoed(new, b"1") and is_echoed(new, b"2")
        created = culvert.stats()["total_connections"]
        assert is_echoed(old, b"3")
        assert culvert.stats()["total_connections"] == created  # it was still held


# --- signals -------------------------------------------------------------------------------------

def test_a_hangup_does_not_stop_it(lab, culvert):
    start(culvert, lab)
    culvert.process.send_signal(signal.SIGHUP)
    await_condition(lambda: culvert.log_lines("reload: unchanged"), "the file is read again", 20)
    assert culvert.process.poll() is None
