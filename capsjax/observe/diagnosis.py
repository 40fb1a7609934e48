"""diagnose: whether outputs and error signals vanish or explode with depth."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.jit import jit
from capsjax.compiler.plan import behind
from capsjax.displayed import Displayed
from capsjax.graph.typed import TypedGraph
from capsjax.observe.measures import apart, root_mean_square, signals, sizes

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 1000.0
"""Out of range is what is this many times larger or smaller than at the start."""

_ROWS = 40


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of one quantity, from where it starts on.

    Attributes:
        quantity: "Y", from the inputs on; or "delta", from the losses back.
        start: Its size there.
        growth: By how much it is multiplied from one depth to the next one on its way,
            over all depths; None where there are fewer than two.
        first: The first capsule on its way that is out of range, if there is one.
        problem: What is wrong there: "vanishes", "explodes", "is zero" or "is not
            finite"; or None.
        smallest: The capsule where it is the smallest.
        largest: The capsule where it is the largest.
    """

    quantity: str
    start: float
    growth: float | None
    first: str | None
    problem: str | None
    smallest: str
    largest: str


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Displayed):
    """What `cj.diagnose` has found; prints itself.

    Attributes:
        name: The network's name.
        examples: How many examples it was measured on.
        table: In topological order, `capsule`, `depth` (the longest way from an
            input), `Y` (root mean square of the output), `delta` (length of an
            example's error signal; NaN where none is asked for: no parameter stands
            before the capsule, or no loss behind it), `problem` (what is wrong).
        findings: One on Y, one on delta.
        healthy: Whether nothing is out of range.
    """

    name: str
    examples: int
    table: "pd.DataFrame"
    findings: tuple[Finding, Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is out of range."""
        return all(finding.first is None for finding in self.findings)

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"diagnosis of network {self.name!r}, {self.examples} examples",
                *(self._words(finding) for finding in self.findings),
                "",
                self.table.to_string(
                    index=False, max_rows=_ROWS, float_format="{:.3g}".format
                ),
            ]
        )

    def _words(self, finding: Finding) -> str:
        size = self.table.set_index("capsule")[finding.quantity]
        start = "inputs" if finding.quantity == "Y" else "losses"
        way = "next" if finding.quantity == "Y" else "one before"
        if finding.first is None:
            words = "is in range"
        else:
            words = (
                f"{finding.problem}: the first out of range on the way from the "
                f"{start} is {finding.first!r}, {size[finding.first]:.3g}"
            )
        words = (
            f"  |{finding.quantity}| {words}; {finding.start:.3g} at the {start}, "
            f"smallest {size[finding.smallest]:.3g} ({finding.smallest}), "
            f"largest {size[finding.largest]:.3g} ({finding.largest})"
        )
        if finding.growth is not None:
            words += f"; times {finding.growth:.3g} from one depth to the {way}"
        return words


def diagnose(
    net: Network,
    batch: Mapping[str, Any],
    *,
    params: Any = None,
    state: Any = None,
    seed: int = 0,
) -> Diagnosis:
    """Says how outputs and error signals grow with depth, and where they go wrong.

    |Y| is the root mean square of a capsule's output, |delta| the length of its error
    signal for one example, root mean square over examples; both in training. Out of
    range is, of capsules that others read, |Y| more than 1000 times larger or smaller
    than the inputs (or, where these are integers, than what reads them), and |delta|
    more than 1000 times larger or smaller than the largest where the losses are; and
    what is not finite.

    Args:
        net: The network; its graph declares a loss.
        batch: Inputs and targets by name.
        params: Parameters; initial ones if left out.
        state: State; initial if left out.
        seed: Decides initial parameters, and what is drawn.

    Returns:
        The diagnosis: prints itself in words and as a table; `cj.view.diagnosis` draws
        it.

    Raises:
        ValueError: As for `net.loss`.

    Example:
        >>> import capsjax as cj
        >>> h = cj.input("x", (32,))
        >>> for i in range(1, 33):
        ...     h = cj.capsule(f"h{i}", cj.matmul(h, 32), cap="sigmoid")
        >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> x = jax.random.normal(jax.random.key(0), (8, 32))
        >>> found = cj.diagnose(net, {"x": x, "y": jnp.arange(8) % 2})
        >>> found.findings[1].problem
        'vanishes'

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010.
    """
    initial = net.init(jax.random.key(seed))
    params = initial[0] if params is None else params
    state = initial[1] if state is None else state

    def measured(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        inputs, _ = apart(net, batch)
        given = {n: root_mean_square(jnp.asarray(a)) for n, a in inputs.items()}
        return sizes(*signals(net, params, state, batch, key))[:2], given

    found = jit(measured)(params, state, dict(batch), jax.random.key(seed))
    (outputs, deltas), given = jax.tree.map(float, found)
    typed = net.typed
    depth = _depths(typed)
    order = [name for name in depth if name in outputs]
    start = [size for name, size in given.items() if name not in typed.integers]
    if not start:
        start = [outputs[name] for name in order if depth[name] == 1]
    read = {name for capsule in typed.capsules for name in capsule.sources}
    learned = {c.name for c in typed.alone if not c.terms}
    judged = {name for name in order if name in read - learned}
    forward = _finding("Y", _mean(start), order, outputs, judged, depth)
    asked = _asked(typed)
    deltas = {name: deltas[name] if name in asked else math.nan for name in order}
    losses = [deltas[each.output] for each in typed.losses if each.output in asked]
    back = [name for name in reversed(order) if name in asked]
    backward = _finding("delta", max(losses, default=0.0), back, deltas, asked, depth)
    import pandas as pd  # here: it is rarely needed, and takes a while

    problems = [
        ", ".join(
            f"|{finding.quantity}| {problem}"
            for finding, table, names in (
                (forward, outputs, judged),
                (backward, deltas, asked),
            )
            if (problem := _problem(table[name], finding.start, name in names))
        )
        for name in order
    ]
    table = pd.DataFrame(
        {
            "capsule": order,
            "depth": [depth[name] for name in order],
            "Y": [outputs[name] for name in order],
            "delta": [deltas[name] for name in order],
            "problem": problems,
        }
    )
    examples = len(next(iter(batch.values())))
    return Diagnosis(typed.graph.name, examples, table, (forward, backward))


def _finding(
    quantity: str,
    start: float,
    order: list[str],
    table: Mapping[str, float],
    judged: set[str],
    depth: Mapping[str, int],
) -> Finding:
    """What is found in a table; the capsules in the order of the way."""
    problems = {n: _problem(table[n], start, n in judged) for n in order}
    first = next((name for name in order if problems[name]), None)
    shown = [name for name in order if name in judged] or order
    return Finding(
        quantity,
        start,
        _growth(shown, table, depth, backward=quantity == "delta"),
        first,
        None if first is None else problems[first],
        min(shown, key=table.__getitem__),
        max(shown, key=table.__getitem__),
    )


def _problem(size: float, start: float, judged: bool) -> str | None:
    if math.isnan(size) and not judged:
        return None
    if not math.isfinite(size):
        return "is not finite"
    if not judged:
        return None
    if size == 0:
        return "is zero"
    if size * LIMIT < start:
        return "vanishes"
    return "explodes" if size > LIMIT * start else None


def _growth(
    names: list[str],
    table: Mapping[str, float],
    depth: Mapping[str, int],
    backward: bool,
) -> float | None:
    """The factor from depth to depth of the exponential that fits best."""
    sound = [name for name in names if 0 < table[name] < math.inf]
    depths = np.array([depth[name] for name in sound])
    if len(set(depths.tolist())) < 2:
        return None
    slope = np.polyfit(depths, np.log([table[name] for name in sound]), 1)[0]
    return math.exp(-slope if backward else slope)


def _depths(typed: TypedGraph) -> dict[str, int]:
    """The longest way from an input, by capsule, in topological order."""
    found: dict[str, int] = {name: 0 for name, _ in typed.inputs}
    for capsule in typed.unfolded:
        own = 1 + max((found[name] for name in capsule.sources), default=-1)
        found |= dict.fromkeys((capsule.name, *capsule.made), own)
    names = {capsule.name for capsule in typed.unfolded}
    return {name: own for name, own in found.items() if name in names}


def _asked(typed: TypedGraph) -> set[str]:
    """Capsules with parameters in them or before them, and a loss behind them."""
    needed = {each.output for each in typed.losses}
    for capsule in reversed(typed.unfolded):
        if not needed.isdisjoint((capsule.name, *capsule.made)):
            needed.update((capsule.name, *capsule.sources))
    names = {capsule.name for capsule in typed.unfolded}
    return needed & behind(typed, ()) & names


def _mean(sizes: list[float]) -> float:
    return math.sqrt(sum(size**2 for size in sizes) / len(sizes))
