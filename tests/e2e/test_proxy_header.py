# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol at both ends of proxy mode: what nginx and HAProxy read behind it, and what
HAProxy says in front of it."""

import socket
import time

import pytest

from harness import config, http, streams
from harness.lab import VIP, VIP6
from harness.servers import HAProxy, Nginx
from harness.wait import await_condition

LAB = {"backends": 1}
KNOWING_PORT = 8082  # where servers expect a header
FRONT_PORT = 8000    # of HAProxy, before culvert
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
both_versions = pytest.mark.parametrize("version", ["v1", "v2"])


@pytest.fixture(scope="module")
def lab(shared_lab):
    for last in (20, 21):
        shared_lab.run("client", "ip", "addr", "add", f"10.0.0.{last}/24", "dev", "eth0")
    return shared_lab


@pytest.fixture
def knowing_nginx(lab, servers):
    """Its answer to /whose is the address and port in the header."""
    return servers(Nginx, lab, "b1", f"[::]:{KNOWING_PORT} ipv6only=off proxy_protocol", "b1",
                   port=KNOWING_PORT)


def start(proxy, lab, port, *, frontend=None, checked=False, **pool):
    proxy.start(config.proxy(lab, backend_port=port, checked=checked, backends={"web": pool},
                             frontends={"web": frontend or {}}, proxy={"header_timeout": 0.5}))


def whose(lab, **where):
    """What the backend was told, and what is true."""
    with http.connect(lab, **where) as sock:
        return http.request(sock, "/whose"), "{} {}".format(*sock.getsockname())


# --- towards backends ----------------------------------------------------------------------------

@pytest.mark.smoke
@both_versions
def test_nginx_reads_the_clients_address(lab, proxy, knowing_nginx, version):
    start(proxy, lab, KNOWING_PORT, send_proxy=version, frontend={"listen_addr": "[::]:80"})
    for where in ({}, {"source": ("10.0.0.20", 0)}, {"addr": VIP6}):
        told, true = whose(lab, **where)
        assert told == true
    with http.connect(lab) as sock:  # once for a connection, not for a request
        assert {http.request(sock) for _ in range(20)} == {"b1"}
    assert (knowing_nginx.directory / "error.log").read_text() == ""


@both_versions
def test_haproxy_reads_the_clients_address(lab, proxy, servers, version):
    servers(HAProxy, lab, "b1", f"""
listen web
    mode http
    bind 10.0.0.101:{KNOWING_PORT} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
""", KNOWING_PORT)
    start(proxy, lab, KNOWING_PORT, send_proxy=version)
    told, true = whose(lab, source=("10.0.0.20", 0))
    assert told == true


@both_versions
def test_a_large_request_follows_its_header(lab, proxy, stream_peer, version):
    """Every byte of it, when it comes with the connection."""
    stream_peer(lab, "b1", "discard")
    start(proxy, lab, streams.PORT, send_proxy=version)
    size = 5 << 20
    with http.connect(lab) as sock:
        source = sock.getsockname()
        sock.sendall(bytes(size))
        sock.shutdown(socket.SHUT_WR)
        n_received = int(sock.recv(100).split()[0])
    v1 = f"PROXY TCP4 {source[0]} {VIP} {source[1]} 80\r\n"
    assert n_received - size == (len(v1) if version == "v1" else 16 + 12)
    assert proxy.all_ended()["ends"]["completed"] == 1


# --- from clients --------------------------------------------------------------------------------

def front_of(lab, version):
    return (f"""
listen front
    bind 10.0.0.10:{FRONT_PORT}
    server culvert {VIP}:80 source 10.0.0.21 send-proxy{'-v2' if version == 'v2' else ''}
""", FRONT_PORT)


@both_versions
@pytest.mark.parametrize("onward", ["v1", "v2"])
def test_haproxy_in_front_says_whose_a_connection_is(lab, proxy, servers, knowing_nginx, version,
                                                     onward):
    start(proxy, lab, KNOWING_PORT, send_proxy=onward, frontend={"accept_proxy": ["10.0.0.21"]})
    servers(HAProxy, lab, "client", *front_of(lab, version))
    told, true = whose(lab, addr="10.0.0.10", port=FRONT_PORT, source=("10.0.0.20", 0))
    assert told == true
    assert (knowing_nginx.directory / "error.log").read_text() == ""


def test_checks_of_haproxy_in_front_are_relayed(lab, proxy, servers):
    """They say LOCAL, and nothing besides."""
    start(proxy, lab, 80, frontend={"accept_proxy": ["10.0.0.0/24"]})
    servers(HAProxy, lab, "client", f"""
listen front
    bind 10.0.0.10:{FRONT_PORT}
    option httpchk GET /
    server culvert {VIP}:80 send-proxy-v2 check-send-proxy check inter 100ms
""", FRONT_PORT)
    await_condition(lambda: proxy.sessions()["ends"]["completed"] >= 3, "three checks")
    assert http.get(lab, addr="10.0.0.10", port=FRONT_PORT) == "b1"
    assert proxy.sessions()["ends"]["header_invalid"] == 0


def exchange(lab, *pieces, **where):
    """What comes back, up to the other side's end or reset."""
    answer = b""
    try:
        with http.connect(lab, **where) as sock:
            for piece in pieces:
                sock.sendall(piece)
            while chunk := sock.recv(65536):
                answer += chunk
    except ConnectionResetError:
        answer += b"RESET"
    return answer


V1 = b"PROXY TCP4 198.51.100.7 203.0.113.9 1234 80\r\n"
V2 = (V2_SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton("198.51.100.7") +
      socket.inet_aton("203.0.113.9") + b"\x04\xd2\0\x50")
GET = b"GET /whose HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_in_pieces_counts_as_a_whole(lab, proxy, knowing_nginx, header):
    start(proxy, lab, KNOWING_PORT, send_proxy="v2", frontend={"accept_proxy": ["10.0.0.10"]})
    for cut in (1, 5, 13, len(header) - 1, len(header)):
        answer = exchange(lab, header[:cut], header[cut:] + GET[:7], GET[7:])
        assert b"198.51.100.7 1234\n" in answer, answer
    bytewise = [bytes([byte]) for byte in header + GET]
    assert b"198.51.100.7 1234\n" in exchange(lab, *bytewise)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_from_elsewhere_is_data(lab, proxy, stream_peer, knowing_nginx, header):
    """Whoever is not on the list can claim nothing."""
    stream_peer(lab, "b1", "close-after", len(header) + 5)
    start(proxy, lab, streams.PORT, frontend={"accept_proxy": ["10.0.0.21", "2001:db8::/32"]})
    assert exchange(lab, header + b"hello") == header + b"hello"
    proxy.stop()
    start(proxy, lab, KNOWING_PORT, send_proxy="v2", frontend={"accept_proxy": ["10.0.0.21"]})
    with http.connect(lab) as sock:
        source = sock.getsockname()
        sock.sendall(header + GET)
        assert b"198.51.100.7" not in sock.recv(65536)
    await_condition(lambda: (knowing_nginx.directory / "access.log").read_text(), "a line")
    assert (knowing_nginx.directory / "access.log").read_text() == "{} {}\n".format(*source)


@pytest.mark.smoke
@pytest.mark.parametrize("pieces, end", [
    ([GET], "header_invalid"),
    ([V1.replace(b"TCP4", b"TCP9")], "header_invalid"),
    ([V2.replace(b"\x21\x11", b"\x31\x11")], "header_invalid"),
    ([b"PROXY " + bytes(200)], "header_invalid"),
    ([], "header_timeout"),
    ([V1[:20]], "header_timeout"),
], ids=["none", "of no such protocol", "of no such version", "endless", "silence", "half of one"])
def test_without_its_header_a_connection_is_closed(lab, proxy, stream_peer, pieces, end):
    peer = stream_peer(lab, "b1", "echo")
    start(proxy, lab, streams.PORT, frontend={"accept_proxy": ["10.0.0.10"]})
    assert exchange(lab, *pieces) == b"RESET"
    assert proxy.all_ended()["ends"][end] == 1
    assert peer.stop()["accepted"] == 0


def test_a_header_that_trickles_in_does_not_win_time(lab, proxy, stream_peer):
    stream_peer(lab, "b1", "echo")
    start(proxy, lab, streams.PORT, frontend={"accept_proxy": ["10.0.0.10"]})
    begin = time.monotonic()
    with http.connect(lab) as sock, pytest.raises((ConnectionResetError, BrokenPipeError)):
        for byte in V1:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)
    assert time.monotonic() - begin < 2
    proxy.await_end("header_timeout")


@pytest.mark.parametrize("piece", [b"", V1[:20], V2[:14]],
                         ids=["silence", "half of v1", "half of v2"])
def test_a_client_may_leave_within_its_header(lab, proxy, stream_peer, piece):
    peer = stream_peer(lab, "b1", "echo")
    start(proxy, lab, streams.PORT, frontend={"accept_proxy": ["10.0.0.10"]})
    with http.connect(lab) as sock:
        sock.sendall(piece)
    proxy.await_end("header_aborted")
    assert peer.stop()["accepted"] == 0
