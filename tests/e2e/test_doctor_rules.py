# SPDX-License-Identifier: Apache-2.0
"""culvert doctor and rules of firewalls: those that are in the way, that were left behind, and that do no harm."""

import subprocess

from harness import config
from harness.doctor import backend, find_and_mend, nft, sysctl
from harness.lab import ROOT, VIP
from harness.wait import await_condition
from test_doctor import make_doctor, one_arm  # fixtures

SETUP = str(ROOT / "iptables" / "setup.sh")


def test_fault_table_of_a_dead_culvert(one_arm, make_doctor):
    nft(one_arm, "table netdev culvert_99999 {\n chain c {\n"
                 " type filter hook ingress device eth0 priority 0\n tcp dport 81 drop\n}\n}\n")
    find_and_mend(make_doctor(one_arm), config.passthrough(one_arm), "firewall", "error",
                  "culvert_99999", "without its process")


def test_what_dsr_mode_leaves_for_its_next_start_is_noted_when_it_is_over(
        make_lab, make_culvert, make_doctor):
    lab = make_lab(backends=1, direct=True)
    culvert, made = make_culvert(lab), config.dsr(lab)
    culvert.start(made)
    doctor = make_doctor(lab)
    assert doctor.look(made).notes() == []
    culvert.stop()
    assert culvert.log_lines("nft delete table netdev culvert_restart"), "the log says it as well"
    note, = doctor.look(made).notes()
    assert (note.name, note.subject) == ("firewall", "culvert_restart")
    doctor.mend(note)
    assert lab.nft_tables() == []
    assert doctor.look(made).notes() == []


def test_fault_rules_of_the_script_left(one_arm, make_doctor):
    doctor = make_doctor(one_arm)
    unmanaged = config.passthrough(one_arm, firewall={"manage": False})
    path = doctor.culvert.write_config(unmanaged)
    one_arm.run("lb", SETUP, "up", "--config", path, "--culvert", doctor.culvert.binary)
    find_and_mend(doctor, config.passthrough(one_arm), "firewall", "warning", "CULVERT", "setup.sh")


def test_fault_nobody_keeps_the_kernel_silent(one_arm, make_doctor):
    made = config.passthrough(one_arm, firewall={"manage": False})
    sysctl(one_arm, "net.ipv4.ip_local_reserved_ports", "33768-61000")
    find_and_mend(make_doctor(one_arm), made, "firewall", "error", f"web {VIP}:80", "manage = false")


def test_a_table_that_belongs_to_another_program_is_said_to_be_unread(one_arm, make_doctor):
    process = one_arm.spawn("lb", "nft", "-i", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(b"table inet guard { flags owner; }\n")
    process.stdin.flush()
    try:
        await_condition(lambda: "guard" in "".join(one_arm.nft_tables()), "its table is there")
        fault = make_doctor(one_arm).look(config.passthrough(one_arm)).only_fault()
    finally:
        process.kill()
        process.communicate()
    assert (fault.name, fault.status, fault.subject) == ("firewall", "skipped", "inet guard")


STRICT_FIREWALL = """
    table inet filter {
        set admins {
            type ipv4_addr
            elements = { 10.0.0.77 }
        }
        chain input {
            type filter hook input priority 0; policy drop;
            iif lo accept
            ct state vmap { established : accept, related : accept, invalid : drop }
            ip saddr @admins tcp dport 8443 accept
            tcp dport { 22, 443 } accept
        }
    }
"""


def test_fault_firewall_without_the_frontend(one_arm, make_doctor):
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    nft(one_arm, STRICT_FIREWALL)
    find_and_mend(make_doctor(one_arm), made, "firewall", "error", f"web {VIP}:80", "policy")


def test_a_firewall_behind_the_capture_harms_no_packet_mode(one_arm, make_doctor):
    nft(one_arm, STRICT_FIREWALL)
    assert make_doctor(one_arm).look(config.passthrough(one_arm)).faults() == []


def test_a_rule_that_passes_some_clients_is_no_fault(one_arm, make_doctor):
    nft(one_arm, STRICT_FIREWALL.replace("dport 8443", "dport 80"))
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    assert make_doctor(one_arm).look(made).faults() == []


def test_fault_port_redirected(one_arm, make_doctor):
    nft(one_arm, """
        table ip nat {
            chain prerouting {
                type nat hook prerouting priority -100
                iifname "eth0" tcp dport 80 redirect to :8080
            }
        }
    """)
    made = config.proxy(one_arm, proxy={"max_connections": 50})
    fault = find_and_mend(make_doctor(one_arm), made, "firewall", "error", f"web {VIP}:80", "diverts")
    assert "delete" not in fault.fix, "the rule is somebody else's"


def test_fault_what_is_forwarded_is_dropped_on_its_way_out(one_arm, make_doctor):
    nft(one_arm, """
        table netdev own {
            chain egress {
                type filter hook egress device "eth0" priority 0
                ip daddr 10.0.0.102 tcp dport 1-1023 drop
            }
        }
    """)
    doctor, made = make_doctor(one_arm), config.passthrough(one_arm)
    faults = doctor.look(made).faults()
    assert [(fault.name, fault.subject) for fault in faults] == [
        ("firewall", backend(one_arm, "b2")), ("backends", backend(one_arm, "b2"))]
    doctor.mend(faults[0])
    assert doctor.look(made).faults() == []
