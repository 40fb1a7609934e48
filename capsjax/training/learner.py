"""One member's training as pure functions: what `fit` and sweeps have in common.

What changes from step to step is one pytree, the *carry*:

    params, state   those of the network
    average, taken  the moving average of the parameters, where one is kept, and the
                    steps it is over
    optimizer       the optimizer's state
    key             what the next random key is made of
    sums            metrics summed over the examples of the epoch

Numbers that are given, not built in, are two tables by name, of the network's traced
settings and of the optimizer's: `{"net": {...}, "optimizer": {...}}`; beside them may
stand "scale", a factor of all updates.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.graph.errors import brief, listing, nearest
from capsjax.training import metrics
from capsjax.training.averaging import average_start, average_update
from capsjax.training.optimizers import Optimizer
from capsjax.training.step import optimizer_step

Carry = dict[str, Any]
Given = dict[str, Any]
NOTHING: Given = {"net": {}, "optimizer": {}}
_HEAD = "optimizer."


def number(value: float) -> np.ndarray:
    """A number as programs are given it: in JAX's default float."""
    return np.asarray(value, jnp.result_type(float))


def _is_number(value: Any) -> bool:
    """Whether a value is one real number, of Python, numpy or JAX."""
    dtype = np.asarray(value).dtype
    kinds = (jnp.integer, jnp.floating)
    return np.ndim(value) == 0 and any(jnp.issubdtype(dtype, kind) for kind in kinds)


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of every array is finite."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))


@dataclasses.dataclass(frozen=True, eq=False)
class Learner:
    """A network, what makes its optimizer, and what else a step does.

    Attributes:
        net: The network.
        optimizer: The optimizer's factory.
        prepare: What makes a batch of what was fed, or None.
        augment: What changes the examples of a step at random,
            `augment(key, batch, train)`, or None.
        decay: That of the moving average of the parameters, or None for no average.
    """

    net: Network
    optimizer: Optimizer
    prepare: Callable[[Any], Any] | None = None
    augment: Callable[..., Any] | None = None
    decay: float | None = None

    def given(self, settings: Mapping[str, Any]) -> Given:
        """Settings by name, parted into the network's and the optimizer's.

        Args:
            settings: Numbers by name; `optimizer.NAME` is always the optimizer's.

        Raises:
            ValueError: A name is neither's, or both's; or a value is no number.
        """
        found: Given = {"net": {}, "optimizer": {}}
        for name, value in settings.items():
            part = self._part(name)
            own = name.removeprefix(_HEAD) if part == "optimizer" else name
            if own in found[part]:
                raise ValueError(
                    f"found the settings {own!r} and {_HEAD + own!r}, which are one; "
                    "expected one of them"
                )
            if not _is_number(value):
                raise ValueError(
                    f"setting {name!r}: found {brief(value)}; expected a number; what "
                    "is none is built into the graph or the optimizer"
                )
            found[part][own] = value
        return found

    def _part(self, name: str) -> str:
        """Whose a setting is."""
        net, own, of = self.net.settings, self.optimizer.settings, self.optimizer.name
        of_optimizer = name in own or name.removeprefix(_HEAD) in own
        if name in net and name in own:
            raise ValueError(
                f"found the setting {name!r}, which is one of the optimizer {of} and a "
                f"traced one of network {self.net.graph.name!r}; expected one of them; "
                f"cure: {_HEAD}{name} for the optimizer's, or trace the other under "
                "another name"
            )
        if name in net or of_optimizer:
            return "net" if name in net else "optimizer"
        known = [*net, *own]
        cure = nearest(name, known, "compile the network with traced=[...]")
        if not own:
            cure += "; an optimizer has its settings built in: give what makes one, "
            cure += "optimizer=optax.adam"
        raise ValueError(
            f"found the setting {name!r}; expected a setting of the optimizer {of}, or "
            f"a traced one of network {self.net.graph.name!r}: "
            f"{listing(known) or 'there is none'}; {cure}"
        )

    def require_settings(self, given: Given) -> None:
        """Raises `ValueError` where the optimizer lacks a setting."""
        rest = [n for n in self.optimizer.missing if n not in given["optimizer"]]
        if rest:
            raise ValueError(
                f"optimizer {self.optimizer.name}: found no {listing(rest)}; expected "
                "a number for it among the settings"
            )

    def initial(
        self, seed: int, given: Given = NOTHING, scale: Any = 1.0, params: Any = None
    ) -> Carry:
        """What a member begins with.

        Args:
            seed: Decides initial parameters and what is drawn.
            given: Settings.
            scale: Factor of initial weights.
            params: Parameters in place of initial ones; they are copied.
        """
        drawn, state = self.net.init(jax.random.key(seed), scale=scale)
        # A copy, since steps donate their buffers and the user's must stay whole.
        params = drawn if params is None else jax.tree.map(jnp.copy, params)
        average = {}
        if self.decay is not None:
            average = {"average": average_start(params), "taken": jnp.int32(0)}
        return {
            **average,
            "params": params,
            "state": state,
            "optimizer": self.optimizer(given["optimizer"]).init(params),
            "key": jax.random.key_data(jax.random.key(seed)),
            "sums": metrics.zero(self.net),
        }

    def drawn(self, key: jax.Array, batch: Any) -> tuple[Any, Any, Mapping[str, Any]]:
        """The next key data, the key of the network's capsules, and the batch.

        Args:
            key: Key data of the carry.
            batch: What was fed.
        """
        own = None
        if self.prepare is not None:
            batch = self.prepare(batch)
        if self.augment is not None:
            keys = jax.random.split(jax.random.wrap_key_data(key), 3)
            key, own = jax.random.key_data(keys[0]), keys[1]
            batch = self.augment(keys[2], batch, True)
        elif self.net.draws:  # else no program is burdened with it
            pair = jax.random.split(jax.random.wrap_key_data(key))
            key, own = jax.random.key_data(pair[0]), pair[1]
        return key, own if self.net.draws else None, batch

    def step(
        self, carry: Carry, batch: Any, given: Given, weights: Any = None
    ) -> Carry:
        """One step on one batch.

        Args:
            carry: What the step before has left.
            batch: Inputs and targets by name.
            given: Settings.
            weights: What each example counts, [B]; None where all count the same.
        """
        key, own, batch = self.drawn(carry["key"], batch)
        params, state, inner, loss, outputs = optimizer_step(
            self.net,
            self.optimizer(given["optimizer"]),
            carry["params"],
            carry["state"],
            carry["optimizer"],
            batch,
            own,
            given["net"],
            weights,
            given.get("scale"),
        )
        sums = metrics.of_step(self.net, loss, outputs, batch, weights)
        average = {}
        if self.decay is not None:
            taken = carry["taken"] + 1
            moved = average_update(carry["average"], params, self.decay, taken)
            average = {"average": moved, "taken": taken}
        return {
            **average,
            "params": params,
            "state": state,
            "optimizer": inner,
            "key": key,
            "sums": {name: carry["sums"][name] + sums[name] for name in sums},
        }

    def measured(
        self,
        sums: metrics.Sums,
        carry: Carry,
        batch: Mapping[str, Any],
        weights: jax.Array,
        given: Given,
    ) -> metrics.Sums:
        """Sums of an evaluation, with those of a batch added.

        Args:
            sums: Those of the batches before.
            carry: What holds the parameters and the state.
            batch: Inputs and targets by name.
            weights: 1 for examples that count, 0 for those that fill up the batch.
            given: Settings.
        """
        net, settings = self.net, given["net"]
        params, state = carry.get("average", carry["params"]), carry["state"]
        if self.prepare is not None:
            batch = self.prepare(batch)
        if self.augment is not None:
            batch = self.augment(jax.random.key(0), batch, False)
        losses, outputs = net.examples(params, state, batch, settings=settings)
        own = metrics.of_examples(net, losses, outputs, batch, weights, settings)
        return {name: sums[name] + own[name] for name in own}
