# SPDX-License-Identifier: Apache-2.0
"""What a host's kernel counts."""


def counter(lab, host, section, name):
    lines = [line.split() for line in lab.read(host, "/proc/net/snmp").splitlines()
             if line.startswith(f"{section}: ")]
    return int(dict(zip(*lines))[name])
