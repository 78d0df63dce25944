# SPDX-License-Identifier: Apache-2.0
"""stream_peer and stream_load themselves, with nothing between them."""

import os
import pathlib
import socket
import time
import zlib

import pytest

from harness import http, streams
from harness.wait import await_condition


LAB = {"backends": 1, "direct": True}


@pytest.fixture
def direct(shared_lab):
    return shared_lab


def words_id(words):
    return " ".join(map(str, words))


def connect(lab):
    return http.connect(lab, addr=lab.backend_addr("b1"), port=streams.PORT)


def read_all(sock):
    data = b""
    while chunk := sock.recv(1 << 18):
        data += chunk
    return data


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, f"closed after {len(data)} bytes"
        data += chunk
    return data


def is_refused(sock):
    try:
        return sock.send(b"more") and False
    except BrokenPipeError:
        return True


@pytest.mark.parametrize("words", [("echo",), ("one-byte",), ("slow", 100000)],
                         ids=words_id)
def test_what_echoes_returns_everything_and_then_closes(direct, stream_peer, words):
    peer = stream_peer(direct, "b1", *words)
    data = os.urandom(20000)
    with connect(direct) as sock:
        start = time.monotonic()
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == data
        if words[0] == "slow":  # a tenth may come at once
            assert time.monotonic() - start > 0.9 * len(data) / words[1]
    counts = peer.stop()
    assert (counts["accepted"], counts["closed"]) == (1, 1)
    assert counts["received"] == counts["sent"] == len(data)


def test_an_echo_waits_for_a_client_that_does_not_read(direct, stream_peer):
    """Nothing is lost when its socket is full, and it does not take without end."""
    peer = stream_peer(direct, "b1", "echo")
    data = os.urandom(1 << 20)
    sent = 0
    with connect(direct) as sock:
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                sent += sock.send(data[sent % len(data):])
        sock.settimeout(5)
        sock.shutdown(socket.SHUT_WR)
        came = read_all(sock)
    assert len(came) == sent
    assert came == (data * (sent // len(data) + 1))[:sent]
    peer.stop()


def test_close_after_returns_so_many_bytes(direct, stream_peer):
    peer = stream_peer(direct, "b1", "close-after", 1000)
    with connect(direct) as sock:
        sock.sendall(bytes(600))
        assert read_exactly(sock, 600) == bytes(600)
        sock.sendall(bytes(400))
        assert read_all(sock) == bytes(400)
        await_condition(lambda: is_refused(sock), "a reset in answer to more")
    assert peer.stop()["closed"] == 1


@pytest.mark.parametrize("words", [("reset-after", 1000), ("reset-after", 0),
                                   ("reset-on-accept",)], ids=words_id)
def test_what_resets_does_so_when_told(direct, stream_peer, words):
    peer = stream_peer(direct, "b1", *words)
    n_echoed = 0
    with pytest.raises(ConnectionResetError):  # perhaps even before connect() is back
        with connect(direct) as sock:
            if words[-1] == 1000:
                sock.sendall(bytes(999))
                n_echoed = len(read_exactly(sock, 999))
                sock.sendall(bytes(1))
            read_all(sock)
    assert n_echoed == (999 if words[-1] == 1000 else 0)
    counts = peer.stop()
    assert (counts["reset"], counts["closed"], counts["lost"]) == (1, 0, 0)


@pytest.mark.parametrize("size", [0, 1, 7, 1 << 20])
def test_discard_answers_how_many_came_and_their_sum(direct, stream_peer, size):
    stream_peer(direct, "b1", "discard")
    data = os.urandom(size)
    with connect(direct) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).decode() == f"{size} {zlib.crc32(data):08x}\n"


@pytest.mark.parametrize("size", [0, 3, 4, 65535, 65538, 1 << 22])
def test_a_source_ends_with_the_sum_of_what_it_has_sent(direct, stream_peer, size):
    peer = stream_peer(direct, "b1", "source", size)
    seen = set()
    for _ in range(3):
        with connect(direct) as sock:
            data = read_all(sock)
        assert len(data) == size
        if size >= 4:
            assert zlib.crc32(data) == streams.WHOLE_SOURCE
            seen.add(data)
    assert len(seen) == (3 if size > 4 else size // 4), "each connection has bytes of its own"
    assert peer.stop()["sent"] == 3 * size


def test_half_close_goes_on_reading_and_reports(direct, stream_peer):
    peer = stream_peer(direct, "b1", "half-close")
    with connect(direct) as sock:
        assert read_all(sock) == b""
        sock.sendall(bytes(100000))
        sock.shutdown(socket.SHUT_WR)
        assert peer.line() == "received 100000"
    assert peer.stop()["closed"] == 1


def test_silent_reads_and_says_nothing(direct, stream_peer):
    peer = stream_peer(direct, "b1", "silent")
    with connect(direct) as sock:
        sock.sendall(bytes(10 << 20))  # more than buffers hold
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    counts = peer.stop()
    assert (counts["open"], counts["received"], counts["sent"]) == (1, 10 << 20, 0)


def test_load_and_echo_count_the_same(direct, stream_peer, stream_load):
    peer = stream_peer(direct, "b1", "echo")
    report = stream_load(direct, direct.backend_addr("b1"), 200, seconds=2, max_pause_ms=20,
                         max_message=300000).finish()
    counts = peer.stop()
    assert report["completed"] == report["tried"] == counts["accepted"] == counts["closed"] > 200
    assert report["sent"] == report["received"] == counts["sent"] == counts["received"] > 0
    assert report["messages"] >= report["completed"] - 200


@pytest.mark.parametrize("kind, words, options", [
    ("refused", None, {}),
    ("reset", ("reset-after", 1), {}),
    ("timeout", ("silent",), {"timeout_ms": 200}),
    ("mismatch", ("source", 100000), {}),
    ("short", ("half-close",), {}),
], ids=["refused", "reset", "timeout", "mismatch", "short"])
def test_load_tells_failures_apart(direct, stream_peer, stream_load, kind, words, options):
    if words:
        stream_peer(direct, "b1", *words)
    load = stream_load(direct, direct.backend_addr("b1"), 5, seconds=1, **options)
    report = load.finish()
    others = {name: count for name, count in report["failed"].items() if name != kind}
    assert report["failed"][kind] == report["tried"] >= 5, report
    assert not any(others.values()), report
    assert {failure.kind for failure in load.failures()} == {kind}


def has_heard_of_the_end(load):
    """It closes what brings it signals."""
    descriptors = pathlib.Path(f"/proc/{load.process.pid}/fd")
    try:
        return "anon_inode:[signalfd]" not in [os.readlink(fd) for fd in descriptors.iterdir()]
    except FileNotFoundError:  # closed meanwhile
        return False


def test_a_connection_that_is_made_after_the_end_is_tried_all_the_same(make_lab, stream_peer, stream_load):
    direct = make_lab(**LAB)
    stream_peer(direct, "b1", "half-close")
    direct.run("b1", "nft", "add table inet mute; add chain inet mute input { type filter hook input priority 0; };"
                     f"add rule inet mute input tcp dport {streams.PORT} drop")
    load = stream_load(direct, direct.backend_addr("b1"), 5, seconds=60, timeout_ms=60000)
    await_condition(lambda: direct.run("client", "ss", "-Hnt", "state", "syn-sent").stdout.count("\n") == 5, "5 SYNs")
    load.end()
    await_condition(lambda: has_heard_of_the_end(load), "the end has been heard of")
    direct.run("b1", "nft", "delete table inet mute")
    report = load.finish()
    assert report["failed"]["short"] == report["tried"] == 5, report


def test_load_says_when_a_connection_failed(direct, stream_peer, stream_load):
    peer = stream_peer(direct, "b1", "echo")
    load = stream_load(direct, direct.backend_addr("b1"), 20, seconds=60)
    time.sleep(0.5)  # the moment is arbitrary
    assert load.failures() == []
    killed = time.time()
    peer.kill()
    load.await_failure("refused")
    first = load.failures()[0]
    load.end()
    report = load.finish()
    assert killed - 0.002 < first.time < time.time()
    assert report["completed"] > 0 and report["failed"]["refused"] > 0
    assert not report["failed"]["mismatch"]
    assert {failure.kind for failure in load.failures()} <= {"reset", "refused", "short"}


def test_load_opens_and_holds_thousands(direct, stream_peer, stream_load):
    peer = stream_peer(direct, "b1", "silent")
    load = stream_load(direct, direct.backend_addr("b1"), 8000, idle=True, rate=8000)
    assert load.n_open() == 8000
    load.end()
    report = load.finish()
    assert (report["tried"], report["completed"]) == (8000, 8000)
    counts = peer.stop()
    assert (counts["accepted"], counts["open"]) == (8000, 8000)


def test_load_opens_no_more_connections_per_second_than_told(direct, stream_peer, stream_load):
    stream_peer(direct, "b1", "silent")
    start = time.monotonic()
    load = stream_load(direct, direct.backend_addr("b1"), 100, idle=True, rate=200)
    assert load.n_open() == 100
    assert time.monotonic() - start > 0.49
    load.end()
    load.finish()


def test_load_notices_that_a_held_connection_ended(direct, stream_peer, stream_load):
    peer = stream_peer(direct, "b1", "silent")
    load = stream_load(direct, direct.backend_addr("b1"), 10, idle=True)
    assert load.n_open() == 10
    peer.kill()
    await_condition(lambda: len(load.failures()) == 10, "ten failures")
    load.end()
    report = load.finish()
    assert report["completed"] == 0
    assert report["failed"]["short"] + report["failed"]["reset"] == 10


@pytest.mark.parametrize("program, arguments", [
    ("stream_peer", []), ("stream_peer", ["10.0.0.1:80", "sing"]),
    ("stream_peer", ["10.0.0.1:80", "echo", "5"]), ("stream_peer", ["10.0.0.1:80", "source"]),
    ("stream_peer", ["10.0.0.1:80", "slow", "0"]), ("stream_peer", ["localhost:80", "echo"]),
    ("stream_load", ["--dst", "10.0.0.1:80", "--connections", "1"]),
    ("stream_load", ["--dst", "10.0.0.1:80", "--idle"]),
    ("stream_load", ["--dst", "10.0.0.1:80", "--connections", "1", "--idle", "--seconds", "1"]),
], ids=lambda value: value if isinstance(value, str) else words_id(value))
def test_wrong_usage_exits_with_2(direct, support, program, arguments):
    result = direct.run("client", support(program), *arguments, check=False)
    assert result.returncode == 2 and "Usage" in result.stderr
