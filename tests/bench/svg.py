# SPDX-License-Identifier: Apache-2.0
"""Bars with ranges, as SVG that takes its colours from the page."""

from html import escape

WIDTH = 760
LABEL_WIDTH = 250
VALUE_WIDTH = 90
BAR_HEIGHT = 16
STEP = 26
TICK = 5


def bars(title, entries, text):
    """One bar per entry: (label, median, low, high, class). `text` writes a number."""
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    most = max((high for _, _, _, high, _ in entries), default=0) or 1
    height = STEP * len(entries) + TICK
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">']
    for i, (label, median, low, high, kind) in enumerate(entries):
        top = i * STEP + TICK
        middle = top + BAR_HEIGHT / 2
        left, right = (LABEL_WIDTH + room * value / most for value in (low, high))
        parts.append(
            f'<text class="label" x="{LABEL_WIDTH - 8}" y="{middle}">{escape(label)}</text>'
            f'<rect class="bar {kind}" x="{LABEL_WIDTH}" y="{top}" width="{room * median / most:.1f}" '
            f'height="{BAR_HEIGHT}" rx="2"><title>{escape(label)}: {text(median)}, {text(low)} to {text(high)}</title></rect>'
            f'<path class="range" d="M{left:.1f} {middle}H{right:.1f}M{left:.1f} {middle - TICK}v{2 * TICK}'
            f'M{right:.1f} {middle - TICK}v{2 * TICK}"/>'
            f'<text class="value" x="{right + 8:.1f}" y="{middle}">{text(median)}</text>')
    return "".join(parts) + "</svg>"
