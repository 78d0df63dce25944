# SPDX-License-Identifier: Apache-2.0
"""HTTP clients in the lab: sockets of the namespace `client`, driven by threads of the test."""

import collections
import hashlib
import socket
import threading
import time

from .lab import VIP

CHUNK = 1 << 18


def connect(lab, addr=VIP, port=80, timeout=5.0, host="client", source=None, receive_buffer=None):
    with lab.inside(host):
        sock = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
    try:
        sock.settimeout(timeout)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind(source)
        sock.connect((addr, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed within the response's head, after {len(data)} bytes")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), int(headers.get("content-length", 0)), rest


def request(sock, path="/", keep_alive=True):
    """One GET on an open connection; the body, stripped."""
    closing = "" if keep_alive else "Connection: close\r\n"
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n{closing}\r\n".encode())
    status, length, body = _read_head(sock)
    while len(body) < length:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError("closed within the response's body")
        body += chunk
    if status != 200:
        raise ConnectionError(f"status {status}")
    return body.decode().strip()


def get(lab, path="/", **where):
    """One GET on a connection of its own."""
    with connect(lab, **where) as sock:
        return request(sock, path, keep_alive=False)


def outcome(lab, path="/", **where):
    """As get(), with the name of the exception for an answer when there is none."""
    try:
        return get(lab, path, **where)
    except OSError as error:
        return type(error).__name__


def short_connections(lab, count, threads=8, **where):
    """`count` requests on a connection each; who answered how often."""
    answers = collections.Counter()
    lock = threading.Lock()

    def work(share):
        mine = collections.Counter(outcome(lab, **where) for _ in range(share))
        with lock:
            answers.update(mine)

    shares = [count // threads + (i < count % threads) for i in range(threads)]
    run_threads(work, shares)
    return answers


def run_threads(work, arguments):
    """work(argument) for each, all at once; raises the first exception of any."""
    errors = []

    def guarded(argument):
        try:
            work(argument)
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(argument,), daemon=True)
               for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def download(lab, path, rate=None, on_start=None, **where):
    """Size and SHA-256 of a file fetched through the balancer; `rate` in bytes per second.
    on_start() is called once the response has begun."""
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(CHUNK if rate is None else 1 << 14))
    # A slow reader's kernel must not take the whole file at once.
    with connect(lab, receive_buffer=rate and 1 << 16, **where) as sock:
        # Where packets are lost in floods, a sender waits twice as long each time.
        sock.settimeout(60)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".encode())
        status, length, rest = _read_head(sock)
        assert status == 200, f"status {status}"
        if on_start:
            on_start()
        start = time.monotonic()
        digest.update(rest)
        size += len(rest)
        while n := sock.recv_into(buffer):
            digest.update(buffer[:n])
            size += n
            if rate is not None:
                time.sleep(max(0, start + size / rate - time.monotonic()))
    if size != length:
        raise ConnectionError(f"{size} of {length} bytes arrived")
    return size, digest.hexdigest()


def upload(lab, path, source, **where):
    """PUT a file through the balancer."""
    size = source.stat().st_size
    with connect(lab, **where) as sock, open(source, "rb") as file:
        sock.settimeout(20)
        sock.sendall(f"PUT {path} HTTP/1.1\r\nHost: lab\r\nContent-Length: {size}\r\n"
                     "Connection: close\r\n\r\n".encode())
        sock.sendfile(file)
        status, _, _ = _read_head(sock)
        assert status in (201, 204), f"status {status}"


class Traffic:
    """Threads that keep asking until stop(); every outcome with its time of start and end."""

    Sample = collections.namedtuple("Sample", "start end answer")

    def __init__(self, lab, threads=4, **where):
        self.samples = []
        self._lab, self._where = lab, where
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self):
        while not self._stop.is_set():
            start = time.monotonic()
            answer = outcome(self._lab, **self._where)
            self.samples.append(self.Sample(start, time.monotonic(), answer))

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.samples


def answers_of(samples, since=0.0):
    """Who answered the requests that began after `since`."""
    return collections.Counter(sample.answer for sample in samples if sample.start >= since)
