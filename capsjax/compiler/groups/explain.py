"""What `explain` says of groups: what they are, how rows are contracted, the waste."""

from capsjax.compiler.groups.group import GroupProgram
from capsjax.compiler.groups.schedule import Dense, Schedule
from capsjax.compiler.text import table
from capsjax.graph.typed import TypedGroup


def group_lines(group: TypedGroup) -> list[str]:
    """A group in words."""
    caps = ", ".join(
        f"{cap} {int((group.cap_of == number).sum()):,}"
        for number, cap in enumerate(group.caps)
    )
    bias = "" if group.bias_shape is None else f" + B {group.bias_shape}"
    what = "capsules" if group.members else "neurons"
    read = ", ".join(group.sources)
    back = "" if group.backward is None else f"; back by {group.backward}"
    return [
        f"  {group.name}: {group.size:,} {what}, {len(group.edge_sources):,} edges, "
        f"reads {read}",
        f"    each U {group.unit} = sum of {group.weighting}{bias}; Y {group.unit} by "
        f"{caps}{back}",
    ]


def schedule_lines(program: GroupProgram) -> list[str]:
    """How a group's two sweeps are cut up, and what of it is padding."""
    sweeps = {
        "forward, outputs along the edges": program.forward_sweep,
        "backward, error signals against them": program.backward_sweep,
    }
    lines = []
    for name, sweep in sweeps.items():
        lines.append(
            f"group {program.group.name}, {name}: {sweep.rows:,} rows, "
            f"{sweep.edges:,} edges in {sweep.slots:,} slots, "
            f"{_waste(sweep):.1%} of them padding"
        )
        lines += table(_stages(sweep), left=1)
    return lines


def _waste(sweep: Schedule) -> float:
    return 1 - min(1.0, sweep.edges / max(sweep.slots, 1))


def _stages(sweep: Schedule) -> list[tuple[str, ...]]:
    rows = [("contraction", "sources", "rows", "times")]
    for stage, tables in zip(sweep.stages, sweep.tables, strict=True):
        if isinstance(stage, Dense):
            rows.append(("matrix product", f"{stage.reads:,}", f"{stage.rows:,}", "1"))
            continue
        for number, kind in enumerate(stage.kinds):
            count = len(tables[f"sources{number}"])
            what = "gather and contract" if kind.weighted else "sum of partial sums"
            if kind.weighted and kind.finish < 0:
                what = "partial sums"
            rows.append((what, str(kind.reads), f"{stage.rows:,}", f"{count:,}"))
    return rows
