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
                if finding.status not in ("ok", "note") and finding.name != "clock"]

    def notes(self):
        return [finding for finding in self.findings if finding.status == "note"]

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


# --- what several files of tests say -----------------------------------------------------------------


def sysctl(lab, key, value, host="lb"):
    lab.run(host, "sysctl", "-qw", f"{key}={value}")


def nft(lab, script):
    lab.run("lb", "nft", "-f", "-", input=script)


def backend(lab, host):
    return f"web/{host} {lab.backend_addr(host)}:80"


def find_and_mend(doctor, made, name, status, subject, word, args=()):
    """One fault and no other; gone when its command has been run."""
    report = doctor.look(made, *args)
    fault = report.only_fault()
    assert (fault.name, fault.status, fault.subject) == (name, status, subject), fault
    assert word in fault.found, fault
    assert report.exit == (1 if status == "error" else 0)
    doctor.mend(fault)
    assert doctor.look(made, *args).faults() == []
    return fault
