"""Tables as text."""

from collections.abc import Iterable


def table(rows: Iterable[tuple[str, ...]], left: int = 3) -> list[str]:
    """Rows of cells as indented lines, columns aligned.

    Args:
        rows: The rows, the head among them; all of one length.
        left: How many columns stand flush left; the others, figures, flush right.

    Returns:
        A line for each row.
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
