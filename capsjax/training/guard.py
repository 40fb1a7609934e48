"""The guard of a run: notices what is not finite, and finds out where it began.

A step that makes a number infinite or NaN spoils the parameters, and they every later
loss. So it is enough to look at the loss and at the parameters now and then, and to
keep a copy of what the run carried when all was sound: the steps themselves are left as
they are and cost nothing more. Where something is wrong the steps since then are taken
again, one at a time. Steps are pure functions, so the first bad one shows itself, with
what was carried before it and its examples; the network is then looked at, capsule by
capsule.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler.jit import jit
from capsjax.compiler.parameters import flatten, show
from capsjax.graph.errors import brief
from capsjax.training.learner import Carry, Given, Learner, all_finite

if TYPE_CHECKING:
    from capsjax.training.run import Run

Mode = Literal["off", "stop", "skip", "roll back"]

_LOOK_EVERY_S = 5.0
MOST_IN_A_ROW = 20
"""Steps that are skipped, or times that a run is rolled back, one after another."""

ROLLED_BACK = 0.5
"""Factor of the learning rate, each time that a run is rolled back."""


def mode_of(given: Any) -> Mode:
    """Checks a guard's mode.

    Raises:
        ValueError: It is none.
    """
    if given not in get_args(Mode):
        modes = ", ".join(map(repr, get_args(Mode)))
        raise ValueError(f"guard is {brief(given)}; expected one of {modes}")
    return given


@dataclasses.dataclass(frozen=True)
class Fault:
    """Where the numbers of a run stopped being finite.

    Attributes:
        step: The step, counted from 1 over the whole run.
        place: The first capsule or weight concerned, on the way that numbers take:
            forward for U and Y, then back for error signals, then gradients.
        quantity: "input", "parameter", "U", "Y", "loss", "delta", "gradient" or
            "update".
        shape: Shape of the quantity, with the batch.
        faulty: How many of its numbers are not finite.
        smallest: The smallest of those that are; NaN if none is.
        largest: The largest of them.
        before: What was last in order: its place, quantity and largest absolute value.
    """

    step: int
    place: str
    quantity: str
    shape: tuple[int, ...]
    faulty: int
    smallest: float
    largest: float
    before: str

    def __str__(self) -> str:
        total = int(np.prod(self.shape))
        words = (
            f"step {self.step}: {self.quantity} of {self.place!r} is not finite in "
            f"{self.faulty:,} of {total:,} numbers (shape {list(self.shape)})"
        )
        if self.faulty < total:
            words += f"; the others lie in {self.smallest:.3g} to {self.largest:.3g}"
        return f"{words}; {self.before}"


class NonFinite(FloatingPointError):
    """A run that the guard has stopped.

    Attributes:
        fault: Where numbers stopped being finite.
        run: What was learned before that step.
    """

    def __init__(self, message: str, fault: Fault, run: "Run"):
        super().__init__(message)
        self.fault, self.run = fault, run


@dataclasses.dataclass
class Guard:
    """The last moment at which all was sound, and the one to roll back to.

    What is about to overflow is finite still: so a run is not rolled back to where it
    was last seen sound, but to where the epoch began, or to a checkpoint since.

    Attributes:
        mode: What is done about a fault.
        faults: Those that were found.
    """

    mode: Mode
    faults: list[Fault] = dataclasses.field(default_factory=list)
    in_a_row: int = 0

    def __post_init__(self) -> None:
        self._finite = jit(all_finite)
        self._copy = jit(lambda carry: jax.tree.map(jnp.copy, carry))
        self._kept: Carry = {}
        self._anchor: Carry = {}
        self.index = self.anchor_index = 0
        self._at = 0.0

    def due(self) -> bool:
        """Whether it is time to look; clocks of several processes would differ."""
        if jax.process_count() > 1:
            return False
        return self.mode != "off" and time.perf_counter() - self._at > _LOOK_EVERY_S

    def sound(self, carry: Carry) -> bool:
        """Whether the loss and the parameters are finite."""
        return bool(self._finite((carry["params"], carry["sums"]["loss"])))

    def keep(self, carry: Carry, index: int) -> None:
        """Keeps a copy of what is sound, at a place in the epoch."""
        if self.mode == "off":
            return
        self._kept, self.index = self._copy(carry), index
        self._at = time.perf_counter()

    def anchor(self, carry: Carry, index: int) -> None:
        """Keeps a copy of what the run may be rolled back to."""
        if self.mode == "roll back":
            self._anchor, self.anchor_index = self._copy(carry), index

    def anchored(self) -> Carry:
        """A copy of what the run is rolled back to."""
        return self._copy(self._anchor)

    def kept(self) -> Carry:
        """A copy of the last that was sound."""
        return self._copy(self._kept)

    def copy(self, carry: Carry) -> Carry:
        """A copy, since steps donate what they are given."""
        return self._copy(carry)


def examine(
    learner: Learner,
    carry: Carry,
    batch: Any,
    numbers: Given,
    weights: Any,
    step: int,
) -> Fault:
    """Finds the first quantity that is not finite, in the order in which they arise.

    Args:
        learner: What is learning.
        carry: What was carried before the step.
        batch: The step's examples.
        numbers: Settings.
        weights: What each example counts, or None.
        step: The step's number.
    """
    before = "all before it is finite"
    for quantity, place, array in _in_order(learner, carry, batch, numbers, weights):
        values = np.asarray(array, np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            sound = values[finite]
            low, high = (sound.min(), sound.max()) if sound.size else (np.nan, np.nan)
            faulty = int(values.size - sound.size)
            shape = values.shape
            return Fault(
                step, place, quantity, shape, faulty, float(low), float(high), before
            )
        if values.size:
            size = np.abs(values).max()
            before = f"before it came {quantity} of {place!r}, at most {size:.3g}"
    name = learner.net.graph.name or ""
    return Fault(
        step, name, "update", (), 1, np.nan, np.nan, f"{before}; the optimizer made it"
    )


def _in_order(
    learner: Learner, carry: Carry, batch: Any, numbers: Given, weights: Any
) -> Iterator[tuple[str, str, Any]]:
    net, settings = learner.net, numbers["net"]
    params, state = carry["params"], carry["state"]
    _, key, batch = learner.drawn(carry["key"], batch)
    given: Mapping[str, Any] = {"train": True, "key": key, "settings": settings}
    losses = {name for name, _ in net.graph.losses}
    inputs = {name: array for name, array in batch.items() if name not in losses}
    for name, array in inputs.items():
        yield "input", name, array
    for name, array in sorted(flatten(net.named(params))):
        yield "parameter", show(name), array
    outputs = net.activations(params, state, inputs, **given)
    for name, own in outputs.items():
        yield "U", name, own["U"]
        yield "Y", name, own["Y"]
    more = {} if weights is None else {"weights": weights}
    gradient = jax.value_and_grad(net.loss, has_aux=True)
    (loss, _), gradients = gradient(params, state, batch, **given, **more)
    yield "loss", net.graph.name or "", loss
    deltas = net.deltas(params, state, batch, **given, **more)
    for name in reversed(list(deltas)):
        yield "delta", name, deltas[name]
    for name, array in flatten(net.named(gradients)):
        yield "gradient", show(name), array
