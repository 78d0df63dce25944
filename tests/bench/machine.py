# SPDX-License-Identifier: Apache-2.0
"""The machine that numbers are from, for whoever reads them elsewhere."""

import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

from place import ROOT


def read(path, default="unknown"):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return default


def first_line(*command):
    if not shutil.which(str(command[0])):
        return "not installed"
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (done.stdout.splitlines() or [""])[0].strip()


def governor():
    return read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none: the host of this virtual machine "
                "decides, or the processor itself")


def field(path, name):
    found = re.search(rf"^{name}\s*:\s*(.+)$", read(path, ""), re.M)
    return found[1] if found else "unknown"


def facts(options):
    """Name to text, in the order in which they are shown."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": field("/proc/cpuinfo", "model name"),
        "processors": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "virtual": first_line("systemd-detect-virt"),
        "governor": governor(),
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
        "congestion control": options.congestion,
        "nf_conntrack_max": read("/proc/sys/net/netfilter/nf_conntrack_max", "no conntrack"),
        "culvert": first_line(options.culvert, "--version"),
        "revision": first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "HAProxy": first_line("haproxy", "-v"),
        "nginx": first_line("nginx", "-v"),
        "nft": first_line("nft", "--version"),
        "wrk": first_line("wrk", "-v"),
        "h2load": first_line("h2load", "--version"),
        "curl": first_line("curl", "--version"),
    }
