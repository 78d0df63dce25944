# SPDX-License-Identifier: Apache-2.0
"""Streams of bytes in the lab: stream_peer serves them, stream_load opens them. What both do is
said in tests/support."""

import collections
import json
import signal
import subprocess
import tempfile

from .wait import await_condition

PORT = 7000
WHOLE_SOURCE = 0x2144df1c  # zlib.crc32() of all that a source has sent

Failure = collections.namedtuple("Failure", "time kind text")  # time.time()


class Peer:
    """A server on one of the lab's hosts, from construction until stop() or kill()."""

    def __init__(self, lab, program, host, behaviour, number=None, addr=None, port=PORT):
        addr = addr or lab.backend_addr(host)
        arguments = [] if number is None else [number]
        self.process = lab.spawn(host, program, f"{addr}:{port}", behaviour, *arguments,
                                 stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.kill()
            raise AssertionError(f"stream_peer said {line!r}")

    def line(self):
        """The next that it prints."""
        return self.process.stdout.readline().rstrip("\n")

    def stop(self):
        """What it has counted."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0
        counts = json.loads(output.splitlines()[-1])
        ends = counts["closed"] + counts["reset"] + counts["lost"] + counts["open"]
        assert counts["accepted"] == ends, counts
        return counts

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Load:
    """Connections from one of the lab's hosts, until finish() or kill(). Options as those of the
    program: max_pause_ms=5 is --max-pause-ms 5, idle=True is --idle."""

    def __init__(self, lab, program, addr, connections, *, port=PORT, host="client", **options):
        arguments = ["--dst", f"{addr}:{port}", "--connections", connections]
        for name, value in options.items():
            arguments.append("--" + name.replace("_", "-"))
            if value is not True:
                arguments.append(value)
        # Not a pipe: nobody reads it before the end. The place where who reads it is, is the
        # program's as well, which therefore appends.
        self._errors = tempfile.TemporaryFile("a+")
        self.process = lab.spawn(host, program, *arguments, stdout=subprocess.PIPE,
                                 stderr=self._errors, text=True)

    def failures(self):
        """Those so far."""
        self._errors.seek(0)
        return [Failure(int(ms) / 1000, kind, text) for ms, kind, text in
                (line.rstrip("\n").split(" ", 2) for line in self._errors)]

    def await_failure(self, kind, timeout=10):
        return await_condition(lambda: [failure for failure in self.failures()
                                        if failure.kind == kind], f"{kind}", timeout)[0]

    def n_open(self):
        """How many connections are held, once all have been tried."""
        word, number = self.process.stdout.readline().split()
        assert word == "open"
        return int(number)

    def end(self):
        """Let it come to its end now."""
        self.process.send_signal(signal.SIGTERM)

    def finish(self, timeout=60):
        """What it has counted at its end."""
        output, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, self.failures()
        report = json.loads(output.splitlines()[-1])
        assert report["tried"] == report["completed"] + sum(report["failed"].values()), report
        assert sum(report["failed"].values()) == len(self.failures()), report
        return report

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()
        self._errors.close()
