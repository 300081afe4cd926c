"""A bar chart as an SVG in a data URI: Prefect's UI shows such an image, and strips inline SVG."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Final

_BAR: Final = 26
_GAP: Final = 4
_HEIGHT: Final = 120
_FOOT: Final = 34
_FEW: Final = 12
_LETTER: Final = 6
_COLORS: Final = ("#3b82f6", "#ef4444", "#94a3b8")
"""Of the parts of a bar, from below. The first is that of all plain bars."""


def bars(values: Sequence[tuple[str, int]], *, title: str) -> str:
    """A picture of (label, count) pairs as a data URI. A label is drawn under its bar where there is room."""
    return stacks([(label, [count]) for label, count in values], title=title)


def stacks(values: Sequence[tuple[str, Sequence[int]]], *, title: str) -> str:
    """The same of bars with up to three parts, drawn from below: blue, red and gray. Above a bar stands its sum."""
    step = _BAR + _GAP
    if len(values) <= _FEW:  # then each label has room
        step = max(step, max((len(label) for label, _ in values), default=0) * _LETTER + _GAP)
    width = max(len(values) * step + _GAP, 240)
    top = max((sum(parts) for _, parts in values), default=0) or 1
    every = max(len(values) // 24 + (len(values) % 24 > 0), 1)
    drawn = []
    for place, (label, parts) in enumerate(values):
        left, count, foot = _GAP + place * step + (step - _GAP - _BAR) // 2, sum(parts), 20 + _HEIGHT
        for part, color in zip(parts, _COLORS, strict=False):
            height = round(part / top * (_HEIGHT - 16))
            foot -= height
            drawn.append(f'<rect x="{left}" y="{foot}" width="{_BAR}" height="{height}" fill="{color}"/>')
        middle = left + _BAR / 2
        if count:
            drawn.append(f'<text x="{middle}" y="{foot - 4}">{count}</text>')
        if place % every == 0:
            drawn.append(f'<text x="{middle}" y="{34 + _HEIGHT}">{escape(label)}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{20 + _HEIGHT + _FOOT}" '
        f'font-family="sans-serif" font-size="10" text-anchor="middle" fill="#64748b">'
        f'<text x="{width / 2}" y="12" font-size="12">{escape(title)}</text>{"".join(drawn)}'
        f'<line x1="0" x2="{width}" y1="{20 + _HEIGHT}" y2="{20 + _HEIGHT}" stroke="#94a3b8"/></svg>'
    )
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
