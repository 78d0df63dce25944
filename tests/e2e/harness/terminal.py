# SPDX-License-Identifier: Apache-2.0
"""A program on a pseudo-terminal, and what its screen shows."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte

from .wait import await_condition


class Terminal:
    """Runs `command`; text() is the screen as it is now."""

    def __init__(self, command, columns=80, rows=24, environment=None):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color", "TZ": "UTC",
                                                 "LC_ALL": "C.UTF-8", **(environment or {})})
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, seconds):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # the program has ended
                time.sleep(0.02)
                return
            if not data:
                return
            self.raw += data
            self.stream.feed(data)
            seconds = 0

    def text(self):
        self._read(0.02)
        return "\n".join(line.rstrip() for line in self.screen.display)

    def line(self, word):
        """The first line with the word; "" when there is none."""
        return next((line for line in self.text().splitlines() if word in line), "")

    def await_text(self, word, timeout=30):
        try:
            await_condition(lambda: word in self.text(), word, timeout)
        except AssertionError:
            raise AssertionError(f"no \"{word}\" on the screen:\n{self.text()}") from None

    def await_gone(self, word, timeout=30):
        await_condition(lambda: word not in self.text(), f"{word} gone", timeout)

    def type(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number):
        os.kill(self.pid, number)

    def is_cooked(self):
        """Whether the terminal echoes and collects lines, as a shell expects it."""
        flags = termios.tcgetattr(self.fd)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def wait(self, timeout=30):
        """The exit status, negative for a signal."""
        def ended():
            self._read(0)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return bool(pid)

        if self.status is None:
            await_condition(ended, "the program has ended", timeout)
            self._read(0)
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = -signal.SIGKILL
        os.close(self.fd)
