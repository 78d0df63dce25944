# SPDX-License-Identifier: Apache-2.0
"""The report: one HTML file that needs nothing else, light and dark, readable on paper."""

from html import escape

import cpu
import svg
from results import number

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0;
  --ours: #0a7d68; --theirs: #8a96a3; --limit: #c48a1b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e8ec; --soft: #9aa5b1; --line: #333b44;
  --ours: #35b89c; --theirs: #66727f; --limit: #d9a441; } }
body { font: 15px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .2rem } h3 { font-size: .95rem; margin: 1rem 0 0 }
p, .soft { color: var(--soft) } a { color: inherit }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .87rem }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
th { font-weight: 600; white-space: normal; vertical-align: bottom }
.facts td { text-align: left; white-space: normal } tr.ours td:first-child { color: var(--ours); font-weight: 600 }
svg { width: 100%; max-width: 760px; height: auto; margin: .4rem 0; display: block }
svg text { font-size: 12px; fill: var(--ink); dominant-baseline: central } svg .label { text-anchor: end }
svg .bar { fill: var(--theirs) } svg .ours { fill: var(--ours) } svg .limit { fill: var(--limit) }
svg .range { stroke: var(--ink); stroke-width: 1.2; fill: none }
section { break-inside: avoid }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --ours: #0a7d68; --theirs: #999;
  --limit: #c48a1b } body { margin: 0; max-width: none; font-size: 10pt }
  .bar { -webkit-print-color-adjust: exact; print-color-adjust: exact } }
"""


def kind_of(contestant):
    if contestant.is_culvert:
        return "ours"
    return "limit" if contestant.name in ("direct", "null", "null-xdp") else "theirs"


def chart(results, row, metric):
    entries = []
    for contestant, _ in results.of(row):
        summary = results.summary(row, contestant.name, metric)
        entries.append((contestant.title, summary.median, summary.low, summary.high, kind_of(contestant)))
    return svg.bars(f"{row.title}, {metric}" if len(row.metrics) > 1 else row.title, entries, number)


def table_head(row):
    columns = ["", *(name if len(row.metrics) > 1 else f"median, {row.unit}" for name in row.metrics), "range",
               "to HAProxy"]
    if row.work:
        columns += [f"processor s per {row.work}: its processes", "interrupts"]
    return "<tr>" + "".join(f"<th>{escape(column)}</th>" for column in columns) + "</tr>"


def table_line(results, row, contestant):
    summaries = [results.summary(row, contestant.name, metric) for metric in row.metrics]
    last = summaries[-1]
    cells = [escape(contestant.title), *(number(summary.median) for summary in summaries),
             f"{number(last.low)} – {number(last.high)}", f"{last.ratio:.2f}" if last.ratio else ""]
    if row.work:
        spent = results.cpu(row, contestant.name)
        cells += [f"{seconds:.3f}" for seconds in spent] if spent else ["", ""]
    return f'<tr class="{kind_of(contestant)}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def section(results, row):
    better = "more is better" if row.is_more_better else "less is better"
    last = f"; range and ratio are those of {row.metrics[-1]}" if len(row.metrics) > 1 else ""
    charts = "".join((f"<h3>{escape(metric)}</h3>" if len(row.metrics) > 1 else "") + chart(results, row, metric)
                     for metric in row.metrics)
    lines = "".join(table_line(results, row, contestant) for contestant, _ in results.of(row))
    return (f'<section id="{row.name}"><h2>{escape(row.title)}</h2>'
            f'<p class="soft">{row.name}: {row.unit}, {better}{last}</p>{charts}'
            f'<div class="scroll"><table>{table_head(row)}{lines}</table></div></section>')


def facts(pairs):
    return '<table class="facts">' + "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in pairs.items() if value is not None) + "</table>"


def troubles(results):
    found = results.troubles()
    if not found:
        return "<p>No client saw an error.</p>"
    return "<h2>What clients complained about</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in found) + "</ul>"


def page(results):
    rows = [row for row in results.rows if results.of(row)]
    rounds = f"{results.n_rounds} round{'s' if results.n_rounds != 1 else ''}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>culvert: benchmark</title><style>{STYLE}</style></head><body>
<h1>culvert beside others</h1>
<p>One machine, in one run: client, balancer and two nginx backends in network namespaces. The contestants took turns
in {rounds}; bars are medians, whiskers the ranges. Ratios within a row say more than its numbers, which say as much
about the machine. Floods are counted where they arrive, at the backends' interfaces, and swallowed there.</p>
<p>{escape(cpu.EXPLANATION)}</p>
{"".join(section(results, row) for row in rows)}
{troubles(results)}
<h2>The machine</h2>{facts(results.machine)}
<h2>The settings</h2>{facts(results.settings)}
</body></html>
"""
