# SPDX-License-Identifier: Apache-2.0
"""Large transfers over plain TCP between hosts of the lab, in either family, compared by SHA-256. Both
ends are threads of the test; whoever sends has "don't fragment" set, as TCP does."""

import contextlib
import hashlib
import os
import socket
import threading

from . import http

PIECE = 1 << 20
SECONDS = 100  # that an end waits for the other


def _pieces(size):
    seed = os.urandom(PIECE)
    for offset in range(0, size, PIECE):
        yield (offset.to_bytes(8, "big") + seed)[:min(PIECE, size - offset)]


def send(sock, size):
    """SHA-256 of what has been sent; that side of the stream is over then."""
    digest = hashlib.sha256()
    for piece in _pieces(size):
        sock.sendall(piece)
        digest.update(piece)
    sock.shutdown(socket.SHUT_WR)
    return digest.digest()


def receive(sock):
    """(size, SHA-256) of all that comes."""
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(PIECE))
    while n := sock.recv_into(buffer):
        digest.update(buffer[:n])
        size += n
    return size, digest.digest()


class Server:
    """On a host: the first byte of a connection asks for an upload or a download of `size` bytes. An
    upload is answered with its digest, a download ends with one."""

    def __init__(self, lab, host, port, size):
        self.size = size
        with lab.inside(host):
            self.sock = socket.socket(socket.AF_INET6)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.sock.bind(("::", port))
        self.sock.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self.sock.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, sock):
        # A health check connects and says nothing.
        with sock, contextlib.suppress(OSError):
            sock.settimeout(SECONDS)
            wish = sock.recv(1)
            if wish == b"U":
                sock.sendall(receive(sock)[1])
            elif wish == b"D":
                digest = hashlib.sha256()
                for piece in _pieces(self.size):
                    sock.sendall(piece)
                    digest.update(piece)
                sock.sendall(digest.digest())

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def upload(lab, addr, port, size):
    with http.connect(lab, addr, port) as sock:
        sock.settimeout(SECONDS)
        sock.sendall(b"U")
        digest = send(sock, size)
        answer = b""
        while piece := sock.recv(64):
            answer += piece
    assert answer == digest


def download(lab, addr, port, size):
    """What has come ends with its own digest."""
    digest, got, tail = hashlib.sha256(), 0, b""
    with http.connect(lab, addr, port) as sock:
        sock.settimeout(SECONDS)
        sock.sendall(b"D")
        while piece := sock.recv(PIECE):
            tail += piece
            digest.update(tail[:-32])
            got += max(0, len(tail) - 32)
            tail = tail[-32:]
    assert got == size
    assert tail == digest.digest()
