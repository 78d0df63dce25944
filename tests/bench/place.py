# SPDX-License-Identifier: Apache-2.0
"""A lab for one contestant and one row: a client, the balancer's host, two backends on one network.

Every measurement has a lab of its own: the backends' TIME_WAIT entries of one would refuse connections
of the next, which come from the same addresses and ports."""

import itertools
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from cpu import Meter

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "tools" / "lab"
VIP = "10.0.0.1"
LB_ADDR = "10.0.0.2"
BACKENDS = 2
STATS_PORT = 9000  # of a culvert
START_SECONDS = 30
STOP_SECONDS = 10
CHUNK_BYTES = 1 << 20

numbers = itertools.count()


class BenchError(Exception):
    """What went wrong, in words for who started the benchmark."""


class Served:
    """The files that backends serve, made once and held in memory: nobody waits for a disk."""

    def __init__(self, sizes):
        self.sizes = sizes

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix=f"culvert-served-{os.getpid()}-", dir="/dev/shm")
        self.path = Path(self.directory.name)
        self.path.chmod(0o755)
        for size in self.sizes:
            with open(self.path / str(size), "wb") as out:
                for start in range(0, size, CHUNK_BYTES):
                    out.write(bytes(min(CHUNK_BYTES, size - start)))
        return self

    def __exit__(self, *_):
        self.directory.cleanup()


class Place:
    def __init__(self, options, served):
        self.options = options
        self.served = served
        self.name = f"bench{os.getpid()}x{next(numbers)}"
        self.process = None

    def __enter__(self):
        self.files = tempfile.TemporaryDirectory(prefix="culvert-bench-")
        self.path = Path(self.files.name)
        self.path.chmod(0o755)
        (self.path / "lb").mkdir()
        try:
            self._lab("up", "--backends", str(BACKENDS), "--topology", "one-arm", "--direct", "--files",
                      str(self.served.path))
            for host in ("client", "lb", *self.backends()):
                self.run(host, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={self.options.congestion}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left behind
        try:
            self.stop()
            self._lab("down")
            self.files.cleanup()
        finally:
            signal.signal(signal.SIGINT, interrupt)

    def _lab(self, command, *args):
        """One that is interrupted is told so, and waited for: it undoes what it has done."""
        tool = subprocess.Popen([LAB, command, "--name", self.name, *args], text=True, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, start_new_session=True)
        try:
            errors = tool.communicate()[1]
        except BaseException:
            tool.terminate()
            tool.wait()
            raise
        if tool.returncode:
            raise BenchError(f"tools/lab {command} failed: {errors.strip()}")

    def backends(self):
        return [f"b{i + 1}" for i in range(BACKENDS)]

    def backend_addr(self, host):
        return f"10.0.0.{100 + int(host[1:])}"

    def command(self, host, *args):
        return ["ip", "netns", "exec", f"cv-{self.name}-{host}", *map(str, args)]

    def run(self, host, *args, stdin=None):
        """What the command prints."""
        done = subprocess.run(self.command(host, *args), check=False, text=True, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise BenchError(f"{' '.join(map(str, args))} on {host} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def write(self, name, text):
        """A file of the balancer's, in a directory where nobody else writes: a culvert watches that of its own."""
        path = self.path / "lb" / name
        path.write_text(text)
        return str(path)

    def mac(self, host):
        return self.run(host, "cat", "/sys/class/net/eth0/address").strip()

    def frames_in(self):
        """Frames that have reached the backends."""
        return sum(int(self.run(host, "cat", "/sys/class/net/eth0/statistics/rx_packets"))
                   for host in self.backends())

    # ---- the contestant ----

    def start(self, command, is_ready):
        """Start the contestant on the balancer's host; is_ready(place) says when it forwards."""
        if command:
            with open(self.path / "log", "wb") as log:
                self.process = subprocess.Popen(self.command("lb", *command), stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(self):
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                raise BenchError(f"{' '.join(map(str, command or ['the kernel']))} did not come up:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        path = self.path / "log"
        return path.read_text() if path.exists() else ""

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def answers_http(self):
        return subprocess.run(self.command("client", "curl", "-s", "-o", "/dev/null", "-m", "1", f"http://{VIP}/"),
                              check=False).returncode == 0

    def meter(self):
        return Meter(self.process.pid if self.process else None)
