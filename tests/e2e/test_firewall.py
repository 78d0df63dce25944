# SPDX-License-Identifier: Apache-2.0
"""The kernel must not answer packets that culvert forwards: own rules, or iptables/setup.sh."""

import pathlib

import pytest

from harness import config, http
from harness.culvert import BINARY
from harness.lab import ROOT, VIP6

SETUP = str(ROOT / "iptables" / "setup.sh")
NAT_RANGE = "33768-61000"
PORTS_FILE = "/proc/sys/net/ipv4/ip_local_reserved_ports"


def test_the_table_is_there_while_it_runs_and_gone_afterwards(lab, culvert):
    culvert.start(config.passthrough(lab))
    assert [line.split()[1:] for line in lab.nft_tables()] == [
        ["netdev", f"culvert_{culvert.process.pid}"]]
    assert lab.reserved_ports() == NAT_RANGE
    culvert.stop()
    assert lab.nft_tables() == []
    assert lab.reserved_ports() == ""


def test_reserved_ports_of_others_are_kept(lab, culvert):
    lab.run("lb", "sh", "-c", f"echo 8000-8010,40000 > {PORTS_FILE}")
    culvert.start(config.passthrough(lab))
    assert lab.reserved_ports() == f"8000-8010,{NAT_RANGE}"
    culvert.stop()
    assert lab.reserved_ports() == "8000-8010,40000"


def test_defect_14_our_own_rules_let_the_health_probes_pass(lab, culvert):
    culvert.start(config.passthrough(lab, backends={"web": {"fall": 1}}))
    culvert.await_all_up()
    # Long enough for several probes of each backend, whose answers come by the guarded interface.
    for _ in range(3):
        http.short_connections(lab, 1000)
    assert all(culvert.is_up(name) for name in lab.backend_names())
    assert not culvert.log_lines("is down")


@pytest.fixture
def setup(lab, culvert):
    """iptables/setup.sh on the host `lb`, for a configuration that leaves the firewall to it."""
    path = culvert.write_config(config.passthrough(lab, firewall={"manage": False}))

    def run(command, check=True):
        return lab.run("lb", SETUP, command, "--config", path, "--culvert", BINARY, check=check)

    return run


def raw_rules(lab, program="iptables"):
    """Without the host names and counters that differ from call to call."""
    return lab.run("lb", program, "-t", "raw", "-S").stdout.splitlines()


def test_setup_script_replaces_the_table(lab, culvert, setup):
    before = raw_rules(lab)
    setup("up")
    assert lab.reserved_ports() == NAT_RANGE
    culvert.start(config.passthrough(lab, firewall={"manage": False}))
    culvert.await_all_up()  # the probes' answers are not dropped
    assert not [table for table in lab.nft_tables() if "culvert_" in table]
    answers = http.short_connections(lab, 1000)
    assert set(answers) == {"b1", "b2", "b3"}, answers
    status = setup("status").stdout
    assert "10.0.0.1" in status and "DROP" in status
    culvert.stop()
    setup("down")
    assert lab.reserved_ports() == ""
    assert raw_rules(lab) == before
    lab.run("lb", "sh", "-c", "nft list tables | xargs -r -n 3 nft delete")  # iptables' own, empty


@pytest.mark.packet_sockets("the rules count what they drop, and meet nothing that XDP takes")
def test_setup_script_speaks_ipv6_by_ip6tables(lab, culvert, setup):
    settings = config.passthrough(lab, family=6, firewall={"manage": False},
                                  passthrough={"snat_addrs": ["10.0.0.2", "fd00::2"]})
    before = raw_rules(lab), raw_rules(lab, "ip6tables")
    setup("up")  # of an earlier configuration, with IPv4
    culvert.write_config(settings)
    setup("up")
    assert raw_rules(lab) == before[0]
    assert "-A CULVERT -d fd00::1/128 -p tcp -m tcp --dport 80 -j DROP" in raw_rules(lab, "ip6tables")
    assert not [rule for rule in raw_rules(lab, "ip6tables") if "10.0.0" in rule]
    assert lab.reserved_ports() == NAT_RANGE
    culvert.start(settings)
    culvert.await_all_up(family=6)
    assert set(http.short_connections(lab, 500, addr=VIP6)) == {"b1", "b2", "b3"}
    status = setup("status").stdout
    drops = [line.split() for line in status.splitlines() if "DROP" in line]
    assert len(drops) == 4 and all(int(line[0]) for line in drops), status
    culvert.stop()
    setup("down")
    assert (raw_rules(lab), raw_rules(lab, "ip6tables")) == before
    assert lab.reserved_ports() == ""
    lab.run("lb", "sh", "-c", "nft list tables | xargs -r -n 3 nft delete")  # iptables' own, empty


def test_setup_script_with_both_families(lab, culvert, setup):
    settings = config.passthrough(lab, firewall={"manage": False})
    other = config.passthrough(lab, family=6)
    settings["frontends"]["web6"] = {**other["frontends"]["web"], "backend": "web6"}
    settings["backends"]["web6"] = other["backends"]["web"]
    culvert.write_config(settings)
    setup("up")
    for program in ("iptables", "ip6tables"):
        rules = raw_rules(lab, program)
        assert sum("-j DROP" in rule for rule in rules) == 4, rules
        assert sum("-j CULVERT" in rule for rule in rules) == 1, rules
    setup("down")
    for program in ("iptables", "ip6tables"):
        assert not [rule for rule in raw_rules(lab, program) if "CULVERT" in rule]


def test_setup_script_twice_is_once(lab, setup):
    lab.run("lb", "sh", "-c", f"echo 8000,50000 > {PORTS_FILE}")
    before = raw_rules(lab)
    setup("up")
    once = raw_rules(lab), lab.reserved_ports()
    setup("up")
    assert (raw_rules(lab), lab.reserved_ports()) == once
    assert sum("-j CULVERT" in rule for rule in once[0]) == 1
    setup("down")
    assert raw_rules(lab) == before
    assert lab.reserved_ports() == "8000,50000"
    assert setup("down", check=False).returncode == 0  # safe when nothing is up
    assert lab.reserved_ports() == "8000,50000"


def state_file(lab):
    inode = lab.run("lb", "stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout.strip()
    return pathlib.Path(f"/run/culvert/iptables-{inode}")


@pytest.mark.parametrize("change", ["another list", "another boot"])
def test_setup_script_gives_back_only_what_is_its_own(lab, setup, change):
    """What it noted may be about another namespace, or of before a boot."""
    setup("up")
    assert lab.reserved_ports() == NAT_RANGE
    if change == "another list":
        lab.run("lb", "sh", "-c", f"echo 8000,40000 > {PORTS_FILE}")
    else:
        _, ports = state_file(lab).read_text().split()
        state_file(lab).write_text(f"00000000-0000-0000-0000-000000000000 {ports}\n")
    expected = lab.reserved_ports()
    setup("down")
    assert lab.reserved_ports() == expected
    assert not state_file(lab).exists()


def test_setup_script_refuses_a_bad_configuration(lab, culvert, setup):
    culvert.write_config("[frontends.web]\nlisten_addr = \"nonsense\"\n")
    before = raw_rules(lab)
    result = setup("up", check=False)
    assert result.returncode != 0 and "nonsense" in result.stderr
    assert raw_rules(lab) == before
    assert lab.reserved_ports() == ""


def test_unmanaged_and_unreserved_ports_are_a_mistake_that_names_the_way_out(lab, culvert):
    path = culvert.write_config(config.passthrough(lab, firewall={"manage": False}))
    result = culvert.run("--passthrough", "--config", path)
    assert result.returncode == 2
    assert "ip_local_reserved_ports" in result.stderr
