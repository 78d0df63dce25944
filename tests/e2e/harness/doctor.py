# SPDX-License-Identifier: Apache-2.0
"""`culvert doctor` on the lab's host `lb`, and its report."""

import json
import subprocess
from typing import NamedTuple

from .culvert import BINARY
from .lab import ROOT


class Finding(NamedTuple):
    name: str
    status: str
    subject: str
    found: str
    fix: str


class Report:
    """Of one run. The clock is the machine's, not the lab's: whether it is right is no fault here."""

    def __init__(self, process):
        self.exit = process.returncode
        self.error = process.stderr
        document = json.loads(process.stdout)
        self.summary = document["summary"]
        self.findings = [Finding(**check) for check in document["checks"]]

    def faults(self):
        return [finding for finding in self.findings
                if finding.status != "ok" and finding.name != "clock"]

    def named(self, name):
        return [finding for finding in self.findings if finding.name == name]

    def only_fault(self):
        faults = self.faults()
        assert len(faults) == 1, faults
        return faults[0]


def _prefix(binary):
    return ["setarch", "-R"] if "thread" in binary else []


class Doctor:
    def __init__(self, lab, culvert):
        self.lab, self.culvert = lab, culvert

    def command(self, config, *args, wrapper=()):
        path = self.culvert.write_config(config)
        return [*wrapper, *_prefix(BINARY), BINARY, "doctor", f"--config={path}", *args]

    def run(self, config, *args, wrapper=()):
        """The completed process; the mode is the configuration's."""
        return self.lab.run("lb", *self.command(config, *args, wrapper=wrapper), check=False)

    def look(self, config, *args, wrapper=()):
        return Report(self.run(config, "--json", *args, wrapper=wrapper))

    def mend(self, finding, host="lb"):
        """As an operator would, who pastes the command into a shell."""
        subprocess.run(self.lab.command(host, "bash", "-ec", finding.fix), check=True, cwd=ROOT,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
