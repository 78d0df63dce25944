# SPDX-License-Identifier: Apache-2.0
"""The command `culvert doctor` itself: who may ask, how it answers, and how it ends."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from harness import config
from harness.doctor import backend
from harness.wait import await_condition
from test_doctor import make_doctor, one_arm  # fixtures


@pytest.fixture
def public_directory():
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def test_any_user_can_look_and_is_told_what_could_not_be_seen(
        one_arm, make_doctor, public_directory):
    doctor = make_doctor(one_arm)
    doctor.culvert.directory = public_directory
    wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    report = doctor.look(config.passthrough(one_arm), wrapper=wrapper)
    assert [(fault.name, fault.status) for fault in report.faults()] == [
        ("capabilities", "error"), ("paths", "warning"), ("kernel", "skipped"), ("firewall", "skipped")]
    assert len([finding for finding in report.named("backends") if finding.status == "ok"]) == 2


def test_lines_for_people_and_json_for_programs_say_the_same(one_arm, make_doctor):
    doctor, made = make_doctor(one_arm), config.passthrough(one_arm)
    one_arm.stop("b1")
    text = doctor.run(made)
    document = json.loads(doctor.run(made, "--json").stdout)
    assert text.returncode == 1
    assert text.stderr == ""
    assert "\033" not in text.stdout, "no colours but on a terminal"
    errors = [line for line in text.stdout.splitlines() if line.startswith("error")]
    assert len(errors) == document["summary"]["error"] == 1
    assert backend(one_arm, "b1") in errors[0]
    lines = [line for line in doctor.run(made, "--all").stdout.splitlines() if not line.startswith(" ")]
    assert len(lines) == len(document["checks"]) + 1


@pytest.mark.parametrize("args, word", [
    (["--wrong"], "wrong"),
    (["--dsr", "--proxy"], "one of"),
    (["--check-source=nobody"], "address"),
    (["--check-source=0.0.0.0"], "a client can have"),
    (["behind"], "no arguments"),
])
def test_a_bad_command_line_says_so(one_arm, make_doctor, args, word):
    result = make_doctor(one_arm).run(config.passthrough(one_arm), *args)
    assert result.returncode == 2
    assert word in result.stderr and "--help" in result.stderr


def test_a_bad_file_is_named_with_line_and_column(one_arm, make_doctor):
    result = make_doctor(one_arm).run("[frontends.web]\nlisten_addr = 5\n")
    assert result.returncode == 2
    assert "culvert.toml:2:" in result.stderr


def test_help_says_what_is_sent(one_arm, make_doctor):
    result = make_doctor(one_arm).run(config.passthrough(one_arm), "--help")
    assert result.returncode == 0
    assert "Nothing is changed" in result.stdout


def test_an_interrupt_ends_it_and_leaves_nothing(one_arm, make_doctor):
    doctor = make_doctor(one_arm)
    one_arm.silence("b1")
    made = config.passthrough(one_arm, backends={"web": {"health_check_timeout": 5}})
    made["backends"]["web"]["health_check_interval"] = 6
    before = one_arm.run("lb", "nft", "list", "ruleset").stdout
    process = one_arm.spawn("lb", *doctor.command(made), stdout=subprocess.DEVNULL)
    # `ip netns exec` becomes the program, which waits for the backend that is not there.
    await_condition(lambda: "SYN-SENT" in one_arm.run("lb", "ss", "-Htan").stdout, "it waits")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT
    assert one_arm.run("lb", "nft", "list", "ruleset").stdout == before
