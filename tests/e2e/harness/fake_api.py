# SPDX-License-Identifier: Apache-2.0
"""A culvert that is not there: canned answers of the API on a Unix socket, for tests of culvertctl
that need answers which a real one gives seldom."""

import http.server
import json
import os
import socketserver
import subprocess
import threading
import urllib.parse

from .culvert import BINARY

CTL = os.path.abspath(os.environ.get("CULVERTCTL", os.path.join(os.path.dirname(BINARY), "culvertctl")))

STATUS = {
    "version": "9.9.9", "mode": "passthrough", "pid": 4242, "started": "2026-11-21T09:00:00.000Z",
    "uptime": 7500, "state": "ready",
    "config": {"path": "/etc/culvert/culvert.toml", "loaded": "2026-11-21T09:00:00.000Z",
               "generation": 3,
               "last_reload": {"time": "2026-11-21T10:00:00.000Z", "result": "refused",
                               "cause": "file", "summary": "the file has 1 error",
                               "errors": ["/etc/culvert/culvert.toml:3:1: bad"]}},
    "threads": 3, "flows": {"current": 12304, "capacity": 1048576, "fast_path": 9812}, "frontends": 1,
    "backends": {"total": 3, "up": 2, "down": 1, "unknown": 0, "drain": 0, "maint": 0, "removed": 0},
    "pools_in_panic": [],
}


def backend(name, pool="web", **changes):
    result = {
        "name": f"{pool}/{name}", "pool": pool, "server": name, "address": "10.0.0.101:80",
        "state": "ready", "health": "up", "health_reason": "", "health_since": "2026-11-21T09:00:00.000Z",
        "weight": {"configured": 1, "set": None, "effective": 1}, "share": 0.5,
        "connections": {"current": 12, "total": 1204}, "bytes": {"rx": 34000000, "tx": 1200000},
        "packets": 4000,
        "hop": {"state": "ready", "interface": "eth1", "mac": "02:00:00:00:00:01", "source": "10.0.0.2"},
    }
    result.update(changes)
    return result


BACKENDS = {
    "backends": [
        backend("b1"),
        backend("b2", health="down", health_reason="connection refused", share=0,
                address="[2001:db8::102]:80"),
        backend("b3", weight={"configured": 2, "set": 5, "effective": 5}, state="drain"),
        backend("m1", pool="mail", connections={"current": 0, "total": 7}),
    ],
    "pools": [
        {"name": "web", "up": 2, "total": 3, "in_panic": True, "frontends": ["web"]},
        {"name": "mail", "up": 1, "total": 1, "in_panic": False, "frontends": ["mail"]},
    ],
}

FRONTENDS = {"frontends": [
    {"name": "web", "protocol": "tcp", "address": "10.0.0.1:80", "pool": "web", "scheduler": "maglev",
     "state": "active", "connections": {"current": 24, "total": 3612},
     "bytes": {"rx": 102000000, "tx": 3600000}, "packets": {"rx": 70000, "tx": 40000}},
    {"name": "mail", "protocol": "tcp", "address": "10.0.0.1:25", "pool": "mail",
     "scheduler": "least_connections", "state": "active", "connections": {"current": 0, "total": 7},
     "bytes": {"rx": 100, "tx": 100}, "packets": {"rx": 7, "tx": 7}},
]}

STATS = {
    "total_connections": 3619, "current_connections": 24, "total_bytes_tx": 3600100,
    "total_bytes_rx": 102000100,
    "frontends": {"web": {"total_connections": 3612, "current_connections": 24, "bytes_tx": 3600000,
                          "bytes_rx": 102000000}},
    "backends": {"web": {"total_connections": 3612, "current_connections": 24, "bytes_tx": 3600000,
                         "bytes_rx": 102000000,
                         "servers": {"10.0.0.101:80": True, "10.0.0.102:80": False}}},
    "packets": {"received": 110000, "forwarded": 109500, "passed": 300, "dropped": 200},
    "fast_path": {"flows": 9812, "packets": 87600},
}

DROPS = {"received": 110000, "forwarded": 109500, "fast_path": 87600, "passed": 300, "drops": [
    {"reason": "flow_table_full", "text": "every flow is in use", "count": 200},
    {"reason": "bad_checksum", "text": "the checksum is wrong", "count": 0},
]}

FLOWS = {"flows": [
    {"protocol": "tcp", "client": "192.0.2.7:40000", "frontend": "web", "backend": "web/b1",
     "state": "established", "fast_path": True, "nat": "10.0.0.2:33768", "idle": 3, "expires_in": 7437,
     "bytes": {"rx": 5000, "tx": 600}},
], "n_matched": 250, "is_complete": True}

EVENTS = {"events": [
    {"time": "2026-11-21T10:00:02.000Z", "kind": "health", "level": "warn", "subject": "web/b2",
     "text": "down: connection refused"},
    {"time": "2026-11-21T10:00:01.000Z", "kind": "start", "level": "info", "subject": "",
     "text": "ready"},
]}

EXPLAIN = {
    "frontend": "web", "pool": "web", "scheduler": "maglev", "hash": "0x1f2e", "slot": 4711,
    "flow": None, "backend": "web/b3", "candidates": ["web/b1", "web/b3"],
    "skipped": [{"backend": "web/b2", "reason": "down"}],
    "hop": {"state": "ready", "interface": "eth1", "mac": "02:00:00:00:00:03", "source": "10.0.0.2"},
    "verdict": "forwarded", "steps": ["The frontend web listens there.", "The slot names web/b2."],
}

PLAN = {
    "changes": [
        {"change": "added", "what": "backend", "name": "web/b4", "detail": "10.0.0.104:80"},
        {"change": "removed", "what": "backend", "name": "web/b1", "detail": ""},
        {"change": "changed", "what": "frontend", "name": "web", "detail": "scheduler: maglev to round_robin"},
    ],
    "slots": {"moved": 32768, "total": 65537}, "flows_touched": 1204,
    "needs_restart": [], "disruption": 0.49998, "max_disruption": 1,
}

PCAP = (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
        + 3 * (bytes.fromhex("00000000000000000400000004000000") + b"abcd"))

ANSWERS = {
    "GET /api/v1/status": STATUS,
    "GET /api/v1/backends": BACKENDS,
    "GET /api/v1/frontends": FRONTENDS,
    "GET /api/v1/drops": DROPS,
    "GET /api/v1/flows": FLOWS,
    "GET /api/v1/events": EVENTS,
    "GET /api/v1/explain": EXPLAIN,
    "GET /api/v1/config": {"mode": "passthrough", "share": 0.1},
    "GET /stats": STATS,
    "GET /readyz": (200, b"ready\n"),
    "GET /api/v1/drops/flow_table_full/sample": (200, PCAP),
    "POST /api/v1/reload": {"result": "ok", "plan": PLAN},
    "POST /api/v1/servers/web%2Fb1/state": backend("b1", state="drain", share=0),
    "POST /api/v1/servers/web%2Fb1/weight": backend("b1", weight={"configured": 1, "set": 7, "effective": 7}),
}


def error(status, message, **more):
    return status, {"error": {"message": message}, **more}


class FakeApi(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers by `answers`: "METHOD /path" to an object (status 200), to (status, object or bytes), or
    to a function that gets the handler and does as it likes. `requests` has what came: method, path,
    query, body."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path):
        self.path = str(path)
        self.answers = dict(ANSWERS)
        self.requests = []
        super().__init__(self.path, _Handler)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that leaves early is what some tests are about."""

    def stop(self):
        self.shutdown()
        self.server_close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def run(self, *args, environment=None, timeout=60, **options):
        """culvertctl, to its end."""
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8", **(environment or {})},
                              check=False, **options)

    def command(self, *args):
        return [CTL, f"--socket={self.path}", *map(str, args)]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def address_string(self):
        return "unix"

    def do_GET(self):
        self._answer("GET", None)

    def do_POST(self):
        self._answer("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, method, body):
        path, _, query = self.path.partition("?")
        self.server.requests.append((method, path, dict(urllib.parse.parse_qsl(query)),
                                     json.loads(body) if body else None))
        answer = self.server.answers.get(f"{method} {path}", error(404, f"there is no {path}"))
        if callable(answer):
            self.close_connection = True
            answer(self)
            return
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        self.reply(status, content)

    def reply(self, status, content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
