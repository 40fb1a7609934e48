"""The table of one problem as text."""

from collections.abc import Sequence

_MEBIBYTE = 2**20

# heading, key in the figures, how one figure is written.
_COLUMNS = (
    ("step ms", "step_s", lambda x: f"{1e3 * x:.2f}"),
    ("/ hand", "step_ratio", lambda x: f"{x:.2f}"),
    ("quartiles", "step_ratio_quartiles", lambda x: f"{x[0]:.2f}-{x[1]:.2f}"),
    ("trace s", "trace_s", lambda x: f"{x:.2f}"),
    ("compile s", "compile_s", lambda x: f"{x:.2f}"),
    ("sum s", "trace_and_compile_s", lambda x: f"{x:.2f}"),
    ("/ fastest", "compile_ratio", lambda x: f"{x:.2f}"),
    ("1st step s", "first_step_s", lambda x: f"{x:.2f}"),
    ("peak MiB", "peak_rss", lambda x: f"{x / _MEBIBYTE:.0f}"),
    ("XLA MiB", "program_memory", lambda x: f"{x / _MEBIBYTE:.1f}"),
    ("kept MiB", "residual", lambda x: f"{x / _MEBIBYTE:.1f}"),
)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of one width; the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        padded = (c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *padded]))
    return "\n".join(lines)


def table(figures: dict[str, dict]) -> str:
    """Writes `{peer: figures}` as aligned columns; a dash where nothing is known."""
    rows = [["", *(heading for heading, _, _ in _COLUMNS)]]
    for peer, row in figures.items():
        cells = [
            "-" if row.get(key) is None else write(row[key])
            for _, key, write in _COLUMNS
        ]
        rows.append([peer, *cells])
    return aligned(rows)
