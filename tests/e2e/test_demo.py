# SPDX-License-Identifier: Apache-2.0
"""The demo is the first thing a newcomer runs."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from harness.culvert import BINARY
from harness.lab import ROOT

DEMO = str(ROOT / "tools" / "demo")


def run_demo(mode="passthrough", interrupt_after=None):
    process = subprocess.Popen([DEMO], env={**os.environ, "CULVERT": BINARY, "MODE": mode}, text=True,
                               start_new_session=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if interrupt_after is not None:
        time.sleep(interrupt_after)  # the moment is arbitrary on purpose
        os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=90)
    return process, output


def remains(process):
    """The demo's lab is named after its process."""
    return [*pathlib.Path("/run/netns").glob(f"cv-demo{process.pid}-*"),
            *pathlib.Path("/run/culvert-lab").glob(f"demo{process.pid}")]


@pytest.mark.parametrize("mode", ["passthrough", "dsr", "proxy"])
def test_demo_goes_as_it_says(mode):
    process, output = run_demo(mode)
    assert process.returncode == 0, output
    assert "WRONG" not in output
    assert "nothing is left behind" in output
    assert "\x1b" not in output  # no colours where there is no terminal
    assert remains(process) == []


@pytest.mark.parametrize("delay", [0.5, 2.5])
def test_an_interrupted_demo_leaves_nothing(delay):
    process, output = run_demo(interrupt_after=delay)
    assert process.returncode == 130, output
    assert remains(process) == []


INTERRUPT_BEFORE_TARGETS = """
if [[ $0 == */tools/demo ]]; then
	unset BASH_ENV
	set -T
	trap 'if [[ $BASH_COMMAND == "targets=(\\"-"* ]]; then trap - DEBUG; kill -INT $$; fi' DEBUG
fi
"""


def steps_of(process):
    """Process groups of the demo's steps, which are named after it, too."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if f"demo{process.pid}".encode() in words:
                found.add(os.getpgid(int(entry.name)))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def test_a_demo_that_is_interrupted_before_it_knows_its_steps_ends_them(tmp_path):
    hook = tmp_path / "hook.sh"
    hook.write_text(INTERRUPT_BEFORE_TARGETS)
    process = subprocess.Popen([DEMO], env={**os.environ, "CULVERT": BINARY, "BASH_ENV": str(hook)},
                               start_new_session=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    code = process.wait(timeout=90)
    left = steps_of(process)
    for group in left:
        os.killpg(group, signal.SIGKILL)
    if left or remains(process):
        subprocess.run([ROOT / "tools" / "lab", "down", "--name", f"demo{process.pid}"], check=False)
    assert code == 130
    assert left == set()
    assert remains(process) == []
