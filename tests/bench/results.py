# SPDX-License-Identifier: Apache-2.0
"""What has been measured so far: kept as JSON, summed up by medians and ranges."""

import json
import statistics
from dataclasses import dataclass

BASE = "haproxy"      # whom ratios are to
WITHOUT = "direct"    # whose interrupts everybody has


@dataclass
class Summary:
    median: float
    low: float
    high: float
    ratio: float = None   # to BASE


def digits(value):
    if value and abs(value) < 10:
        return 2
    return 1 if abs(value) < 100 else 0


def number(value):
    return f"{value:,.{digits(value)}f}"


class Results:
    def __init__(self, machine, settings, rows, chosen):
        self.machine = machine
        self.settings = settings
        self.rows = rows
        self.chosen = chosen
        self.samples = {row.name: {c.name: [] for c in chosen if row.kind in c.does} for row in rows}
        self.n_rounds = 0

    def add(self, row, contestant, measured):
        used = measured.used
        self.samples[row.name][contestant.name].append({
            "metrics": measured.metrics, "work": measured.work, "trouble": measured.trouble,
            "process_seconds": used.process if used else None,
            "interrupt_seconds": used.interrupts if used else None,
        })

    def of(self, row):
        """Contestants of the row that have been measured, with their samples."""
        return [(c, self.samples[row.name][c.name]) for c in self.chosen if self.samples[row.name].get(c.name)]

    def summary(self, row, contestant, metric):
        values = [sample["metrics"][metric] for sample in self.samples[row.name][contestant]]
        summary = Summary(statistics.median(values), min(values), max(values))
        base = [sample["metrics"][metric] for sample in self.samples[row.name].get(BASE, [])]
        if base and statistics.median(base):
            summary.ratio = summary.median / statistics.median(base)
        return summary

    def cpu(self, row, contestant):
        """(of its processes, of interrupts) per unit of work, or None where that says nothing."""
        samples = self.samples[row.name][contestant]
        if not row.work or any(not sample["work"] for sample in samples):
            return None
        process = statistics.median(s["process_seconds"] / s["work"] for s in samples)
        interrupts = statistics.median(s["interrupt_seconds"] / s["work"] for s in samples)
        without = self.samples[row.name].get(WITHOUT) or []
        if without:
            interrupts -= statistics.median(s["interrupt_seconds"] / s["work"] for s in without)
        return process, max(interrupts, 0.0)

    def troubles(self):
        return [f"{row.name}, {contestant.name}: {sample['trouble']}" for row in self.rows
                for contestant, samples in self.of(row) for sample in samples if sample["trouble"]]

    def as_json(self):
        rows = [{"name": row.name, "title": row.title, "unit": row.unit, "is_more_better": row.is_more_better,
                 "metrics": list(row.metrics), "work": row.work, "samples": self.samples[row.name]}
                for row in self.rows]
        return json.dumps({"machine": self.machine, "settings": self.settings, "rounds": self.n_rounds,
                           "contestants": {c.name: c.title for c in self.chosen}, "rows": rows}, indent=1) + "\n"


def show_row(results, row):
    better = "more" if row.is_more_better else "less"
    print(f"\n{row.name}: {row.title} ({row.unit}, {better} is better)")
    for metric in row.metrics:
        if len(row.metrics) > 1:
            print(f" {metric}")
        for contestant, _ in results.of(row):
            summary = results.summary(row, contestant.name, metric)
            spread = f"{number(summary.low)} to {number(summary.high)}"
            ratio = f"{summary.ratio:8.2f}" if summary.ratio else " " * 8
            spent = results.cpu(row, contestant.name)
            cpu = f"{spent[0]:>10.3f}{spent[1]:>10.3f}" if spent and metric == row.metrics[0] else ""
            print(f"  {contestant.name:<18}{number(summary.median):>12}  {spread:<24}{ratio}{cpu}")


def show(results):
    print("Medians, ranges, ratios to HAProxy; processor seconds per unit of work: its processes, interrupts")
    for row in results.rows:
        if results.of(row):
            show_row(results, row)
    for trouble in results.troubles():
        print(f"trouble: {trouble}")
