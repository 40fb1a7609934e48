"""Members of one rule, which differ by seed alone, learn in one program."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

import capsjax as cj
from bench.backward.networks import Experiment
from capsjax.training.data import Data

WATCHED = 512
"""Examples of the fixed batch on which gradients are compared."""


@dataclasses.dataclass(frozen=True)
class Learner:
    """One rule's network and what is done with it; every function is of one member.

    Attributes:
        net: The network under the rule.
        exact: The same graph with the exact rule.
        experiment: The recipe.
        steps: Steps of an epoch.
    """

    net: cj.Network
    exact: cj.Network
    experiment: Experiment
    steps: int

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam, its rate falling to zero as half a cosine."""
        steps = self.experiment.epochs * self.steps
        rate = optax.cosine_decay_schedule(self.experiment.rate, steps)
        return optax.adam(rate)

    def init(self, key: jax.Array):
        """Parameters, state and the optimizer's state."""
        params, state = self.net.init(key)
        return params, state, self.optimizer.init(params)

    def batch(self, images: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
        """Inputs and targets by name: the labels are every output's target."""
        return {"image": images, **{name: labels for name in self.net.graph.outputs}}

    def epoch(self, carried, key: jax.Array, images: jax.Array, labels: jax.Array):
        """All examples once, in an order of the member's own: `(carried, loss)`."""
        size = self.experiment.batch_size
        order, drawn = jax.random.split(key)
        rows = jax.random.permutation(order, len(images))[: self.steps * size]
        keys = jax.random.split(drawn, self.steps)
        gradient = jax.value_and_grad(self.net.loss, has_aux=True)

        def step(carried, given):
            params, state, moments = carried
            chosen, key = given
            batch = self.batch(images[chosen], labels[chosen])
            (loss, (_, state)), grads = gradient(params, state, batch, key=key)
            updates, moments = self.optimizer.update(grads, moments, params)
            return (optax.apply_updates(params, updates), state, moments), loss

        carried, losses = jax.lax.scan(step, carried, (rows.reshape(-1, size), keys))
        return carried, losses.mean()

    def accuracy(self, carried, images: jax.Array, labels: jax.Array) -> jax.Array:
        """The share of images whose label the network gives."""
        params, state, _ = carried
        outputs, _ = self.net.apply(params, state, {"image": images})
        return (outputs["digit"].argmax(-1) == labels).mean()

    def alignment(self, carried, key: jax.Array, images: jax.Array, labels: jax.Array):
        """Cosines of the rule's gradient with the exact one, by capsule.

        "hidden" is the cosine over all capsules with parameters but outputs, whose
        gradient is exact under every rule.
        """
        params, state, _ = carried
        batch = self.batch(images, labels)

        def gradient(net, params, state):
            grads = jax.grad(net.loss, has_aux=True)(params, state, batch, key=key)[0]
            return {
                name: jnp.concatenate([g.ravel() for g in jax.tree.leaves(each)])
                for name, each in net.named(grads).items()
            }

        # Where products are merged depends on the rules, and the layout with it.
        same = self.exact.from_named(self.net.named(params))
        without = self.exact.init(jax.random.key(0))[1]
        found = gradient(self.net, params, state)
        exact = gradient(self.exact, same, without)
        hidden = [name for name in exact if name not in self.net.graph.outputs]
        pairs = {name: (found[name], exact[name]) for name in exact}
        pairs["hidden"] = (
            jnp.concatenate([found[name] for name in hidden]),
            jnp.concatenate([exact[name] for name in hidden]),
        )
        return {name: _cosine(a, b) for name, (a, b) in pairs.items()}


def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Zero where a gradient is zero: it tells nothing of the other."""
    norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    return jnp.where(norms > 0, a @ b / jnp.where(norms > 0, norms, 1), 0)


def train(
    graph: cj.Graph, rule: Any, experiment: Experiment, data: Data, seeds: int
) -> Iterator[dict[str, Any]]:
    """Trains all seeds under one rule, in one program over members.

    Yields:
        A record before the first epoch and after each: `epoch`, `seconds`, and by name
        an array over members: `accuracy`, `loss` and `cosine:CAPSULE`.
    """
    chosen = {} if rule is None else {"backward": rule}
    learner = Learner(
        cj.compile(graph, **chosen),
        cj.compile(graph, backward="exact"),
        experiment,
        len(data.train) // experiment.batch_size,
    )
    jit: Callable[..., Any] = functools.partial(
        jax.jit, compiler_options=cj.compiler_options()
    )
    images, labels = jnp.asarray(data.train.inputs), jnp.asarray(data.train.targets)
    test = jnp.asarray(data.test.inputs), jnp.asarray(data.test.targets)
    watched = images[:WATCHED], labels[:WATCHED]
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    epoch = jit(jax.vmap(learner.epoch, in_axes=(0, 0, None, None)), donate_argnums=0)
    accuracy = jit(jax.vmap(learner.accuracy, in_axes=(0, None, None)))
    alignment = jit(jax.vmap(learner.alignment, in_axes=(0, 0, None, None)))

    shapes = jax.eval_shape(learner.net.init, keys[0])[0]
    names = jax.eval_shape(learner.net.named, shapes)  # in the order of the graph

    def record(number: int, seconds: float, more: Mapping[str, Any]) -> dict[str, Any]:
        cosines = alignment(carried, keys, *watched)
        found = {f"cosine:{name}": cosines[name] for name in [*names, "hidden"]}
        found["accuracy"] = accuracy(carried, *test)
        return {"epoch": number, "seconds": seconds, **jax.device_get(found), **more}

    carried = jax.jit(jax.vmap(learner.init))(keys)
    yield record(0, 0.0, {})
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    for number in range(1, experiment.epochs + 1):
        start = time.perf_counter()
        carried, loss = jax.block_until_ready(
            epoch(carried, fold(keys, number), images, labels)
        )
        seconds = time.perf_counter() - start
        yield record(number, seconds, {"loss": jax.device_get(loss)})
