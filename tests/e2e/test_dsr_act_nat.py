# SPDX-License-Identifier: Apache-2.0
"""Method act_nat of tc/dsr-egress.sh: its commands, and traffic where the kernel has the action."""

import pytest

from conftest import assert_no_bad_checksum
from harness import dsr, http
from harness.dsr import (EGRESS, Egress, footprint, kernel_has_act_nat, make_programs,
                         run_with_path)

BACKEND, VIP = ("10.0.0.101", 80), ("10.0.0.1", 80)
OTHER_PORT = ("10.0.0.101", 8080)
BACKEND6, VIP6 = ("fd00::101", 80), ("fd00:1::1", 80)


@pytest.fixture
def lab(make_lab):
    return make_lab(backends=1)


MATCH = ("u32 match ip src 10.0.0.101/32 match ip protocol {proto} 0xff match ip ihl 5 0xf "
         "match ip nofrag match ip sport 80 0xffff ")
FILTER = "tc filter add dev eth0 parent {parent} protocol ip pref {pref} " + MATCH
NAT = "action nat egress 10.0.0.101/32 10.0.0.1"


def test_act_nat_commands(lab):
    listing = Egress(lab, "act_nat").up(BACKEND, VIP, "--dry-run").stdout.splitlines()
    assert listing == [
        "tc qdisc add dev eth0 root handle c147: htb",
        FILTER.format(parent="c147:", pref=1000, proto=6) + "match ip dst 10.0.0.2/32 flowid c147:",
        FILTER.format(parent="c147:", pref=1001, proto=6) + NAT,
    ]


def test_act_nat_commands_within_the_htb_of_somebody_else(lab):
    lab.run("b1", "tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb")
    egress = Egress(lab, "act_nat")
    listing = egress.up(BACKEND, VIP, "--balancer", "10.0.0.3", "--peer-net", "10.0.0.8/29",
                        "--peer-net", "192.0.2.9", "--dry-run", proto="udp").stdout.splitlines()
    one, two = FILTER.format(parent="1:", pref=1000, proto=17), \
        FILTER.format(parent="1:", pref=1001, proto=17)
    assert listing == [
        one + "match ip dst 10.0.0.2/32 flowid 1:",
        one + "match ip dst 10.0.0.3/32 flowid 1:",
        two + "match ip dst 10.0.0.8/29 " + NAT + " continue",
        two + "match ip dst 192.0.2.9/32 " + NAT + " continue",
    ]


def test_act_nat_does_not_replace_another_root_qdisc(lab):
    lab.run("b1", "tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "tbf",
            "rate", "1gbit", "burst", "1m", "latency", "1s")
    result = Egress(lab, "act_nat").up(BACKEND, VIP, "--dry-run", check=False)
    assert result.returncode == 1 and result.stdout == ""
    assert "tbf 1:" in result.stderr and "--method bpf or nft" in result.stderr


@pytest.mark.parametrize("backend, vip, word", [
    (OTHER_PORT, VIP, "ports"), (BACKEND6, VIP6, "IPv4")], ids=["ports", "ipv6"])
def test_act_nat_says_what_it_cannot(lab, backend, vip, word):
    before = footprint(lab)
    result = Egress(lab, "act_nat").up(backend, vip, check=False)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "act_nat: it" in result.stderr and word in result.stderr
    assert result.stderr.endswith("; use --method bpf\n")
    assert footprint(lab) == before


def test_act_nat_where_the_kernel_has_none(lab):
    if kernel_has_act_nat(lab):
        pytest.skip("this kernel has act_nat")
    before = footprint(lab)
    result = Egress(lab, "act_nat").up(BACKEND, VIP, check=False)
    assert result.returncode == 1
    assert result.stderr == ("dsr-egress.sh: act_nat: the kernel has no act_nat "
                             "(CONFIG_NET_ACT_NAT); use --method bpf\n")
    assert footprint(lab) == before


# As tc prints what act_nat_commands makes, where the kernel has the action.
TC_LISTING = """\
filter protocol ip pref 1000 u32 chain 0
filter protocol ip pref 1000 u32 chain 0 fh 801: ht divisor 1
filter protocol ip pref 1000 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 *flowid c147: not_in_hw  (rule hit 9 success 3)
  match 0a000065/ffffffff at 12 (success 7 )
  match 00060000/00ff0000 at 8 (success 7 )
  match 05000000/0f000000 at 0 (success 7 )
  match 00000000/00003fff at 4 (success 7 )
  match 00500000/ffff0000 at 20 (success 7 )
  match 0a000002/ffffffff at 16 (success 3 )
filter protocol ip pref 1001 u32 chain 0
filter protocol ip pref 1001 u32 chain 0 fh 800: ht divisor 1
filter protocol ip pref 1001 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid not_in_hw  (rule hit 6 success 4)
  match 0a000065/ffffffff at 12 (success 4 )
  match 00060000/00ff0000 at 8 (success 4 )
  match 05000000/0f000000 at 0 (success 4 )
  match 00000000/00003fff at 4 (success 4 )
  match 00500000/ffff0000 at 20 (success 4 )
  match 0a000008/fffffff8 at 16 (success 4 )
\taction order 1:  nat egress 10.0.0.101/32 10.0.0.1 pass
\t index 1 ref 1 bind 1 installed 5 sec used 1 sec
\tAction statistics:
\tSent 336 bytes 4 pkt (dropped 0, overlimits 0 requeues 0)
\tbacklog 0b 0p requeues 0
"""


def test_act_nat_reads_what_is_there_from_tc(lab, tmp_path):
    """tc is a script that knows this one state, and writes down what it is told to change."""
    (tmp_path / "listing").write_text(TC_LISTING)
    path = make_programs(tmp_path / "path", scripts={"tc": f"""#!/bin/sh
        case "$*" in
        'qdisc show dev eth0 root') echo 'qdisc htb c147: root refcnt 2 r2q 10 default 0' ;;
        '-s filter show dev eth0 parent c147:') cat {tmp_path}/listing ;;
        'actions '*) ;;
        'filter add '* | 'filter del '* | 'qdisc '[ad]*) echo "$@" >>{tmp_path}/changes ;;
        'filter show '*) echo still some ;;
        esac
    """})
    status = run_with_path(lab, path, EGRESS, "status", "--method", "act_nat").stdout
    assert status == ("act_nat tcp 10.0.0.101:80 -> 10.0.0.1:80: 4 packets (336 bytes) translated, "
                      "? left alone, ? dropped\n    left alone are replies to 10.0.0.2\n"
                      "    translated are only replies to 10.0.0.8/29\n")
    options = ("--method", "act_nat", "--backend", "10.0.0.101:80", "--vip", "10.0.0.4:80",
               "--balancer", "10.0.0.2")
    assert run_with_path(lab, path, EGRESS, "up", *options).returncode == 0
    match = MATCH.format(proto=6)
    assert (tmp_path / "changes").read_text().splitlines() == [
        f"filter add dev eth0 parent c147: protocol ip pref 1002 {match}match ip dst 10.0.0.2/32 "
        "flowid c147:",
        f"filter add dev eth0 parent c147: protocol ip pref 1003 {match}{NAT[:-1]}4",
        "filter del dev eth0 parent c147: pref 1000",
        "filter del dev eth0 parent c147: pref 1001",
    ]
    (tmp_path / "changes").unlink()
    assert run_with_path(lab, path, EGRESS, "down", *options[:4]).returncode == 0
    assert (tmp_path / "changes").read_text().splitlines() == [
        "filter del dev eth0 parent c147: pref 1000", "filter del dev eth0 parent c147: pref 1001"]


@pytest.mark.parametrize("offloads", ["on", "off"], ids="offloads-{}".format)
def test_act_nat_translates(make_lab, offloads):
    lab = make_lab(offloads=offloads, backends=1, direct=True)
    if not kernel_has_act_nat(lab):
        pytest.skip("this kernel has no act_nat")
    before = footprint(lab)
    dsr.play_balancer(lab, BACKEND, VIP)
    egress = Egress(lab, "act_nat")
    for _ in range(2):
        egress.up(BACKEND, VIP)
        assert http.short_connections(lab, 500) == {"b1": 500}
        assert http.get(lab, host="lb", addr=BACKEND[0]) == "b1"  # health
    assert "10.0.0.101:80 -> 10.0.0.1:80" in egress.run("status").stdout
    assert_no_bad_checksum(lab)
    egress.down()
    assert footprint(lab) == before
