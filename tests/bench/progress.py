# SPDX-License-Identifier: Apache-2.0
"""What is going on, and how long it will take: one line that changes on a terminal, else nothing."""

import sys
import time

WIDTH = 78


class Progress:
    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.n_done = 0
        self.started = time.monotonic()

    def show(self, text):
        """Before a step."""
        left = ""
        if self.n_done:
            seconds = (time.monotonic() - self.started) / self.n_done * (self.n_steps - self.n_done)
            left = f", {seconds / 60:.0f} min left" if seconds >= 120 else f", {seconds:.0f} s left"
        self._write(f"{text} ({self.n_done + 1} of {self.n_steps}{left})")
        self.n_done += 1

    def end(self):
        self._write("")

    @staticmethod
    def _write(text):
        if sys.stderr.isatty():
            print(f"\r{text[:WIDTH]:<{WIDTH}}\r", end="", file=sys.stderr, flush=True)
