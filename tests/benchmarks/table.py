"""How a benchmark tells what it measured."""

from collections.abc import Sequence


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right."""
    told = [list(headings), *([_told(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in told) for column in range(len(headings))]
    print(f"\n{title}")
    for row in told:
        first, *others = zip(row, widths, strict=True)
        print(
            "  ".join(
                [
                    first[0].ljust(first[1]),
                    *(cell.rjust(width) for cell, width in others),
                ]
            )
        )


def _told(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
