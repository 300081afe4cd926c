"""How a benchmark tells what it measured."""

from collections.abc import Sequence


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right."""
    cells = [list(headings), *([_cell_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    print(f"\n{title}")
    for row in cells:
        label, *numbers = zip(row, widths, strict=True)
        print(
            "  ".join(
                [
                    label[0].ljust(label[1]),
                    *(cell.rjust(width) for cell, width in numbers),
                ]
            )
        )


def _cell_text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
