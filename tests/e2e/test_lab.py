# SPDX-License-Identifier: Apache-2.0
"""tools/lab itself: labs beside each other, and nothing left of them."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import config, http
from harness.culvert import BINARY
from harness.fake_api import CTL
from harness.lab import TOOL, VIP6, Lab


def remains(name):
    return [str(path) for pattern in (f"/run/netns/cv-{name}-*", f"/run/culvert-lab/{name}")
            for path in pathlib.Path("/").glob(pattern[1:])]


def links():
    """Of this machine's own network."""
    return sorted(os.listdir("/sys/class/net"))


@pytest.mark.parametrize("topology", ["one-arm", "two-arm", "routed"])
@pytest.mark.parametrize("offloads", ["on", "off"])
def test_direct_traffic_flows_only_where_asked(make_lab, topology, offloads):
    direct = make_lab(topology, offloads, direct=True)
    apart = make_lab(topology, offloads)
    for name in direct.backend_names():
        where = {"addr": direct.backend_addr(name), "timeout": 1}
        assert http.get(direct, **where) == name
        assert http.get(direct, "/whoami", **where).split()[1].endswith(".10")
        assert http.get(apart, host="lb", **where) == name
    where = {"addr": apart.backend_addr("b1"), "timeout": 0.5}
    assert http.outcome(apart, **where) in ("TimeoutError", "OSError")


@pytest.mark.parametrize("mode", ["passthrough", "dsr", "proxy"])
def test_its_configuration_is_one_that_culvert_takes(shared_lab, tmp_path, mode):
    command = [TOOL, "config", "--name", shared_lab.name, "--mode", mode, "--weights", "1,2,3"]
    for number, options in enumerate(([], ["--ipv6"])):
        path = tmp_path / f"{number}.toml"
        path.write_text(subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE,
                                       text=True).stdout)
        result = shared_lab.run("lb", BINARY, "--check", f"--{mode}", "--config", path)
        assert result.stdout == f"{path}: ok ({mode} mode)\n"
        addrs = re.findall(r'^(listen_addr|addr) = "(.*)"$', path.read_text(), re.M)
        assert len(addrs) == 4 * (number + 1)
        assert (("addr", "[fd00::103]:80") in addrs) == bool(options)
        assert len(re.findall(r"^weight = 3$", path.read_text(), re.M)) == number + 1


def pid_that_answers(lab, *args):
    result = subprocess.run([TOOL, "exec", "--name", lab.name, "lb", "--", CTL, *args, "--json", "status"], check=True,
                            stdout=subprocess.PIPE, text=True, timeout=60)
    return json.loads(result.stdout)["pid"]


def test_culvertctl_asks_the_culvert_of_its_lab(make_lab, make_culvert):
    """With what `tools/lab config' prints, as a newcomer runs it; and with a file that says otherwise."""
    labs = [make_lab(backends=1) for _ in range(2)]
    running = []
    for lab in labs:
        text = subprocess.run([TOOL, "config", "--name", lab.name], check=True, stdout=subprocess.PIPE, text=True).stdout
        running.append(make_culvert(lab).start(text))
        assert "another process" not in running[-1].log()
    for lab, culvert in zip(labs, running):
        assert pid_that_answers(lab) == culvert.process.pid
    running[0].stop()
    running[0].start(config.passthrough(labs[0]))
    assert pid_that_answers(labs[0], "--socket", running[0].socket_path()) == running[0].process.pid


@pytest.mark.parametrize("topology", ["one-arm", "two-arm", "routed"])
def test_every_host_has_an_address_of_each_family(make_lab, topology):
    lab = make_lab(topology, direct=True)
    for name in lab.backend_names():
        where = {"addr": lab.backend_addr(name, 6), "timeout": 5}
        assert http.get(lab, "/whoami", **where).split()[:2] == [name, lab.client_addr(6)]
        assert http.get(lab, "/whoami", host="lb", **where).split()[1] == lab.backend_facing_addr(6)
    lab.run("client", "ping", "-6", "-c", "1", "-W", "5", VIP6)


@pytest.mark.parametrize("before, after", [
    (["--name"], []), ([], ["--name"]),
], ids=["before-the-host", "after-the-host"])
def test_options_may_stand_on_either_side_of_the_host(make_lab, before, after):
    lab = make_lab(backends=1)
    before, after = ([*option, lab.name] if option else [] for option in (before, after))

    def run(command, host, *rest):
        return subprocess.run([TOOL, command, *before, host, *after, *rest], check=True, text=True,
                              stdout=subprocess.PIPE, timeout=60).stdout

    show = ["sh", "-c", "ip -o addr show dev eth0 | grep -c 10.0.0.101; echo $0", "--name"]
    assert run("exec", "b1", "--", *show) == "1\n--name\n"
    assert run("exec", "b1", *show) == "1\n--name\n", "what is behind a command is the command's"
    run("stop", "b1")
    assert http.outcome(lab, host="lb", addr=lab.backend_addr("b1")) == "ConnectionRefusedError"
    run("start", "b1")
    assert http.get(lab, host="lb", addr=lab.backend_addr("b1")) == "b1"


def test_down_removes_everything_and_may_be_repeated():
    before = links()
    lab = Lab()
    assert links() == before
    lab.down()
    assert remains(lab.name) == []
    lab.down()


def test_a_name_in_use_is_refused_and_left_alone(make_lab):
    lab = make_lab()
    result = subprocess.run([TOOL, "up", "--name", lab.name], capture_output=True, text=True)
    assert result.returncode == 1 and "exists already" in result.stderr
    assert http.get(lab, host="lb", addr=lab.backend_addr("b1")) == "b1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.01, 0.03, 0.05])
def test_an_interrupted_up_leaves_nothing(number, delay):
    name = f"e{os.getpid()}x{int(delay * 1000)}s{int(number)}"
    process = subprocess.Popen([TOOL, "up", "--name", name, "--backends", "20"],
                               start_new_session=True, stdout=subprocess.DEVNULL)
    time.sleep(delay)  # the moment is arbitrary on purpose
    os.killpg(process.pid, number)
    try:
        if process.wait(timeout=20) != 0:
            assert remains(name) == []
    finally:
        subprocess.run([TOOL, "down", "--name", name], check=True)


def test_down_clears_what_a_killed_up_has_left():
    name = f"e{os.getpid()}x999999"
    process = subprocess.Popen([TOOL, "up", "--name", name, "--backends", "20"],
                               start_new_session=True, stdout=subprocess.DEVNULL)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([TOOL, "down", "--name", name], check=True)
    assert remains(name) == []


def test_labs_that_come_and_go_at_once_do_not_meet():
    """The last to go takes the directory of all labs along, and another is just coming."""
    names = [f"e{os.getpid()}x88888{number}" for number in range(4)]
    try:
        for _ in range(3):
            for command in ("up", "down"):
                running = [subprocess.Popen([TOOL, command, "--name", name, "--backends", "1"],
                                            stdout=subprocess.DEVNULL) for name in names]
                assert [process.wait(timeout=60) for process in running] == [0] * len(names)
                assert any(map(remains, names)) == (command == "up")
    finally:
        for name in names:
            subprocess.run([TOOL, "down", "--name", name], check=True)


def test_what_is_not_the_name_of_a_lab_is_left_alone():
    """In a /run of its own: an empty name would be the directory of all labs."""
    script = """
        set -e
        mount -t tmpfs none /run
        mkdir -p /run/netns /run/culvert-lab/Other.things /run/culvert-lab/gone
        touch /run/netns/cv--b1 /run/netns/cv-UP-b1
        "$0" down --all
        find /run -mindepth 1 | sort
    """
    result = subprocess.run(["unshare", "--mount", "sh", "-c", script, TOOL], check=True,
                            stdout=subprocess.PIPE, text=True, timeout=60)
    assert result.stdout.split() == [
        "/run/culvert-lab", "/run/culvert-lab/Other.things",
        "/run/netns", "/run/netns/cv--b1", "/run/netns/cv-UP-b1"]


@pytest.mark.parametrize("arguments", [
    [], ["sideways"], ["up", "--topology", "ring"], ["up", "--backends", "0"],
    ["up", "--name", "a-b"], ["up", "--offloads"], ["up", "--no-such"], ["up", "surplus"],
    ["exec"], ["exec", "client", "--no-such", "--", "true"], ["stop", "b1", "--name"],
    ["stop", "b1", "b2"],
], ids=" ".join)
def test_wrong_usage_exits_with_2_and_makes_nothing(arguments):
    result = subprocess.run([TOOL, *arguments], capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("lab: ")
