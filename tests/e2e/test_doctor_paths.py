# SPDX-License-Identifier: Apache-2.0
"""culvert doctor and the places where culvert makes files and sockets: what it finds is what culvert meets."""

import os
import pathlib
import pwd
import shutil
import socket
import tempfile

import pytest

from harness import config
from harness.doctor import Doctor

USER = "nobody"


@pytest.fixture
def place():
    """A directory that every user gets into; pytest's own is root's alone."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def doctor(make_lab, make_proxy):
    lab = make_lab(backends=1)
    return Doctor(lab, make_proxy(lab))


def settings(doctor, **overrides):
    return config.proxy(doctor.lab, **{"proxy": {"max_connections": 50}, **overrides})


def give(path, user=USER):
    shutil.chown(path, user)
    return path


def assert_well(doctor, made):
    report = doctor.look(made)
    assert report.faults() == []
    return report.named("paths")


# --- the flow log ------------------------------------------------------------------------------------


def no_directory(place):
    return place / "a" / "log"


def directory_of_root(place):
    (place / "log").mkdir()
    return place / "log"


def file_of_root(place):
    give(directory_of_root(place)).joinpath("flows.log").touch(0o640)
    return place / "log"


@pytest.mark.parametrize("spoil, found", [
    (no_directory, "there is no directory"),
    (directory_of_root, f"user {USER} may not write in"),
    (file_of_root, f"user {USER} may not write to it"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_flow_log_that_the_user_may_not_write(doctor, place, spoil, found):
    made = settings(doctor, service={"user": USER}, api={"socket": "off"},
                    flow_log={"path": str(spoil(place) / "flows.log")})
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status) == ("paths", "error")
    assert fault.subject.endswith("/flows.log") and fault.found.startswith(found), fault
    status, log = doctor.culvert.refusal(made)
    assert status == 1 and "[flow_log] path: cannot open" in log
    doctor.mend(fault)
    assert [finding.status for finding in assert_well(doctor, made)] == ["ok"]
    doctor.culvert.start(made)


def test_a_directory_of_others_is_not_given_away(doctor, place):
    log = directory_of_root(place)
    (log / "syslog").touch()
    made = settings(doctor, service={"user": USER}, api={"socket": "off"}, flow_log={"path": str(log / "flows.log")})
    fault = doctor.look(made).only_fault()
    assert fault.found == f"user {USER} may not write in {log}" and "chown" not in fault.fix, fault
    doctor.mend(fault)
    assert log.owner() == "root" and "let [flow_log] path be there" in fault.fix
    made["flow_log"]["path"] = str(log / "culvert" / "flows.log")
    assert_well(doctor, made)
    doctor.culvert.start(made)


@pytest.mark.parametrize("spoil, found", [
    (lambda place: place.joinpath("flows.log").mkdir() or place, "this is a directory"),
    (lambda place: place.joinpath("log").touch() or place / "log", "Not a directory"),
    (lambda place: give(directory_of_root(place)).parent.chmod(0o700) or place / "log", f"keeps user {USER} out"),
], ids=["is-a-directory", "is-below-a-file", "is-out-of-reach"])
def test_a_flow_log_that_can_be_nowhere_there(doctor, place, spoil, found):
    made = settings(doctor, service={"user": USER}, api={"socket": "off"},
                    flow_log={"path": str(spoil(place) / "flows.log")})
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status) == ("paths", "error") and found in fault.found, fault
    assert "let [flow_log] path name another path" in fault.fix
    status, log = doctor.culvert.refusal(made)
    assert status == 1 and "[flow_log] path: cannot open" in log


def test_directories_that_culvert_makes_are_no_fault(doctor, place):
    made = settings(doctor, service={"user": USER}, api={"socket": str(place / "run" / "api.sock")},
                    flow_log={"path": str(place / "log" / "flows.log")})
    findings = assert_well(doctor, made)
    assert [finding.found.split(" /")[0] for finding in findings] == ["culvert makes the directory"] * 2
    assert os.listdir(place) == [], "the doctor has made it"
    doctor.culvert.start(made)
    assert (place / "run" / "api.sock").owner() == (place / "log" / "flows.log").owner() == USER


def test_who_keeps_its_user_makes_no_directory_for_the_flow_log(doctor, place):
    made = settings(doctor, flow_log={"path": str(place / "log" / "flows.log")})
    fault = doctor.look(made).only_fault()
    assert fault.found.startswith("there is no directory")
    assert doctor.culvert.refusal(made)[0] == 1
    doctor.mend(fault)
    doctor.culvert.start(made)


# --- the socket --------------------------------------------------------------------------------------


def test_a_socket_that_another_culvert_has(make_lab, make_culvert, doctor):
    other_lab = make_lab(backends=1)
    other = make_culvert(other_lab).start(config.passthrough(other_lab))
    made = settings(doctor, api={"socket": other.socket_path()})
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("paths", "warning", f"socket {other.socket_path()}")
    assert f"culvert (process {other.process.pid}) has it" in fault.found
    assert "let [api] socket name another path" in fault.fix
    assert doctor.look(made).exit == 0, "culvert starts all the same"


def test_what_is_no_socket_and_what_is_left_of_one(doctor, place):
    path = place / "api.sock"
    made = settings(doctor, api={"socket": str(path)})
    path.touch()
    assert doctor.look(made).only_fault().found == "something else is there"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    assert_well(doctor, made)
    assert path.is_socket(), "the doctor has removed it"


def test_a_socket_in_the_directory_of_somebody_else(doctor, place):
    made = settings(doctor, service={"user": USER}, api={"socket": str(directory_of_root(place) / "api.sock")})
    fault = doctor.look(made).only_fault()
    assert (fault.status, fault.found) == ("warning", f"user {USER} may not write in {place}/log")
    doctor.mend(fault)
    assert_well(doctor, made)
    doctor.culvert.start(made)
    assert (place / "log" / "api.sock").is_socket()


# --- users, and the log ------------------------------------------------------------------------------


def test_a_user_that_is_not_there(doctor):
    made = settings(doctor, service={"user": "no-such-user"})
    fault = doctor.look(made).only_fault()
    assert (fault.name, fault.status, fault.found) == ("paths", "error", "there is no user no-such-user")
    assert fault.fix.startswith("useradd ") and fault.fix.endswith(" no-such-user")


def test_only_root_sees_what_others_may(doctor, place):
    doctor.culvert.directory = place
    identity = pwd.getpwnam(USER)
    wrapper = ["setpriv", f"--reuid={identity.pw_uid}", f"--regid={identity.pw_gid}", "--clear-groups"]
    report = doctor.look(settings(doctor, service={"user": "daemon"}), wrapper=wrapper)
    assert [finding.status for finding in report.named("paths")] == ["skipped"]


@pytest.mark.parametrize("output, path", [("syslog", "/dev/log"), ("journal", "/run/systemd/journal/socket")])
def test_a_log_without_its_daemon(doctor, output, path):
    if os.path.exists(path):
        pytest.skip(f"there is {path} here")
    fault = doctor.look(settings(doctor, log={"output": output})).only_fault()
    assert (fault.name, fault.status, fault.subject) == ("paths", "error", "log")
    assert path in fault.found and "stderr" in fault.fix
