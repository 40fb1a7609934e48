"""A network beside another implementation of it, at one point: what differs.

The point is the reference's parameters and running statistics, all random, copied into
ours by name, and random inputs. Compared are outputs in inference, and of one step in
training outputs, new running statistics and the gradient of every parameter, for a
random cotangent on the outputs. An error is the norm of a tensor's difference, relative
to the norm of the tensor.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import capsjax as cj
from capsjax.compiler.parameters import flatten, show
from capsjax.graph import from_document, to_document

Arrays = dict[str, np.ndarray]
Convert = Callable[[cj.Network, Mapping[str, Any]], tuple[Any, Any]]


class Outcome(NamedTuple):
    """What a network computes at one point.

    Attributes:
        inference: Outputs by name.
        training: Outputs by name.
        tensors: By the reference's names, the gradient of each parameter, and each
            running statistic after the step.
    """

    inference: Arrays
    training: Arrays
    tensors: Arrays


class Reference(NamedTuple):
    """Another implementation.

    Attributes:
        tensors: Parameters and running statistics by its own names.
        evaluate: Computes in a type, for inputs and cotangents by our names.
    """

    tensors: Arrays
    evaluate: Callable[[Any, Arrays, Arrays], Outcome]


def with_settings(graph: cj.Graph, settings: Mapping[str, Any]) -> cj.Graph:
    """The graph with other settings of some kinds, `{"dropout": {"rate": 0.0}}`."""

    def changed(value: Any) -> Any:
        if isinstance(value, Mapping):
            value = {key: changed(each) for key, each in value.items()}
            return value | dict(settings.get(value.get("kind"), {}))
        if isinstance(value, list | tuple):
            return [changed(each) for each in value]
        return value

    return from_document(changed(to_document(graph)))


def draw(shapes: Mapping[str, tuple[int, ...]], batch: int, seed: int) -> Arrays:
    """Standard normal arrays by name."""
    generator = np.random.default_rng(seed)
    return {n: generator.standard_normal((batch, *s)) for n, s in shapes.items()}


def errors(
    net: cj.Network,
    reference: Reference,
    convert: Convert,
    inputs: Arrays,
    dtype: Any,
    training: bool = True,
) -> dict[str, float]:
    """Relative errors by what is compared.

    Outputs that the reference has in training alone are compared in training.

    Args:
        net: Our network.
        reference: The other implementation.
        convert: Its tensors as parameters and state of ours.
        inputs: Arrays by input name.
        dtype: `np.float32` or `np.float64`: what both compute in.
        training: Whether to compare a step in training, too.
    """
    batch = len(next(iter(inputs.values())))
    shapes = {name: net.shapes[name].output for name in net.graph.outputs}
    cotangents = draw(shapes, batch, seed=1)
    expected = reference.evaluate(dtype, inputs, cotangents)
    with jax.enable_x64(dtype == np.float64):
        params, state = convert(net, reference.tensors)
        given = {
            name: jnp.asarray(a, dtype if a.dtype.kind == "f" else None)
            for name, a in inputs.items()
        }
        outputs, _ = compiled(net.apply, params, state, given)
        wanted = {f"inference {name}": a for name, a in expected.inference.items()}
        found = {f"inference {name}": outputs[name] for name in expected.inference}
        if training:
            step = _step(net)
            outputs, new, gradient = compiled(step, params, state, given, cotangents)
            found |= _named("training", outputs, net, gradient, new)
            gradient, new = convert(net, expected.tensors)
            wanted |= _named("training", expected.training, net, gradient, new)
        assert found.keys() == wanted.keys()
        return {name: _error(name, found, wanted) for name in wanted}


def compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """Compiles and calls once: in half the time, without what only makes it faster."""
    options: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
    program = jax.jit(function).lower(*arguments).compile(compiler_options=options)
    return program(*arguments)


def _step(net: cj.Network) -> Callable[..., Any]:
    """Outputs, new state, and the parameters' gradient for cotangents on outputs."""

    def step(params, state, inputs, cotangents):
        def run(params):
            key = jax.random.key(0)  # what draws, draws nothing: rates are zero
            return net.apply(params, state, inputs, train=True, key=key)

        outputs, pullback, new = jax.vjp(run, params, has_aux=True)
        given = {n: jnp.asarray(cotangents[n], o.dtype) for n, o in outputs.items()}
        return outputs, new, pullback(given)[0]

    return step


def _named(
    title: str, outputs: Any, net: cj.Network, gradient: Any, state: Any
) -> dict[str, Any]:
    found = {f"{title} {name}": a for name, a in outputs.items()}
    found |= {f"gradient {show(n)}": a for n, a in flatten(net.named(gradient))}
    return found | {f"state {show(n)}": a for n, a in flatten(state)}


def _error(name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
    """The norm of the difference, relative to the norm of what is wanted.

    A bias that is subtracted again (before standardization) has gradient zero, of which
    only rounding is left: that is held against the gradient of the weights beside it.
    """
    a, b = (np.asarray(each[name], np.float64) for each in (found, wanted))
    assert a.shape == b.shape, f"{name}: {a.shape}, {b.shape}"
    norm = np.linalg.norm(b)
    if name.endswith(":B"):
        beside = [
            np.linalg.norm(np.asarray(w, np.float64))
            for other, w in wanted.items()
            if other.startswith(name[:-1] + "W:")
        ]
        if norm < 1e-5 * max(beside, default=0):
            norm = max(beside)
    return float(np.linalg.norm(a - b) / norm) if norm else float(np.any(a))


def worst(found: Mapping[str, float], count: int = 8) -> str:
    """The largest errors, one a line."""
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return "\n".join(f"{error:.1e}  {name}" for name, error in ordered[:count])
