"""Kinds: what may stand in a declaration, and the three closed tables of them.

A *kind* is one record: a frozen dataclass whose fields are the settings that a
document may give, and whose methods are the rules (shape, forward, backward). The
class is the entry in the table; an instance is the kind with its settings, and is
hashable and comparable. Documents name kinds; they are looked up here and nowhere else.
"""

import copy
import dataclasses
import keyword
import math
from collections.abc import Callable, Iterable, Iterator
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeVar,
    dataclass_transform,
)

from annotated_types import Ge, Le

Shape = tuple[int, ...]

LARGEST = 2**31 - 1
LARGEST_RANK = 32
Count = Annotated[int, Ge(1), Le(LARGEST)]
NonNegative = Annotated[int, Ge(0), Le(LARGEST)]


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
class Kind:
    """Base of every record. A subclass becomes a frozen dataclass by itself."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        for field in kind_fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, _hashable(value))

    def settings(self) -> dict[str, Any]:
        """The settings that differ from their defaults, in the order declared."""
        fields = kind_fields(self)
        values = {f.name: (getattr(self, f.name), f.default) for f in fields}
        return {
            name: value
            for name, (value, default) in values.items()
            if type(value) is not type(default) or value != default
        }

    def __str__(self) -> str:
        inside = ", ".join(f"{k}={v}" for k, v in self.settings().items())
        return f"{self.kind}({inside})" if inside else self.kind


def kind_fields(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The settings of a record or of an instance: every kind is a dataclass."""
    return tuple(field for field in dataclasses.fields(kind) if field.init)


K = TypeVar("K", bound=Kind)


class Registry(Generic[K]):
    """A table of kinds by name, open to users and closed to documents.

    Attributes:
        noun: What the table holds, for messages.
        version: Grows with every registration, so that caches know when they are old.
    """

    def __init__(self, noun: str):
        self.noun = noun
        self.version = 0
        self._table: dict[str, type[K]] = {}

    def register(self, kind: str) -> Callable[[type[K]], type[K]]:
        """A class decorator that enters a record under the name `kind`.

        Raises:
            ValueError: The name is no identifier, or another record has it already.
                A class may replace one of its own name and module, so that a notebook
                cell can be run twice.
        """

        def enter(cls: type[K]) -> type[K]:
            self._check(kind, cls)
            cls.kind = kind
            self._table[kind] = cls
            self.version += 1
            return cls

        return enter

    def _check(self, kind: str, cls: type[K]) -> None:
        if not kind.isidentifier() or keyword.iskeyword(kind):
            raise ValueError(
                f"{self.noun} {kind!r}: a kind's name must be an identifier, "
                "such as 'outer_product'"
            )
        old = self._table.get(kind)
        same = old and (old.__module__, old.__qualname__) == (
            cls.__module__,
            cls.__qualname__,
        )
        if old is not None and not same:
            raise ValueError(
                f"{self.noun} {kind!r} is registered already, by "
                f"{old.__module__}.{old.__qualname__}; choose another name"
            )

    def __getitem__(self, kind: str) -> type[K]:
        return self._table[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class Computed(Kind):
    """A kind that the compiler computes, by algorithms that it may be asked for.

    Which ones is no setting: declarations and documents do not have it, the compiler
    alone fills it in. It tells records apart, as settings do.
    """

    algorithms: tuple[tuple[str, str], ...] = dataclasses.field(
        default=(), init=False, repr=False, kw_only=True
    )
    """Roles and the names of the algorithms asked for: `(("forward", "patches"),)`."""

    def asking(self, algorithms: Iterable[tuple[str, str]]) -> Self:
        """The same operation by these algorithms, where they can be used."""
        asking = copy.copy(self)
        object.__setattr__(asking, "algorithms", tuple(sorted(algorithms)))
        return asking

    def asked(self, role: str) -> str | None:
        """The name of the algorithm asked for in a role, if any is."""
        return dict(self.algorithms).get(role)


class WeightingKind(Computed):
    """The part of a weighting operation that a declaration needs: its shape rule."""

    symbol: ClassVar[str] = "\N{CIRCLED TIMES}"
    """How the edge is marked in a drawing."""

    reads_integers: ClassVar[bool] = False
    """Whether Y of the source holds integers, which stand for one-hot vectors."""

    def contribution_shape(self, shape: Shape) -> Shape:
        """Shape of `W (x) Y` for a source of the given shape, both per example."""
        raise TypeError(f"{type(self).__name__} declares no contribution_shape")

    def weight_shape(self, shape: Shape) -> Shape | None:
        """Shape of W for a source of the given shape; None if there is no weight."""
        return None

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        """What the axes of W are called, by which rules place them on devices.

        The library's own records say "in" and "out" for channels read and made, and
        "depth", "height", "width" for a window's. None is an axis without a name.
        """
        return (None,) * len(self.weight_shape(shape) or ())

    @classmethod
    def resolve(cls, shapes: list[Shape], siblings: list[Self]) -> list[Self]:
        """The same operations with settings filled in that depend on each other.

        Args:
            shapes: Shapes of the sources of all edges of this kind into one capsule.
            siblings: Their operations as declared.
        """
        return siblings

    def flops(self, shape: Shape) -> int:
        """Floating-point operations of one forward pass for one example."""
        return 0


class CapKind(Computed):
    """The part of a capsule function that a declaration needs: its shape rule."""

    output: ClassVar[str] = "real"
    """What Y means, for losses: real, probabilities, log_probabilities, unit."""

    elementwise: ClassVar[bool] = False
    """Whether each number of Y depends on the same number of U alone."""

    draws: ClassVar[bool] = False
    """Whether it takes a random key in training."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of Y for a total input U of the given shape, both per example."""
        return shape

    def state_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of what it carries from step to step, by name: no batch axis."""
        return {}

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of parameters of its own, by name."""
        return {}

    def flops(self, shape: Shape) -> int:
        """Floating-point operations of one forward pass for one example."""
        return math.prod(shape)


class LossKind(Kind):
    """The part of a loss that a declaration needs: its weight and what it takes."""

    weight: float = dataclasses.field(default=1.0, kw_only=True)
    """Factor of this output in the total loss."""

    def check(self, cap: CapKind, shape: Shape) -> None:
        """Raises `ShapeError` if the output capsule does not suit the loss."""


Place = Literal["edge", "function", "capsule", "everywhere"]


class BackwardKind(Kind):
    """The part of a backward rule that a declaration needs: where it acts, what fits.

    A rule acts in one place. On an edge it makes what the edge sends back of the error
    signal; on a capsule function it makes delta = dL/dU of dL/dY; on a capsule it says
    what the capsule receives as dL/dY.
    """

    acts: ClassVar[Place] = "edge"
    """The place where it acts."""

    weighted: ClassVar[bool] = False
    """Of rules on edges: whether the edge must have a weight."""

    swaps_weight: ClassVar[bool] = False
    """Of rules on edges: whether all that they do is to put another weight in the
    place of W. Such rules act on the edges of neurons, too."""

    silent: ClassVar[bool] = False
    """Of rules on edges: whether nothing is sent back at all."""

    draws: ClassVar[bool] = False
    """Whether it takes a random key in training."""

    learns: ClassVar[bool] = False
    """Of rules on edges: whether what it carries changes at every step of training."""

    def feedback_shape(self, weight_shape: Shape | None) -> Shape | None:
        """Of rules on edges: the shape of the array that it carries in the state."""
        return None

    def check_function(self, cap: CapKind, total: Shape, output: Shape) -> None:
        """Of rules on functions: raises `ShapeError` if it does not fit."""


WEIGHTINGS: Registry[WeightingKind] = Registry("weighting operation")
CAPS: Registry[CapKind] = Registry("capsule function")
LOSSES: Registry[LossKind] = Registry("loss")
BACKWARDS: Registry[BackwardKind] = Registry("backward rule")


def _hashable(value: Any) -> Any:
    """Lists and arrays as tuples, numpy's numbers as Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
