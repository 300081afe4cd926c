"""A picture of what a benchmark measured, for a document."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

_ROW: Final = 26
_NAMES: Final = 200
_EDGE: Final = 10
_BAR: Final = 400
_GREY: Final = "#94a3b8"
_BLUE: Final = "#3b82f6"
_INK: Final = "#1e293b"
_PAPER: Final = "#ffffff"
"""A page may be dark, and the ink would not show on it."""


def draw(path: Path, title: str, rows: Sequence[tuple[str, float, bool]], *, unit: str) -> None:
    """Write horizontal bars as an SVG file.

    Args:
        rows: a name, its value, and whether it is ours, which is drawn in another color.
        unit: what stands behind each value.
    """
    most = max(value for _, value, _ in rows)
    width, height = _EDGE + _NAMES + _BAR + 110, 34 + len(rows) * _ROW + _EDGE
    drawn = [
        f'<rect width="{width}" height="{height}" rx="6" fill="{_PAPER}"/>',
        f'<text x="{_EDGE}" y="{_EDGE + 12}" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, value, ours) in enumerate(rows):
        top, long = 34 + place * _ROW, round(_BAR * value / most)
        color = _BLUE if ours else _GREY
        drawn.append(f'<text x="{_EDGE + _NAMES - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        drawn.append(f'<rect x="{_EDGE + _NAMES}" y="{top}" width="{long}" height="{_ROW - 6}" fill="{color}"/>')
        drawn.append(f'<text x="{_EDGE + _NAMES + long + 6}" y="{top + 15}">{value:.0f} {unit}</text>')
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14" fill="{_INK}">'
    path.write_text("\n".join([svg, *drawn, "</svg>\n"]), encoding="utf-8")
