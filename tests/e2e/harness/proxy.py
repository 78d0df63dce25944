# SPDX-License-Identifier: Apache-2.0
"""The program under test in proxy mode, which is the one that runs when no option names one."""

import os
import pathlib

from .config import to_yaml
from .culvert import Culvert
from .wait import await_condition

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Proxy(Culvert):
    def mode_of(self, config):
        return "proxy"

    def mode_flags(self):
        return []

    def start(self, config, *args, **options):
        super().start(config, *args, **options)
        self.mode = "proxy"  # whatever the file says
        return self

    def start_yaml(self, config):
        """As start(), with the configuration in the other syntax."""
        path = self.directory / "culvert.yaml"
        path.write_text(to_yaml(config))
        return self.start(config, "--config", path)  # the last one counts

    # --- statistics ----------------------------------------------------------------------------

    def sessions(self):
        return self.stats()["sessions"]

    def await_end(self, end, count=1, timeout=10):
        """Until so many sessions have ended so."""
        await_condition(lambda: self.sessions()["ends"][end] == count,
                        f"{count} ended with {end}", timeout)

    def server_stats(self, name, pool="web"):
        return self.stats()["backends"][pool]["server_stats"][name]

    def ledger(self):
        """What became of sessions once nothing moves, checked to balance."""
        last = None

        def quiet():
            nonlocal last
            before, last = last, self.stats()
            return before == last

        await_condition(quiet, "nothing moves any more", timeout=20, interval=0.05)
        # What a reload has removed is in the totals alone.
        assert_balanced(last, is_whole=not self.log_lines("reload: ok"))
        return last["sessions"]

    def all_ended(self, timeout=10):
        """As ledger(), when no session is left."""
        await_condition(lambda: self.sessions()["current"] == 0, "all sessions have ended", timeout)
        return self.ledger()

    # --- what it uses --------------------------------------------------------------------------

    def _proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}")

    def resident_kib(self):
        for line in self._proc("smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1])
        raise AssertionError("no Rss")

    def descriptors(self):
        return {int(entry.name) for entry in self._proc("fd").iterdir()}

    def n_descriptors(self):
        return len(self.descriptors())

    def cpu_seconds(self):
        fields = self._proc("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def assert_balanced(stats, is_whole=True):
    """Every accepted connection has ended in one way or is there; sums are those of their parts,
    if the parts are the `whole`: at most else."""
    def is_sum(parts, total):
        return parts == total if is_whole else parts <= total

    sessions = stats["sessions"]
    assert sessions["accepted"] == sum(sessions["ends"].values()) + sessions["current"], sessions
    for end, count in sessions["ends"].items():
        parts = sum(frontend["ends"][end] for frontend in stats["frontends"].values())
        assert is_sum(parts, count), f"{end}: {stats}"
    for pool in stats["backends"].values():
        servers = pool["server_stats"].values()
        for key in ("total_connections", "current_connections", "bytes_tx", "bytes_rx"):
            assert is_sum(sum(server[key] for server in servers), pool[key]), f"{key}: {stats}"
        for server in servers:
            assert server["connects"]["connected"] == server["total_connections"], server
            assert server["connect_time"]["count"] == server["total_connections"], server
            assert sum(server["connect_time"]["buckets_ms"].values()) == \
                server["total_connections"], server
    for side in ("tx", "rx"):
        through = {parts: sum(part[f"bytes_{side}"] for part in stats[parts].values())
                   for parts in ("frontends", "backends")}
        total = stats[f"total_bytes_{side}"]
        assert through["frontends"] + stats["removed_frontends"][f"bytes_{side}"] == total, stats
        assert is_sum(through["backends"], total), stats
