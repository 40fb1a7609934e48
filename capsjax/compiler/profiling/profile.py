"""profile: what a training step's time is spent on, capsule by capsule."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from capsjax.compiler.ahead import signature
from capsjax.compiler.jit import jit
from capsjax.compiler.profiling.operations import module_name, operations
from capsjax.compiler.profiling.scopes import capsule_of
from capsjax.compiler.profiling.timeline import divided, timeline
from capsjax.displayed import Displayed
from capsjax.graph.typed import TypedRun

if TYPE_CHECKING:
    import pandas as pd

    from capsjax.compiler.network import Network

OTHER = "(other)"
WAITING = "(waiting)"
_MARK = "capsjax step"
_WARM = 3


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Profile(Displayed):
    """What the time of a step is spent on, by capsule; prints itself.

    Made by `net.profile(batch)`.

    Attributes:
        name: The network's name.
        examples: Number of examples of the batch.
        table: By capsule, in the order in which they run, `forward`, `backward` and
            `total` in milliseconds, and `share` of the step. A run of equal copies has
            a row of its own, for what moves in its loop, and one for each capsule of a
            copy, of all copies together. Behind them "(other)", operations of no
            capsule, and "(waiting)", the time in which no operation ran. The totals
            add up to `traced`.
        step: Milliseconds of a step without the profiler, the mean of the quicker half.
        traced: Likewise with the profiler; these steps are what the table is of.
    """

    name: str
    examples: int
    table: "pd.DataFrame"
    step: float
    traced: float

    def __repr__(self) -> str:
        shown = self.table.assign(share=self.table["share"].map("{:.1%}".format))
        return "\n".join(
            [
                f"profile of network {self.name!r}, {self.examples} examples: forward "
                f"and backward in {self.step:.3g} ms, {self.traced:.3g} ms with the "
                "profiler; milliseconds by capsule",
                shown.to_string(
                    index=False, na_rep="", float_format="{:.3f}".format, max_rows=None
                ),
            ]
        )


def profile(
    net: "Network",
    batch: Mapping[str, Any],
    params: Any = None,
    state: Any = None,
    steps: int = 10,
) -> Profile:
    """`Network.profile`."""
    if steps < 1:
        raise ValueError(f"found steps={steps}; expected at least 1")
    made = signature(net, batch, "gradient")
    if params is None or state is None:
        own = net.init(jax.random.key(0))
        params = own[0] if params is None else params
        state = own[1] if state is None else state
    key = {} if made.key is None else {"key": jax.random.key(0)}
    arrays = {name: jax.numpy.asarray(array) for name, array in batch.items()}
    compiled = jit(made.call).lower(params, state, arrays, **key).compile()

    def step() -> None:
        jax.block_until_ready(compiled(params, state, arrays, **key))

    for _ in range(_WARM):
        step()
    alone = [_timed(step) for _ in range(steps)]
    trace = _traced(step, steps)
    text = compiled.as_text() or ""
    known = operations(text)
    found = timeline(trace, module_name(text), known, _MARK)
    if not found.spans:
        raise RuntimeError(
            f"network {net.graph.name!r}: found no operation of the step in the trace "
            f"of the platform {jax.default_backend()!r}; expected events with the "
            "statistics hlo_op and hlo_module, as on CPU and GPU; cure: "
            "cj.profiled(folder), and a viewer"
        )
    passed = [span.stop - span.start for span in found.steps]
    usual = _quicker_half(passed)
    names = _names(net)
    places = {name: capsule_of(op.op_name, names) for name, op in known.items()}
    spent: dict[tuple[str, bool], float] = {}
    waited = 0.0
    for number in usual:
        parts, rest = divided(found.spans, found.steps[number])
        waited += rest
        for name, nanoseconds in parts.items():
            capsule, back = places[name]
            place = capsule or OTHER, back
            spent[place] = spent.get(place, 0.0) + nanoseconds
    scale = 1e-6 / len(usual)
    size = next(iter(arrays.values())).shape[0]
    table = _table(net, {at: scale * ns for at, ns in spent.items()}, scale * waited)
    traced = 1e-6 * float(np.mean(np.take(passed, usual)))
    usually = float(np.mean(np.take(alone, _quicker_half(alone))))
    return Profile(net.graph.name, size, table, usually, traced)


def _quicker_half(times: Sequence[float]) -> np.ndarray:
    """Which steps are the least disturbed by what else the machine does."""
    return np.argsort(times)[: (len(times) + 1) // 2]


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def _traced(step: Callable[[], None], steps: int) -> Any:
    """The trace of some steps, each within an annotation."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    options.enable_hlo_proto = False
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(steps):
                with jax.profiler.TraceAnnotation(_MARK):
                    step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return jax.profiler.ProfileData.from_serialized_xspace(path.read_bytes())


def _names(net: "Network") -> dict[str, None]:
    """Names of the capsules as they run, groups and runs among them, in order."""
    if net.backward == "autodiff":
        return dict.fromkeys(capsule.name for capsule in net.typed.unfolded)
    names: dict[str, None] = {}
    for item in net.program.typed.capsules:
        names[item.name] = None
        if isinstance(item, TypedRun):
            names |= dict.fromkeys(capsule.name for capsule in item.body.capsules)
    return names


def _table(
    net: "Network", spent: Mapping[tuple[str, bool], float], waited: float
) -> "pd.DataFrame":
    """The table of `Profile`, from milliseconds by capsule and direction."""
    import pandas as pd

    rows = [
        (name, spent.get((name, False), 0.0), spent.get((name, True), 0.0))
        for name in (*_names(net), OTHER)
    ]
    table = pd.DataFrame(rows, columns=["capsule", "forward", "backward"])
    table["total"] = table["forward"] + table["backward"]
    waiting = {"capsule": [WAITING], "forward": [np.nan], "backward": [np.nan]}
    last = pd.DataFrame({**waiting, "total": [waited]})
    table = pd.concat([table, last], ignore_index=True)
    table["share"] = table["total"] / table["total"].sum()
    return table
