# SPDX-License-Identifier: Apache-2.0
"""Processor time that a contestant takes.

Two numbers, because packets are work without a process: what the contestant's own processes have used
(user and system), and the time that the whole machine spent in interrupts and soft interrupts
meanwhile. A process that is interrupted by a packet is charged for neither or for both, as the kernel
counts; so the second is shown less what it is without any balancer, for the same work."""

import os
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
IRQ_COLUMNS = slice(6, 8)  # irq and softirq behind "cpu"
NS = 1e9

EXPLANATION = (
    "Processor seconds are the balancer's alone. \"Its processes\" is user and system time of its processes and "
    "threads. \"Interrupts\" is the time that the whole machine spent in hard and soft interrupts during the "
    "measurement, less the median of the same without a balancer, for the same amount of work: forwarding by the "
    "kernel happens there and in no process. Where the line without a balancer was not measured, nothing is "
    "subtracted, and the number is the whole machine's.")


@dataclass
class Used:
    process: float = 0.0  # seconds
    interrupts: float = 0.0


def process_seconds(group):
    """What the processes of a process group have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def interrupt_seconds():
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, fields[IRQ_COLUMNS])) / CLOCK_TICKS


def thread_seconds(pid):
    """To the nanosecond, of a single process: for those that do next to nothing."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / NS


class Meter:
    """with Meter(group) as used: ... fills `used`."""

    def __init__(self, group):
        self.group = group
        self.used = Used()

    def _read(self):
        return Used(process_seconds(self.group) if self.group else 0.0, interrupt_seconds())

    def __enter__(self):
        self.before = self._read()
        return self.used

    def __exit__(self, *_):
        after = self._read()
        self.used.process = after.process - self.before.process
        self.used.interrupts = after.interrupts - self.before.interrupts
