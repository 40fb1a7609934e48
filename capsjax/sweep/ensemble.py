"""ensemble: the same network from several seeds, and what they say together."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network, Precision
from capsjax.compiler.jit import jit
from capsjax.graph.errors import brief
from capsjax.sweep.executors.base import Executor
from capsjax.sweep.result import SweepResult
from capsjax.sweep.strategy import Strategy
from capsjax.sweep.sweep import seeds_of, sweep
from capsjax.training.data import Data, Split


class Prediction(NamedTuple):
    """What an ensemble says.

    Attributes:
        mean: The mean of the members' Y, by output, shape [B, ...].
        spread: Their standard deviation, likewise: how far they disagree.
        members: Y of each member, by output, shape [members, B, ...].
    """

    mean: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    members: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """Networks that differ by seed; made by `cj.ensemble`.

    Attributes:
        net: The network.
        params: Parameters of all members, stacked along a first axis.
        state: State of all members, likewise; the wiring of neurons stands once.
        result: The sweep that trained them: table, histories.
        lanes: How many members a program runs at once.
    """

    net: Network
    params: Any
    state: Any
    result: SweepResult
    lanes: int

    def __len__(self) -> int:
        return len(self.result.table)

    def predict(
        self, inputs: Mapping[str, Any] | Any, *, batch_size: int = 256
    ) -> Prediction:
        """What the members say of examples: their mean, and how far they disagree.

        One program serves all batches: the last one is filled up.

        Args:
            inputs: Arrays by input name, shape [N, ...]; or the array, where there is
                one input.
            batch_size: Examples at a time.

        Returns:
            Mean, standard deviation and all members' outputs, on the host.

        Raises:
            ValueError: The inputs do not fit the network.
        """
        arrays = self._arrays(inputs)
        count = len(next(iter(arrays.values())))
        size = min(batch_size, count)
        found: list[dict[str, np.ndarray]] = []
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            batch = {name: array[rows] for name, array in arrays.items()}
            found.append(jax.device_get(self._apply(self.params, self.state, batch)))
        members = {
            name: np.concatenate([each[name] for each in found], axis=1)[:, :count]
            for name in found[0]
        }
        wide = {name: array.astype(np.float64) for name, array in members.items()}
        return Prediction(
            {n: wide[n].mean(0).astype(own.dtype) for n, own in members.items()},
            {n: wide[n].std(0).astype(own.dtype) for n, own in members.items()},
            members,
        )

    def _arrays(self, inputs: Any) -> dict[str, np.ndarray]:
        names = [name for name, _ in self.net.typed.inputs]
        if not isinstance(inputs, Mapping):
            if len(names) > 1:
                raise ValueError(
                    f"network {self.net.graph.name!r} has the inputs "
                    f"{', '.join(names)}; found one array; expected arrays by name"
                )
            inputs = {names[0]: inputs}
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        counts = {name: len(array) for name, array in arrays.items() if array.ndim}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ValueError(
                f"inputs: found {brief(counts)} examples; expected one or more, as "
                "many of each"
            )
        return arrays

    @functools.cached_property
    def _apply(self) -> Any:
        """The program: members one by one, or several at once, as they were trained."""

        wiring = self.net.program.wiring()

        def all_of(params: Any, state: Any, batch: Any) -> Any:
            shared = {name: state[name] for name in wiring}
            own = {name: each for name, each in state.items() if name not in wiring}

            def one(member: Any) -> Any:
                return self.net.apply(member[0], {**shared, **member[1]}, batch)[0]

            return jax.lax.map(one, (params, own), batch_size=self.lanes)

        return jit(all_of)

    def __repr__(self) -> str:
        return f"Ensemble({len(self)} of {self.net!r})"


def ensemble(
    graph: Any,
    data: Data | Split | Mapping[str, Any],
    members: int | Sequence[int] = 5,
    *,
    validation: Split | Mapping[str, Any] | None = None,
    optimizer: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    precision: Precision | None = None,
    strategy: Strategy | None = None,
    memory_limit: int | str | None = None,
    out: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Ensemble:
    """Trains the same network from several seeds: what they say together.

    Args:
        graph: The declaration.
        data: As for `cj.fit`.
        members: How many seeds, from 0 on, or which.
        validation: Examples to measure on; the test set, if `data` has one.
        optimizer: What makes the optimizer, as for `cj.sweep`.
        epochs: Passes over the data; 20, if neither they nor steps are given.
        steps: Steps of a member, in place of epochs.
        batch_size: Examples a step.
        precision: In which types to compute.
        strategy: How members are run, as for `cj.sweep`; chosen, if left out.
        memory_limit: The most bytes of members that run at once.
        out: Folder where all is kept as it comes, and from which it is gone on with.
        executor: Who trains them, as for `cj.sweep`.
        progress: Whether to show a bar.

    Returns:
        The ensemble: `predict` gives mean and spread, `result` the tables.

    Raises:
        ValueError: A member diverged; or as for `cj.sweep`.
        FileExistsError: The folder holds something else.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> graph = cj.graph(digit, losses={"digit": "cross_entropy"})
        >>> data = cj.load_data("digits")
        >>> few = cj.ensemble(graph, data, 3, epochs=2, progress=False)
        >>> found = few.predict(data.test.inputs)
        >>> found.mean["digit"].shape, found.spread["digit"].shape
        ((355, 10), (355, 10))
        >>> len(few), found.members["digit"].shape
        (3, (3, 355, 10))

    Source: Lakshminarayanan, Pritzel & Blundell, arXiv 1612.01474.
    """
    result = sweep(
        graph,
        data,
        {},
        validation=validation,
        optimizer=optimizer,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seeds=seeds_of(members),
        precision=precision,
        strategy=strategy,
        memory_limit=memory_limit,
        out=out,
        executor=executor,
        progress=progress,
    )
    if len(result.diverged):
        numbers = list(result.diverged["seed"])
        raise ValueError(
            f"the members of seeds {', '.join(map(str, numbers))} diverged; expected "
            "finite losses; cure: a smaller learning rate"
        )
    runs = [result.run(number) for number in range(len(result.table))]
    net = runs[0].net
    wiring = net.program.wiring()

    def stacked(*leaves: Any) -> Any:
        return jnp.stack([jnp.asarray(leaf) for leaf in leaves])

    params = jax.tree.map(stacked, *[run.params for run in runs])
    own = [{n: s for n, s in run.state.items() if n not in wiring} for run in runs]
    state = {**{n: runs[0].state[n] for n in wiring}, **jax.tree.map(stacked, *own)}
    lanes = int(result.session.choices[0].lanes)
    return Ensemble(net, params, state, result, lanes)
