"""A picture of what a benchmark measured, for a document."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

_ROW: Final = 26
_NAMES: Final = 190
_BAR: Final = 420
_GREY: Final = "#94a3b8"
_BLUE: Final = "#3b82f6"
_INK: Final = "#64748b"


def draw(path: Path, title: str, rows: Sequence[tuple[str, float, bool]], *, unit: str) -> None:
    """Write horizontal bars as an SVG file.

    Args:
        rows: a name, its value, and whether it is ours, which is drawn in another color.
        unit: what stands behind each value.
    """
    most = max(value for _, value, _ in rows)
    drawn = [f'<text x="0" y="14" font-size="13">{escape(title)}</text>']
    for place, (name, value, ours) in enumerate(rows):
        top, width = 26 + place * _ROW, round(_BAR * value / most)
        color = _BLUE if ours else _GREY
        drawn.append(f'<text x="{_NAMES - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>')
        drawn.append(f'<rect x="{_NAMES}" y="{top}" width="{width}" height="{_ROW - 6}" fill="{color}"/>')
        drawn.append(f'<text x="{_NAMES + width + 6}" y="{top + 14}">{value:.0f} {unit}</text>')
    size = f'width="{_NAMES + _BAR + 110}" height="{30 + len(rows) * _ROW}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{_INK}">'
    path.write_text("\n".join([svg, *drawn, "</svg>\n"]), encoding="utf-8")
