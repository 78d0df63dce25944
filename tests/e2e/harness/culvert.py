# SPDX-License-Identifier: Apache-2.0
"""The program under test, running on the lab's host `lb`."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from .config import STATS_PORT, to_toml, with_environment
from .lab import ROOT, endpoint
from .wait import await_condition

BINARY = os.path.abspath(os.environ.get("CULVERT", ROOT / "build" / "culvert"))

SANITIZER_MARKS = ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", "LeakSanitizer",
                   "runtime error:", "FATAL: ThreadSanitizer")

# A sanitizer build starts and checks more slowly, above all on a busy machine.
READY_TIMEOUT = 30

# Seconds after which packets that the kernel has forwarded are surely counted.
FAST_PATH_LATE = 1.5


class Culvert:
    """A process, from start() to stop(). A test that ends it in another way calls forget()."""

    def __init__(self, lab, directory, binary=BINARY):
        self.lab = lab
        self.directory = pathlib.Path(directory)
        self.binary = str(binary)
        self.process = None
        self.mode = None
        self.starts = 0

    def start(self, config, *args, await_ready=True, wrapper=()):
        """`config` is a dictionary, or the text of a TOML file. `wrapper` is the start of a command
        line that goes on with the program's."""
        assert self.process is None
        self.starts += 1
        self.mode = self.mode_of(config)
        path = self.write_config(config)
        self.log_path = self.directory / f"culvert.{self.starts}.log"
        with open(self.log_path, "wb") as log:
            self.process = self.lab.spawn(
                "lb", *wrapper, *self.prefix(), self.binary, *self.mode_flags(), "--config", path, *args,
                stdout=log, stderr=log)
        if await_ready:
            await_condition(self._ready_or_dead, "a line with \"ready\" in the log", READY_TIMEOUT)
            status = self.process.poll()
            if status is not None:
                self.process = None
                raise AssertionError(f"ended with {status}:\n{self.log()}")
        return self

    def mode_of(self, config):
        return config.get("mode", "passthrough") if isinstance(config, dict) else "passthrough"

    def mode_flags(self):
        return [f"--{self.mode}"]

    def prefix(self):
        """ThreadSanitizer's shadow memory and the kernel's address randomisation do not agree."""
        return ["setarch", "-R"] if "thread" in self.binary else []

    def config_text(self, config):
        """A dictionary as a file. Labs share the file system, and so the default socket."""
        return to_toml({**with_environment(config), "api": {"socket": self.socket_path(), **config.get("api", {})}})

    def write_config(self, config):
        path = self.directory / "culvert.toml"
        path.write_text(self.config_text(config) if isinstance(config, dict) else config)
        return path

    def socket_path(self):
        return str(self.directory / "api.sock")

    def run(self, *args, timeout=30):
        """Run the program to its end on `lb`; no need for start()."""
        return self.lab.run("lb", *self.prefix(), self.binary, *args, check=False, timeout=timeout)

    def _ready_or_dead(self):
        return self.process.poll() is not None or "ready: " in self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self, word):
        return [line for line in self.log().splitlines() if word in line]

    # --- statistics ----------------------------------------------------------------------------

    def stats(self):
        with self.lab.inside("lb"):
            sock = socket.create_connection(("127.0.0.1", STATS_PORT), timeout=10)
        connection = http.client.HTTPConnection("127.0.0.1", STATS_PORT)
        connection.sock = sock
        try:
            connection.request("GET", "/stats")
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())
        finally:
            connection.close()

    def is_up(self, host, pool="web", port=80, family=4):
        key = endpoint(self.lab.backend_addr(host, family), port)
        return self.stats()["backends"][pool]["servers"][key]

    def await_backend(self, host, is_up=True, timeout=10, **where):
        await_condition(lambda: self.is_up(host, **where) == is_up,
                        f"{host} is {'up' if is_up else 'down'}", timeout)

    def await_all_up(self, **where):
        for host in self.lab.backend_names():
            self.await_backend(host, **where)

    def ledger(self):
        """The packet counters once nothing moves, checked to balance."""
        last, since = None, 0

        def quiet():
            nonlocal last, since
            stats = self.stats()
            if stats["packets"] != last:
                last, since = stats["packets"], time.monotonic()
                return False
            return time.monotonic() - since >= (FAST_PATH_LATE if stats["fast_path"]["flows"] else 0)

        await_condition(quiet, "no more packets", timeout=20, interval=0.2)
        stats = self.stats()
        packets = stats["packets"]
        ends = packets["forwarded"] + packets["passed"] + packets["dropped"] + packets["held"]
        assert packets["received"] == ends, f"the ledger does not balance: {stats}"
        assert packets["dropped"] == sum(stats["drops"].values()), stats
        return packets

    # --- the end -------------------------------------------------------------------------------

    def assert_log_clean(self):
        log = self.log()
        for mark in SANITIZER_MARKS:
            assert mark not in log, f"{mark}:\n{log[-20000:]}"

    def stop(self):
        """End it as an operator would, and look at what it leaves."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"SIGTERM did not end it:\n{self.log()[-5000:]}") from None
        self.assert_log_clean()
        assert status == 0, f"exit status {status}:\n{self.log()[-5000:]}"

    def kill(self):
        """As a crash would end it."""
        process, self.process = self.process, None
        process.kill()
        process.wait(timeout=20)

    def forget(self):
        """The test has ended the process itself. Returns it."""
        process, self.process = self.process, None
        return process

    def refusal(self, config, *args, wrapper=()):
        """Start it to be refused: exit status and log."""
        self.start(config, *args, await_ready=False, wrapper=wrapper)
        return self.await_exit(), self.log()

    def await_exit(self, timeout=20):
        """The exit status of a process that ends by itself, or has been told to."""
        process = self.forget()
        try:
            return process.wait(timeout=timeout)
        finally:
            process.kill()
            process.wait()
