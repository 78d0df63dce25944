# SPDX-License-Identifier: Apache-2.0
"""What health checks of a lab's backends ask, answered as the test likes."""

import contextlib
import socket
import threading


class CheckServer:
    """HTTP on a port of one of the lab's hosts, from construction until close(). Every answer has
    the status and the body of the moment."""

    def __init__(self, lab, host, port=8081):
        self.status, self.body = 200, "all well"
        self.requests = []
        with lab.inside(host):
            self._listener = socket.create_server(("", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):  # a check resets its connection
                sock.settimeout(5)
                self.requests.append(sock.recv(4096).decode("latin-1"))
                body = self.body.encode()
                sock.sendall(f"HTTP/1.1 {self.status} x\r\nContent-Length: {len(body)}\r\n\r\n"
                             .encode() + body)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
