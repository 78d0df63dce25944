# SPDX-License-Identifier: Apache-2.0
"""What a host's kernel counts."""


def counter(lab, host, section, name):
    lines = [line.split() for line in lab.run(host, "cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith(f"{section}: ")]
    return int(dict(zip(*lines))[name])
