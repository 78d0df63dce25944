# SPDX-License-Identifier: Apache-2.0
"""tc/dsr-egress.sh as a tool: what it leaves behind, whose rules it keeps, what it says."""

import shutil
import subprocess

import pytest

from harness.dsr import EGRESS, OBJECT, Egress, footprint, make_programs, run_with_path
from harness.lab import ROOT, Lab

BACKEND, VIP = ("10.0.0.101", 8080), ("10.0.0.1", 80)
BACKEND6, VIP6 = ("fd00::101", 80), ("fd00:1::1", 80)
SAME_PORT = ("10.0.0.101", 80)

every_method = pytest.mark.parametrize("method", ["bpf", "nft"])

FOREIGN_FILTER = ("tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", "pref", "7",
                  "u32", "match", "ip", "dport", "9", "0xffff", "flowid", "1:1")


@pytest.fixture
def lab(make_lab):
    return make_lab(backends=1)


# --- what it leaves ------------------------------------------------------------------------------

@every_method
def test_down_leaves_the_interface_as_it_was(lab, method):
    before = footprint(lab)
    egress = Egress(lab, method)
    egress.up(BACKEND, VIP)
    egress.up(SAME_PORT, VIP, proto="udp")
    assert footprint(lab) != before
    egress.down()
    assert footprint(lab) == before
    egress.down()  # harmless when nothing is up
    assert footprint(lab) == before
    assert egress.run("status").stdout == "down: nothing is translated on eth0\n"


@every_method
def test_up_twice_is_once(lab, method):
    egress = Egress(lab, method)
    arguments = BACKEND, VIP, "--peer-net", "10.0.0.0/8", "--peer-net=192.0.2.7"
    egress.up(*arguments)
    once, status = footprint(lab), egress.run("status").stdout
    egress.up(*arguments)
    assert footprint(lab) == once
    assert egress.run("status").stdout == status
    assert "10.0.0.0/8" in status and "192.0.2.7" in status and "10.0.0.2" in status


@every_method
def test_what_is_not_wanted_any_more_goes(lab, method):
    egress = Egress(lab, method)
    egress.up(BACKEND, VIP)
    plain = egress.run("status").stdout
    egress.up(BACKEND, ("10.0.0.4", 81), "--peer-net", "192.0.2.0/24", "--balancer", "10.0.0.3")
    status = egress.run("status").stdout
    assert "10.0.0.4:81" in status and "10.0.0.3" in status and "192.0.2.0/24" in status
    assert "10.0.0.1:80" not in status
    egress.up(BACKEND, VIP)
    assert egress.run("status").stdout == plain


def test_auto_takes_bpf_and_another_method_takes_its_place(lab):
    before = footprint(lab)
    egress = Egress(lab)
    assert egress.up(BACKEND, VIP).stdout.startswith("bpf: ")
    Egress(lab, "nft").up(BACKEND, VIP)
    status = egress.run("status").stdout
    assert status.startswith("nft tcp ") and "bpf" not in status
    assert not any("clsact" in line for line in footprint(lab))
    egress.down("--backend", "10.0.0.101:8080")
    assert footprint(lab) == before


@pytest.mark.parametrize("with_filter", [False, True], ids=["empty", "in-use"])
def test_a_clsact_qdisc_of_somebody_else_is_kept(lab, with_filter):
    lab.run("b1", "tc", "qdisc", "add", "dev", "eth0", "clsact")
    if with_filter:
        lab.run("b1", *FOREIGN_FILTER)
    before = footprint(lab)
    egress = Egress(lab, "bpf")
    egress.up(BACKEND, VIP)
    egress.down()
    assert footprint(lab) == before


def test_our_clsact_qdisc_stays_while_somebody_else_uses_it(lab):
    egress = Egress(lab, "bpf")
    egress.up(BACKEND, VIP)
    lab.run("b1", *FOREIGN_FILTER)
    foreign = lab.run("b1", "tc", "filter", "show", "dev", "eth0", "ingress").stdout
    assert foreign
    egress.down()
    assert lab.run("b1", "tc", "filter", "show", "dev", "eth0", "ingress").stdout == foreign
    assert lab.run("b1", "tc", "filter", "show", "dev", "eth0", "egress").stdout == ""


def test_interfaces_do_not_meet(lab):
    for name in ("a.b", "a_b", "eth0x"):
        lab.run("b1", "ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    others = [Egress(lab, "nft", dev=name) for name in ("a.b", "a_b", "eth0x", "eth0")]
    for egress in others:
        egress.up(BACKEND, VIP)
    assert lab.run("b1", "nft", "list", "tables").stdout.count("culvert_dsr_") == 4
    for count, egress in zip((3, 2, 1, 0), others):
        egress.down()
        assert lab.run("b1", "nft", "list", "tables").stdout.count("culvert_dsr_") == count


def test_calls_at_the_same_time_do_not_spoil_each_other(lab):
    before = footprint(lab)
    ports = range(8000, 8005)
    calls = [lab.spawn("b1", EGRESS, "up", "--dev", "eth0", "--backend", f"10.0.0.101:{port}",
                       "--vip", f"10.0.0.1:{port}", "--balancer", "10.0.0.2", "--method", method,
                       stdout=subprocess.DEVNULL)
             for port in ports for method in ("bpf", "nft")]
    assert [call.wait(timeout=60) for call in calls] == [0] * len(calls)
    status = Egress(lab).run("status").stdout
    assert all(status.count(f"10.0.0.101:{port} ") == 1 for port in ports), status
    Egress(lab).down()
    assert footprint(lab) == before


def test_a_dry_run_changes_nothing(lab):
    before = footprint(lab)
    for method in ("bpf", "nft", "act_nat"):
        result = Egress(lab, method).up(SAME_PORT, VIP, "--dry-run")
        assert result.stdout.splitlines(), method
    assert footprint(lab) == before


# --- what is missing -----------------------------------------------------------------------------

OPTIONS = ("--backend", "10.0.0.101:8080", "--vip", "10.0.0.1:80", "--balancer", "10.0.0.2")


def copy_of_scripts(directory, with_object):
    """As an operator copies them to a backend."""
    shutil.copytree(ROOT / "tc", directory)
    if with_object:
        shutil.copy(OBJECT, directory)
    return directory / "dsr-egress.sh"


def test_a_copy_with_the_program_beside_it_works(lab, tmp_path):
    egress = Egress(lab, script=copy_of_scripts(tmp_path / "tc", True))
    assert egress.up(BACKEND, VIP).stdout.startswith("bpf: ")


def test_without_the_program_auto_takes_nft_and_bpf_says_what_is_missing(lab, tmp_path):
    script = copy_of_scripts(tmp_path / "tc", False)
    result = Egress(lab, "bpf", script=script).up(BACKEND, VIP, check=False)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "dsr_egress.bpf.o" in result.stderr and "use --method nft" in result.stderr
    assert Egress(lab, script=script).up(BACKEND, VIP).stdout.startswith("nft: ")


@pytest.mark.parametrize("method, without, other", [
    ("bpf", "bpftool", "nft"), ("nft", "nft", "bpf")])
def test_a_missing_program_is_named_with_what_to_use_instead(lab, tmp_path, method, without, other):
    before = footprint(lab)
    path = make_programs(tmp_path / "path", without=[without])
    result = run_with_path(lab, path, EGRESS, "up", "--method", method, *OPTIONS)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert f"{without} is not installed" in result.stderr
    assert f"use --method {other}" in result.stderr
    assert footprint(lab) == before
    result = run_with_path(lab, path, EGRESS, "up", *OPTIONS)
    assert result.stdout.startswith(f"{other}: "), result


def test_rules_that_cannot_be_seen_are_not_taken_for_none(lab, tmp_path):
    Egress(lab, "bpf").up(BACKEND, VIP)
    before = footprint(lab)
    path = make_programs(tmp_path / "path", without=["bpftool"])
    for command in (["status"], ["down"], ["up", *OPTIONS]):
        result = run_with_path(lab, path, EGRESS, *command)
        assert result.returncode == 1 and "bpftool" in result.stderr
    assert footprint(lab) == before


def test_where_nothing_is_possible_each_method_says_why(lab, tmp_path):
    path = make_programs(tmp_path / "path", without=["bpftool", "nft"])
    result = run_with_path(lab, path, EGRESS, "up", *OPTIONS)
    assert result.returncode == 1
    assert all(word in result.stderr for word in ("bpf: ", "bpftool", "nft: ", "act_nat: "))


def test_an_ingress_qdisc_excludes_the_program(lab):
    lab.run("b1", "tc", "qdisc", "add", "dev", "eth0", "ingress")
    before = footprint(lab)
    result = Egress(lab, "bpf").up(BACKEND, VIP, check=False)
    assert result.returncode == 1 and "use --method nft" in result.stderr
    assert footprint(lab) == before


@pytest.fixture(scope="module")
def bystander():
    """A lab for calls that are to be refused, in case they are not."""
    lab = Lab(backends=1)
    yield lab
    lab.down()


@pytest.mark.parametrize("arguments, word", [
    ("", "up, down, status, verify"),
    ("sideways --dev eth0", "up, down, status, verify"),
    ("up", "--dev"),
    ("up --dev eth0 --vip 10.0.0.1:80", "--backend"),
    ("up --dev eth0 --backend 10.0.0.101:80 --balancer none", "--vip"),
    ("up --dev eth0 --backend 10.0.0.101:80 --vip 10.0.0.1:80", "--balancer"),
    ("up --dev eth0 --backend 10.0.0.101 --vip 10.0.0.1:80", "--backend"),
    ("up --dev eth0 --backend 10.0.0.256:80 --vip 10.0.0.1:80", "--backend"),
    ("up --dev eth0 --backend 10.0.0.101:65536 --vip 10.0.0.1:80", "--backend"),
    ("up --dev eth0 --backend fd00::1:80 --vip 10.0.0.1:80", "--backend"),
    ("up --dev eth0 --backend [fd00::1]:80 --vip 10.0.0.1:80 --balancer none", "families"),
    ("up --dev eth0 --backend 10.0.0.101:80 --vip 10.0.0.1:80 --balancer fd00::2", "families"),
    ("up --dev eth0 --backend 10.0.0.101:80 --vip 10.0.0.1:80 --balancer 10.0.0.0/24",
     "--balancer"),
    ("up --dev eth0 --backend 10.0.0.101:80 --vip 10.0.0.1:80 --peer-net 10.0.0.0/33",
     "--peer-net"),
    ("status --dev eth0 --method pigeon", "pigeon"),
    ("status --dev eth0 --proto sctp", "sctp"),
    ("status --dev", "--dev"),
    ("status --dev eth0 --no-such 1", "--no-such"),
])
def test_wrong_usage_exits_with_2(bystander, arguments, word):
    result = bystander.run("b1", EGRESS, *arguments.split(), check=False)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("dsr-egress.sh: ") and word in result.stderr


def test_help_names_every_option():
    text = subprocess.run([EGRESS, "up", "--help"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    for option in ("--dev", "--backend", "--vip", "--balancer", "--peer-net", "--method", "--proto",
                   "--dry-run"):
        assert option in text


def test_an_interface_that_is_not_there(lab):
    result = Egress(lab, dev="eth7").up(BACKEND, VIP, check=False)
    assert result.returncode == 1 and "eth7" in result.stderr
    assert Egress(lab, dev="eth7").down().returncode == 0
