"""Four ways to train a network under many learning rates.

    baked   what people write: for each rate a step of its own, `jax.jit` with the rate
            built in, and a Python loop over the steps
    loop    one program for all: the rate is an argument; a member's whole training is
            one scan, and the program is called once a member
    vmap    that program under `vmap` over all members
    sweep   `cj.sweep`

The first three are written by hand around `net.loss`: the same network, the same
compiler's options, the same order of examples as `cj.fit`, Adam. Each measures a member
once, after its last step, on the test set, and leaves its metrics and its parameters on
the host, as `cj.sweep` does.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import capsjax as cj
from bench.sweep.problems import Problem
from capsjax.training.dataset import covering, permutation

jit = functools.partial(jax.jit, compiler_options=cj.compiler_options())

TRAINING = ("jit(step)", "jit(member)", "jit(members)", "jit(advance)")
"""Names of the programs that train, as JAX tells them: the last is of `cj.sweep`."""

_EVALUATED = 4
"""Examples of an evaluation's batch in those of a step, as in `cj.sweep`."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of all members: arrays over members, on the host."""

    loss: np.ndarray
    accuracy: np.ndarray
    compile_s: float | None = None
    strategy: str = ""


class ByHand:
    """What the three ways that are written by hand have in common."""

    def __init__(self, problem: Problem, data: Any, rates: Sequence[float]):
        self.rates, self.problem, self.data = list(rates), problem, data

    @functools.cached_property
    def net(self) -> cj.Network:
        return cj.compile(self.problem.build())

    @functools.cached_property
    def train(self) -> tuple[jax.Array, jax.Array]:
        return self._placed(self.data.train)

    @functools.cached_property
    def test(self) -> tuple[jax.Array, jax.Array]:
        return self._placed(self.data.test)

    def _placed(self, split: Any) -> tuple[jax.Array, jax.Array]:
        return jax.device_put((split.inputs, split.targets))

    @functools.cached_property
    def begun(self) -> Any:
        """Parameters and state that all members begin with: they are of one seed."""
        return self.net.init(jax.random.key(0))

    @functools.cached_property
    def order(self) -> np.ndarray:
        """The examples of every step, [steps, batch size], as `cj.fit` takes them."""
        count, size = len(self.data.train), self.problem.batch_size
        steps = self.problem.all_steps(count)
        epochs = range(1, -(-steps // (count // size)) + 1)
        rows = [permutation(count, size, 0, epoch) for epoch in epochs]
        return np.concatenate(rows)[:steps]

    def batch(self, images: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
        return {"image": images, self.net.graph.outputs[0]: labels}

    def learn(self, optimizer: Any, carry: Any, rows: jax.Array, train: Any) -> Any:
        """One step."""
        params, state, moments = carry
        batch = self.batch(*(jnp.take(array, rows, axis=0) for array in train))
        gradient = jax.value_and_grad(self.net.loss, has_aux=True)
        (loss, (_, state)), grads = gradient(params, state, batch)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), state, moments), loss

    def measured(self, carry: Any, test: Any) -> tuple[jax.Array, jax.Array]:
        """Mean loss and accuracy over the test set."""
        params, state, _ = carry
        count = len(test[0])
        size = min(count, _EVALUATED * self.problem.batch_size)
        output = self.net.graph.outputs[0]

        def one(sums: Any, chosen: Any) -> Any:
            rows, weight = chosen
            images, labels = (jnp.take(array, rows, axis=0) for array in test)
            batch = self.batch(images, labels)
            losses, outputs = self.net.examples(params, state, batch)
            right = outputs[output].argmax(-1) == labels
            own = sum(each @ weight for each in losses.values()), right @ weight
            return jax.tree.map(jnp.add, sums, own), None

        sums, _ = jax.lax.scan(one, (0.0, 0.0), covering(count, size))
        return sums[0] / count, sums[1] / count


class Baked(ByHand):
    """A program for each rate; the Python loop over steps is `cj.fit`'s."""

    @functools.cached_property
    def steps(self) -> dict[float, Callable[..., Any]]:
        return {rate: self._step(optax.adam(rate)) for rate in self.rates}

    def _step(self, optimizer: Any) -> Callable[..., Any]:
        @functools.partial(jit, donate_argnums=0)
        def step(carry: Any, order: jax.Array, i: Any, train: Any) -> Any:
            return self.learn(optimizer, carry, order[i], train)

        return step

    @functools.cached_property
    def measure(self) -> Callable[..., Any]:
        return jit(self.measured)  # knows no rate, so it is compiled once

    def __call__(self) -> Found:
        order, found = jax.device_put(self.order), []
        for rate in self.rates:
            params, state = jax.tree.map(jnp.copy, self.begun)  # steps donate them
            carry = params, state, optax.adam(rate).init(params)
            for i in range(len(self.order)):
                carry, _ = self.steps[rate](carry, order, np.int32(i), self.train)
            metrics = self.measure(carry, self.test)
            found.append(jax.device_get((metrics, carry[:2]))[0])
        return Found(*map(np.array, zip(*found, strict=True)))


class Loop(ByHand):
    """A member's whole training is one call of one program."""

    def member(self, rate: Any, begun: Any, order: Any, train: Any, test: Any) -> Any:
        params, state = begun
        optimizer = optax.adam(rate)

        def step(carry: Any, rows: Any) -> Any:
            return self.learn(optimizer, carry, rows, train)

        carry = params, state, optimizer.init(params)
        carry, _ = jax.lax.scan(step, carry, order)
        return self.measured(carry, test), carry[:2]

    @functools.cached_property
    def program(self) -> Callable[..., Any]:
        return jit(self.member)

    def __call__(self) -> Found:
        given = self.begun, jax.device_put(self.order), self.train, self.test
        found = []
        for rate in self.rates:
            made = self.program(np.float32(rate), *given)
            found.append(jax.device_get(made)[0])
        return Found(*map(np.array, zip(*found, strict=True)))


class Vmap(Loop):
    """All members at once."""

    @functools.cached_property
    def program(self) -> Callable[..., Any]:
        def members(*arguments: Any) -> Any:
            axes = 0, None, None, None, None
            return jax.vmap(self.member, in_axes=axes)(*arguments)

        return jit(members)

    def __call__(self) -> Found:
        given = self.begun, self.order, self.train, self.test
        made = self.program(np.array(self.rates, np.float32), *given)
        return Found(*map(np.asarray, jax.device_get(made)[0]))


class Sweep:
    """`cj.sweep`, which is told nothing of how to do it."""

    def __init__(self, problem: Problem, data: Any, rates: Sequence[float]):
        self.problem, self.data, self.rates = problem, data, list(rates)
        self.strategy: Any = None

    def __call__(self) -> Found:
        problem = self.problem
        result = cj.sweep(
            problem.build(),
            self.data,
            {"learning_rate": self.rates},
            optimizer=optax.adam,
            epochs=problem.epochs,
            steps=problem.steps,
            every=problem.all_steps(len(self.data.train)),
            batch_size=problem.batch_size,
            strategy=self.strategy,
            progress=False,
        )
        (strategy,) = result.groups["strategy"]
        # From the history: the table leaves out what diverged.
        last = result.history.groupby("member").last()
        return Found(
            last["validation_loss"].to_numpy(),
            last["validation_accuracy"].to_numpy(),
            float(result.groups["compile_seconds"].sum()),
            strategy,
        )


WAYS = {"baked": Baked, "loop": Loop, "vmap": Vmap, "cj.sweep": Sweep}


@dataclasses.dataclass
class Compilations:
    """How many programs XLA has compiled: those that train, and all."""

    training: int = 0
    all: int = 0

    def __post_init__(self) -> None:
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, _: float, fun_name: str = "", **rest: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self.all += 1
            self.training += fun_name in TRAINING
