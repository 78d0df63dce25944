# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a session do to each other through proxy mode: resets at every stage,
silence, slowness, half-closed connections, single bytes."""

import contextlib
import socket
import struct
import time
import zlib

import pytest

from harness import config, http, streams
from harness.lab import VIP
from harness.wait import await_condition

LAB = {"backends": 1}
SETTLED_KIB = 2048  # what a process may grow by besides what sessions hold
HELD_KIB = 72       # a buffer that its receiver does not take, and its bookkeeping
both_ways_of_moving = pytest.mark.parametrize("splice", [True, False], ids=["splice", "copy"])


@pytest.fixture
def lab(shared_lab):
    return shared_lab


@pytest.fixture
def start(lab, proxy, stream_peer):
    """Call it with the only backend's behaviour and its number, and with keys of [proxy]."""
    def start(*behaviour, **keys):
        peer = stream_peer(lab, "b1", *behaviour)
        proxy.start(config.proxy(lab, backend_port=streams.PORT, checked=False, proxy=keys))
        return peer
    return start


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    """Size and CRC of what comes up to the other side's end."""
    size, crc = 0, 0
    while chunk := sock.recv(1 << 18):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
    return size, crc


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, f"closed after {len(data)} bytes"
        data += chunk
    return data


def fill(sock):
    """Send until nothing more is taken; how much it was."""
    sock.settimeout(0.3)
    size = 0
    with pytest.raises(TimeoutError):
        while True:
            size += sock.send(bytes(1 << 18))
    return size


def ends_alone(proxy, end, count=1):
    """All that there were have ended so."""
    proxy.await_end(end, count)
    sessions = proxy.all_ended()
    assert sessions["accepted"] == count and sessions["current"] == 0, sessions
    return True


# --- resets --------------------------------------------------------------------------------------

@pytest.mark.smoke
@pytest.mark.parametrize("behaviour, n_sent, n_read", [
    (("silent",), 0, 0), (("discard",), 1 << 20, 0), (("echo",), 1000, 1000),
    (("source", 1 << 28), 0, 1 << 22)],
    ids=["before it has said anything", "in mid-request", "between request and request",
         "in mid-response"])
def test_a_reset_of_the_client_reaches_the_backend(lab, proxy, start, behaviour, n_sent, n_read):
    peer = start(*behaviour)
    sock = http.connect(lab)
    await_condition(lambda: proxy.server_stats("b1")["total_connections"] == 1, "it is connected")
    sock.sendall(bytes(n_sent))
    read_exactly(sock, n_read)
    reset(sock)
    assert ends_alone(proxy, "client_reset")
    counts = peer.stop()
    assert (counts["accepted"], counts["lost"], counts["closed"]) == (1, 1, 0)


@pytest.mark.smoke
@pytest.mark.parametrize("behaviour, n_sent, n_read", [
    (("reset-after", 1000), 1000, 0), (("reset-after", 100000), 100000, 0),
    (("reset-after", 1000), 999, 999)],
    ids=["early", "in mid-transfer", "between request and request"])
def test_a_reset_of_the_backend_reaches_the_client(lab, proxy, start, behaviour, n_sent, n_read):
    """As a reset: a client must not take what was broken off for the whole."""
    peer = start(*behaviour)
    with pytest.raises(ConnectionResetError):
        with http.connect(lab) as sock:
            sock.sendall(bytes(n_sent))
            read_exactly(sock, n_read)
            if n_read:
                sock.sendall(b"x")
            read_all(sock)
    assert ends_alone(proxy, "backend_reset")
    assert peer.stop()["reset"] == 1


def test_a_backend_that_resets_what_it_accepts(lab, proxy, start):
    """Whether that is seen as a connection or as none depends on how soon the reset comes."""
    start("reset-on-accept")
    with pytest.raises(ConnectionResetError):
        with http.connect(lab) as sock:
            sock.recv(1)
    await_condition(lambda: proxy.sessions()["current"] == 0, "it has ended")
    ends = proxy.all_ended()["ends"]
    assert ends["backend_reset"] + ends["connect_failed"] == 1, ends


def test_an_answer_that_comes_before_the_request_is_over_arrives(lab, proxy, start):
    """A server that refuses an upload answers, and closes with bytes unread: TCP resets."""
    start("close-after", 1000)
    with http.connect(lab) as sock:
        sock.sendall(bytes(1000))
        assert len(read_exactly(sock, 1000)) == 1000
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                sock.sendall(bytes(1000))
    assert ends_alone(proxy, "backend_reset")


def break_off(lab, proxy, rounds):
    """So many times 50 connections; what the process has when they are gone."""
    for _ in range(rounds):
        socks = [http.connect(lab) for _ in range(50)]
        for sock in socks[::2]:
            sock.recv(1)
        for sock in socks:
            reset(sock)
    await_condition(lambda: proxy.sessions()["current"] == 0, "all have ended")
    return proxy.n_descriptors(), proxy.resident_kib()


def test_many_that_break_off_leave_nothing(lab, proxy, start):
    start("source", 1 << 24, max_connections=64)
    _, memory = break_off(lab, proxy, 5)  # buffers and pipes for so many at once are kept
    n_descriptors, memory_at_last = break_off(lab, proxy, 20)
    assert proxy.all_ended()["accepted"] == 25 * 50
    assert n_descriptors < 64
    assert memory_at_last < memory + 50 * HELD_KIB + SETTLED_KIB


def test_a_reset_of_the_client_ends_what_the_backend_does_not_take(lab, proxy, start):
    """Nobody waits for it: it must not be held until the backend has read it, or idle_timeout."""
    peer = start("slow", 1000)
    with http.connect(lab) as sock:
        assert fill(sock) > 1 << 18
        reset(sock)
    assert ends_alone(proxy, "client_reset")
    assert peer.stop()["lost"] == 1


# --- silence -------------------------------------------------------------------------------------

@contextlib.contextmanager
def ended_after(least):
    """The block takes at least so many seconds, and ends in a reset."""
    begin = time.monotonic()
    with pytest.raises(ConnectionResetError):
        yield
    assert time.monotonic() - begin > least


@pytest.mark.smoke
def test_a_backend_that_never_answers_is_given_up(lab, proxy, start):
    start("silent", idle_timeout=0.5)
    with http.connect(lab) as sock:
        sock.sendall(b"hello?")
        with ended_after(0.5):
            sock.recv(1)
    assert ends_alone(proxy, "idle_timeout")


def test_a_client_that_has_said_its_end_waits_for_the_backend(lab, proxy, start):
    """It owes nothing; its silence is not the client's."""
    start("silent", client_timeout=0.3, idle_timeout=1)
    with http.connect(lab) as sock:
        sock.shutdown(socket.SHUT_WR)
        with ended_after(1):
            sock.recv(1)
    assert ends_alone(proxy, "idle_timeout")


def test_a_client_that_does_not_take_its_answer_is_given_up(lab, proxy, start):
    start("source", 1 << 26, client_timeout=0.5)
    with http.connect(lab, receive_buffer=1 << 16) as sock:
        proxy.await_end("client_timeout")
        with pytest.raises(ConnectionResetError):
            read_all(sock)
    assert ends_alone(proxy, "client_timeout")


def test_a_client_that_does_not_end_after_the_backend_is_given_up(lab, proxy, start):
    start("half-close", client_timeout=0.5)
    with http.connect(lab) as sock:
        assert sock.recv(1) == b""
        proxy.await_end("client_timeout")
    assert ends_alone(proxy, "client_timeout")


def test_whoever_says_a_little_now_and_then_is_not_idle(lab, proxy, start):
    start("echo", idle_timeout=0.6, client_timeout=0.6)
    with http.connect(lab) as sock:
        for _ in range(6):
            time.sleep(0.3)  # what is tested is time
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
    assert ends_alone(proxy, "completed")


def test_a_backend_that_vanishes_in_mid_transfer_is_a_reset(make_lab, make_proxy, stream_peer):
    """Nothing comes from it any more, not even a refusal: health has to notice."""
    lab = make_lab(backends=1)
    proxy = make_proxy(lab)
    stream_peer(lab, "b1", "source", 1 << 30)
    proxy.start(config.proxy(lab, backend_port=streams.PORT))
    proxy.await_backend("b1", port=streams.PORT)
    with http.connect(lab) as sock:
        read_exactly(sock, 1 << 20)
        lab.silence("b1")
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            read_all(sock)
        assert time.monotonic() - began < 5
    assert ends_alone(proxy, "backend_down")


# --- slowness ------------------------------------------------------------------------------------

@both_ways_of_moving
def test_slow_readers_hold_a_buffer_each(lab, proxy, start, splice):
    count, size = 40, 12 << 20
    start("source", size, splice=splice)
    before = proxy.resident_kib()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(http.connect(lab, receive_buffer=1 << 16))
                 for _ in range(count)]
        last = None

        def is_full():
            nonlocal last
            before, last = last, proxy.stats()["total_bytes_rx"]
            return before == last > 0

        await_condition(is_full, "nothing moves any more", interval=0.2)
        grown = proxy.resident_kib() - before
        print(f"{count} slow readers: {grown} KiB more")
        assert grown < count * HELD_KIB + SETTLED_KIB
        assert last < count * size / 2  # they are slow indeed
        for sock in socks:
            assert read_all(sock) == (size, streams.WHOLE_SOURCE)
    assert ends_alone(proxy, "completed", count)
    assert proxy.stats()["total_bytes_rx"] == count * size


@both_ways_of_moving
def test_a_slow_backend_slows_its_clients(lab, proxy, start, splice):
    count = 20
    start("slow", 100000, splice=splice)
    before = proxy.resident_kib()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(http.connect(lab)) for _ in range(count)]
        sent = []
        http.run_threads(lambda sock: sent.append(fill(sock)), socks)
        grown = proxy.resident_kib() - before
        print(f"{count} writers to a slow backend: {grown} KiB more, {sum(sent)} bytes on the way")
        assert grown < count * HELD_KIB + SETTLED_KIB
        for sock in socks:
            reset(sock)
    assert ends_alone(proxy, "client_reset", count)


# --- half-closed, single bytes -------------------------------------------------------------------

@pytest.mark.smoke
@both_ways_of_moving
def test_defect_18_a_client_that_has_said_its_end_gets_its_answer(lab, proxy, start, splice):
    start("discard", splice=splice)
    data = bytes(range(256)) * 40000
    with http.connect(lab) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = f"{len(data)} {zlib.crc32(data):08x}\n".encode()
        assert read_all(sock) == (len(answer), zlib.crc32(answer))
    assert ends_alone(proxy, "completed")
    stats = proxy.stats()
    assert (stats["total_bytes_tx"], stats["total_bytes_rx"]) == (len(data), len(answer))


@pytest.mark.smoke
@both_ways_of_moving
def test_defect_18_a_backend_that_has_said_its_end_goes_on_reading(lab, proxy, start, splice):
    peer = start("half-close", splice=splice)
    size = 10 << 20
    with http.connect(lab) as sock:
        assert sock.recv(1) == b""
        sock.sendall(bytes(size))
        sock.shutdown(socket.SHUT_WR)
        assert peer.line() == f"received {size}"
    assert ends_alone(proxy, "completed")
    assert peer.stop()["closed"] == 1


def test_both_may_end_without_a_word(lab, proxy, start):
    start("half-close")
    with http.connect(lab) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert ends_alone(proxy, "completed")


def test_single_bytes_both_ways(lab, proxy, start, stream_load):
    start("one-byte")
    with http.connect(lab) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in range(256):
            sock.sendall(bytes([byte]))
        assert read_exactly(sock, 256) == bytes(range(256))
    report = stream_load(lab, VIP, 20, port=80, seconds=1, max_message=2000).finish()
    assert report["completed"] == report["tried"], report
    assert proxy.all_ended()["ends"]["completed"] == report["tried"] + 1


@pytest.mark.smoke
@both_ways_of_moving
def test_what_is_echoed_is_what_was_sent(lab, proxy, start, stream_load, splice):
    peer = start("echo", splice=splice)
    report = stream_load(lab, VIP, 50, port=80, seconds=2, max_message=3000000,
                         max_pause_ms=5).finish()
    assert report["completed"] == report["tried"] >= 50, report
    sessions = proxy.all_ended()
    assert sessions["accepted"] == sessions["ends"]["completed"] == report["tried"]
    stats, counts = proxy.stats(), peer.stop()
    assert stats["total_bytes_tx"] == counts["received"] == report["sent"]
    assert stats["total_bytes_rx"] == counts["sent"] == report["received"]
