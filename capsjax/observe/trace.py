"""trace: what signals, weights and gradients do while a network is trained."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax import compiler
from capsjax.compiler import Network
from capsjax.compiler.batch import require_loss
from capsjax.compiler.jit import jit
from capsjax.compiler.parameters import flatten
from capsjax.displayed import Displayed
from capsjax.observe.histograms import EDGES, histogram
from capsjax.observe.measures import length, signals, sizes

if TYPE_CHECKING:
    import pandas as pd

Name = tuple[str, str, str]
"""Capsule, or name of a shared weight; source, of an edge; quantity."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measured:
    """Numbers by name: a pytree of arrays, which `jax.vmap` and `scan` may stack.

    Attributes:
        names: For each number the capsule, the source (empty but for edges), and the
            quantity.
        values: The numbers, [n]; of members, [members, n].
        counted: For each histogram the same as in `names`.
        counts: The histograms, [m, bins]; of members, [members, m, bins]; None if none
            are made.
    """

    names: tuple[Name, ...] = dataclasses.field(metadata={"static": True})
    values: jax.Array
    counted: tuple[Name, ...] = dataclasses.field(default=(), metadata={"static": True})
    counts: jax.Array | None = None


class Tracer(Displayed):
    """Measures a network now and then while it is trained; made by `cj.trace`.

    Attributes:
        net: The network.
        batch: The examples on which all is measured.
        every: At which steps: multiples of it.
        counting: Whether histograms are made, too.
    """

    def __init__(
        self, net: Network, batch: Mapping[str, Any], every: int, counting: bool
    ):
        self.net, self.batch, self.every = net, dict(batch), every
        self.counting = counting
        self._exact = _exact(net)
        self._program = jit(self.measure)
        self._records: list[tuple[int, Measured]] = []

    def __call__(self, step: int, params: Any, state: Any) -> None:
        """Measures, if the step is one of those; does not wait for the numbers.

        Args:
            step: How many steps have been taken.
            params: Parameters.
            state: State.
        """
        if step % self.every == 0:
            self.record(step, self._program(params, state))

    def measure(self, params: Any, state: Any) -> Measured:
        """The numbers of one moment: a pure function, for `jax.vmap` over members too.

        Args:
            params: Parameters.
            state: State.

        Returns:
            What `record` takes.

        Raises:
            ValueError: As for `net.loss`.
        """
        net, batch, key = self.net, self.batch, jax.random.key(0)

        def gradient(net: Network, params: Any, state: Any) -> dict[Any, jax.Array]:
            def loss(params: Any) -> jax.Array:
                return net.loss(params, state, batch, key=key)[0]

            return dict(flatten(net.named(jax.grad(loss)(params))))

        found: dict[Name, jax.Array] = {}
        outputs, deltas = signals(net, params, state, batch, key)
        tables = sizes(outputs, deltas)
        for quantity, table in zip(("Y", "delta", "dead"), tables, strict=True):
            found |= {(name, "", quantity): size for name, size in table.items()}
        own = gradient(net, params, state)
        named = net.named(params)
        for name, array in flatten(named):
            found[_row(name)] = length(array)
            found[_row(name, "d")] = length(own[name])
        if self._exact is not None:
            params = self._exact.from_named(named)
            state = self._exact.state_from_named(net.named_state(state))
            found |= _cosines(own, gradient(self._exact, params, state))
        values = jnp.stack([jnp.asarray(value, float) for value in found.values()])
        if not self.counting:
            return Measured(tuple(found), values)
        counted = _histograms(outputs, deltas, named)
        counts = jnp.stack(list(counted.values()))
        return Measured(tuple(found), values, tuple(counted), counts)

    def record(self, step: int, measured: Measured) -> None:
        """Adds the numbers of one moment to the table.

        Args:
            step: How many steps have been taken.
            measured: What `measure` gave, for one network or, under `jax.vmap`, for
                each of its members.
        """
        self._records.append((step, measured))

    @property
    def table(self) -> "pd.DataFrame":
        """All numbers, one a row: `step`, `capsule`, `source`, `quantity`, `value`.

        With members, their number stands behind the step, as `member`. Quantities:

            Y         root mean square of the output
            delta     length of an example's error signal, root mean square over
                      examples
            dead      share of units along the last axis whose Y is always zero
            W, dW     length of the weight of the edge from `source`, of its gradient
            B, dB     length of the bias, of its gradient; likewise of parameters of a
                      capsule function's own
            cosine    between the gradient and the exact one, of the weight of the edge
                      from `source`, or of all parameters of the capsule: the cosine of
                      the alignment angle; only where there are backward rules
        """
        import pandas as pd  # here: the first step shall not wait for it

        parts = []
        for step, measured in self._records:
            values = np.asarray(measured.values)
            capsules, sources, quantities = zip(*measured.names, strict=True)
            for member, own in enumerate(np.atleast_2d(values)):
                columns: dict[str, Any] = {"step": step}
                if values.ndim == 2:
                    columns["member"] = member
                columns |= {"capsule": capsules, "source": sources}
                columns |= {"quantity": quantities, "value": own}
                parts.append(pd.DataFrame(columns))
        if not parts:
            names = ["step", "capsule", "source", "quantity", "value"]
            return pd.DataFrame({name: [] for name in names})
        return pd.concat(parts, ignore_index=True)

    @property
    def histograms(self) -> "pd.DataFrame":
        """All histograms, one row a bin that is not empty.

        `step`, (`member`,) `capsule`, `source`, `quantity`; `low` and `high`, between
        which |x| is; and the `share` of all entries. Quantities are `Y`, `delta` (of an
        example), `W` and `B`. Bins reach from 1e-12 to 1e4, four to a decade: the first
        one holds zeros, too, and the last one what is not finite. Empty unless
        `cj.trace` was told `histograms=True`.
        """
        import pandas as pd  # here: the first step shall not wait for it

        names = ["step", "member", "capsule", "source", "quantity"]
        names += ["low", "high", "share"]
        rows: list[tuple[Any, ...]] = []
        several = False
        for step, measured in self._records:
            counts = np.asarray(measured.counts) if self.counting else np.zeros((0, 1))
            several = several or counts.ndim == 3
            shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
            for at in zip(*np.nonzero(shares), strict=True):
                *member, which, bin = at
                place = (step, *(member or [0]), *measured.counted[which])
                rows.append((*place, EDGES[bin], EDGES[bin + 1], shares[at]))
        table = pd.DataFrame(rows, columns=names)
        return table if several else table.drop(columns="member")

    def __repr__(self) -> str:
        return (
            f"Tracer({self.net.graph.name!r}, every {self.every} steps, "
            f"{len(self._records)} recorded)"
        )


def trace(
    net: Network,
    batch: Mapping[str, Any],
    *,
    every: int = 100,
    histograms: bool = False,
) -> Tracer:
    """Watches signals, weights and gradients of a network while it is trained.

    Every so many steps, |Y|, |delta| and the share of dead units of each capsule,
    length of each weight and of its gradient, and, where backward rules make it
    another one than the exact gradient, the cosine between the two. All is measured on
    one batch, in training, with one key: what changes is the parameters. It is one
    program of its own; the step's stays what it is.

    Args:
        net: The network; its graph declares a loss.
        batch: Inputs and targets by name: the examples on which all is measured, some
            hundred at most.
        every: Number of steps.
        histograms: Whether to count, too, how many entries of each output, error
            signal and parameter have which size: `tracer.histograms`, which
            `cj.view.histograms` draws.

    Returns:
        The tracer: `cj.fit(net, data, trace=tracer)`, or `tracer(step, params, state)`
        in a loop of one's own; then `tracer.table`, and `cj.view.trace(tracer.table)`.
        Where members are trained under `jax.vmap`,
        `tracer.record(step, jax.vmap(tracer.measure)(params, state))`.

    Raises:
        ValueError: `every` is less than 1; or the network declares no loss.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> data = {"x": np.eye(2, dtype="float32"), "y": np.ones((2, 1), "float32")}
        >>> tracer = cj.trace(net, data, every=5)
        >>> run = cj.fit(net, data, epochs=10, progress=False, trace=tracer)
        >>> table = tracer.table
        >>> list(table[table["quantity"] == "dW"]["step"])
        [0, 5, 10]
    """
    if every < 1:
        raise ValueError(f"found every={every}; expected at least 1")
    require_loss(net.graph)
    return Tracer(net, batch, every, histograms)


def _exact(net: Network) -> Network | None:
    """The network with exact gradients; None if it is this one."""
    if not any(capsule.ruled for capsule in net.typed.unfolded):
        return None
    return compiler.compile(
        net.graph,
        backward="exact",
        precision=net.precision,
        passes=net.passes,
        check=False,
    )


def _histograms(outputs: Any, deltas: Any, named: Any) -> dict[Name, jax.Array]:
    """Histograms of outputs, error signals and parameters."""
    found = {(name, "", "Y"): histogram(y) for name, y in outputs.items()}
    for name, delta in deltas.items():  # of an example, as in the table
        found[name, "", "delta"] = histogram(delta * delta.shape[0])
    return found | {_row(name): histogram(own) for name, own in flatten(named)}


def _row(name: tuple[str, ...], prefix: str = "") -> Name:
    """The row of a parameter: ("c1", "W", "image") -> ("c1", "image", "W")."""
    capsule, part, *rest = name
    if part == "cap":
        return capsule, "", prefix + rest[0]
    return capsule, "".join(rest), prefix + part


def _cosines(own: Mapping[Any, Any], exact: Mapping[Any, Any]) -> dict[Name, jax.Array]:
    """Cosines between gradients, of each weight and of all that is a capsule's.

    With arrays a_i and b_i of lengths A_i and B_i, and c_i the cosine between them,
    that of all taken as one vector is

        sum over i of c_i A_i B_i / (root of sum A_i^2 * root of sum B_i^2)
    """
    found: dict[Name, jax.Array] = {}
    parts: dict[str, list[tuple[jax.Array, jax.Array, jax.Array]]] = {}
    for name, a in own.items():
        b = exact[name]
        one, other = length(a), length(b)
        unit = jnp.where(one > 0, one, 1), jnp.where(other > 0, other, 1)
        cosine = jnp.sum((a / unit[0]) * (b / unit[1]))
        capsule, source, _ = _row(name)
        parts.setdefault(capsule, []).append((cosine, one, other))
        if "W" in name:
            known = (one > 0) & (other > 0)
            found[capsule, source, "cosine"] = jnp.where(known, cosine, jnp.nan)
    for capsule, of in parts.items():
        cosine, one, other = (jnp.stack(each) for each in zip(*of, strict=True))
        shares = (one / length(one)) * (other / length(other))
        found[capsule, "", "cosine"] = jnp.sum(cosine * shares)
    return found
