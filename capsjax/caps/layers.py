"""Layers of Equinox by name: the functions that make them, and what can be traced.

A layer is code, which no document may hold; so it is registered in the process. What a
graph's checks need (shapes of parameters and of Y) comes from tracing: nothing is
allocated.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from capsjax.caps.base import Own
from capsjax.graph.errors import ShapeError, brief, listing, nearest
from capsjax.graph.kinds import Shape

Factory = Callable[[Shape, jax.Array], Any]
F = TypeVar("F", bound=Factory)

_FACTORIES: dict[str, Factory] = {}


def register_layer(name: str) -> Callable[[F], F]:
    """Enters an Equinox layer by name, as a decorator of the function that makes it.

    From then on `cj.caps.equinox(name)` is the capsule function `Y = layer(U)`.

    Args:
        name: The name in declarations and documents, an identifier.

    Returns:
        The decorator, for a function `(shape, key) -> layer`: from the shape of U per
        example and a random key, an `equinox.Module` that maps one example, an array of
        that shape, to one floating-point array. A function that returns a layer made
        before keeps its values: that is how a trained one is taken.

    Raises:
        ValueError: The name is no identifier, or another function has it already. One
            of the same name and module may be replaced, so that a notebook cell can be
            run twice.
        TypeError: What is decorated is no function.

    Example:
        >>> import capsjax as cj, equinox as eqx
        >>> @cj.register_layer("doctest_mixer")
        ... def mixer(shape, key):
        ...     return eqx.nn.MLP(shape[0], 2, width_size=8, depth=1, key=key)
        >>> x = cj.input("x", (4,))
        >>> cap = cj.caps.equinox("doctest_mixer")
        >>> net = cj.compile(cj.graph(cj.capsule("h", cj.identity(x), cap=cap)))
        >>> params, state = net.init(jax.random.key(0))
        >>> sorted(params["h"]["cap"])
        ['layers.0.bias', 'layers.0.weight', 'layers.1.bias', 'layers.1.weight']
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"layer {name!r}: its name must be an identifier, such as 'mixer'"
        )

    def enter(given: F) -> F:
        factory: Any = given
        if not inspect.isfunction(factory):
            raise TypeError(
                f"layer {name!r}: found {brief(factory)}; expected a function "
                "(shape, key) -> layer; for a layer made before, "
                "lambda shape, key: layer"
            )
        old = _FACTORIES.get(name)
        if old is not None and _origin(old) != _origin(factory):
            raise ValueError(
                f"layer {name!r} is registered already, by {_origin(old)}; choose "
                "another name"
            )
        _FACTORIES[name] = factory
        return given

    return enter


def _origin(factory: Any) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def find_factory(name: str) -> Factory:
    """The function registered under a name.

    Raises:
        ShapeError: There is none.
    """
    if name in _FACTORIES:
        return _FACTORIES[name]
    known = listing(map(repr, sorted(_FACTORIES)))
    enter = f"register it before: @cj.register_layer({name!r})"
    raise ShapeError(
        f"layer {brief(name)}, which is not registered",
        f"one of {known}" if known else "a registered layer",
        nearest(name, _FACTORIES, enter),
    )


KEY = jax.eval_shape(lambda: jax.random.key(0))
"""A random key as shape and type."""


@dataclasses.dataclass(frozen=True)
class Outline:
    """A layer without the values of its arrays.

    Attributes:
        leaves: Its leaves; arrays as their shape and type.
        names: The parameter's name for each leaf that is one, else None.
        structure: What is left without the leaves.
        constants: Gives all leaves with values, for those that are no parameters.
    """

    leaves: tuple[Any, ...]
    names: tuple[str | None, ...]
    structure: Any
    constants: Callable[[], list[Any]]

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of the parameters by name."""
        pairs = zip(self.names, self.leaves, strict=True)
        return {name: leaf.shape for name, leaf in pairs if name}

    def layer(self, params: Own) -> Any:
        """The layer with these parameters."""
        leaves = self.leaves
        if any(map(_is_constant, leaves)):
            leaves = self.constants()
        pairs = zip(self.names, leaves, strict=True)
        filled = [params[name] if name else leaf for name, leaf in pairs]
        return jax.tree.unflatten(self.structure, filled)


@functools.lru_cache(maxsize=256)
def outline(factory: Factory, shape: Shape, dtype: Any) -> Outline:
    """What the factory makes, by tracing it; the type is JAX's default float."""
    import equinox

    try:
        layer = equinox.filter_eval_shape(factory, shape, KEY)
    except Exception as error:  # a factory may raise anything
        raise ShapeError(
            f"{_origin(factory)}({shape}, key) raises {in_words(error)}",
            "an equinox.Module",
            "correct the function, or the shape of U",
        ) from error
    if not isinstance(layer, equinox.Module) or not callable(layer):
        raise ShapeError(
            f"{type(layer).__name__} from {_origin(factory)}({shape}, key)",
            "an equinox.Module that maps one example",
            "correct what the function returns",
        )
    _refuse_state(layer)
    paths, structure = jax.tree_util.tree_flatten_with_path(layer)
    names = tuple(
        jax.tree_util.keystr(path, simple=True, separator=".")
        if _is_float(leaf)
        else None
        for path, leaf in paths
    )
    given = [name for name in names if name]
    if len(set(given)) < len(given) or ":" in "".join(given):
        raise ShapeError(
            f"arrays named {listing(given)}",
            "names that differ, without ':'",
            "rename the keys of the layer's dictionaries",
        )

    @functools.cache
    def constants() -> list[Any]:
        with jax.ensure_compile_time_eval():
            return jax.tree.leaves(factory(shape, jax.random.key(0)))

    return Outline(tuple(leaf for _, leaf in paths), names, structure, constants)


def _refuse_state(layer: Any) -> None:
    from equinox import nn

    def is_state(node: Any) -> bool:
        return isinstance(node, nn.StateIndex)

    if any(map(is_state, jax.tree.leaves(layer, is_leaf=is_state))):
        raise ShapeError(
            "a layer with state of its own (equinox.nn.StateIndex)",
            "a layer that maps U to Y alone",
            'for batch normalization, cap="standardize"',
        )


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jnp.floating
    )


def _is_constant(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and not _is_float(leaf)


def in_words(error: Exception) -> str:
    """An error of another library's in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {brief(lines[0] if lines else '')}"
