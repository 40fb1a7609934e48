"""How a network is trained: what `fit` takes, as one value, and whether it is sound."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.batch import require_loss
from capsjax.graph.errors import brief
from capsjax.training.data import Split
from capsjax.training.guard import Mode, mode_of
from capsjax.training.loop import Row

Trace = Callable[[int, Any, Any], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained: what `fit` takes, by its names.

    Attributes:
        about: What else stands in the folder's run.json, as plain data.
    """

    validation: Split | Mapping[str, Any] | None = None
    optimizer: Any = None
    settings: Mapping[str, float] | None = None
    epochs: int = 20
    steps: int | None = None
    batch_size: int = 32
    seed: int = 0
    initial_scale: float = 1.0
    params: Any = None
    short_batch: Literal["drop", "mask"] = "drop"
    class_weights: Any = None
    augment: Any = None
    average: float | None = None
    guard: Mode = "off"
    early_stopping: Any = None
    callbacks: Sequence[Callable[[Row], None]] = ()
    folder: str | os.PathLike[str] | None = None
    resume: bool = False
    checkpoints: Any = None
    progress: bool = True
    mesh: Any = None
    rules: Any = None
    trace: Trace | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def require_sound(net: Network, recipe: Recipe) -> None:
    """Raises `ValueError` where a recipe is not sound."""
    lengths = {
        name: getattr(recipe, name) for name in ("epochs", "steps", "batch_size")
    }
    check_lengths(net.graph, **lengths)
    mode_of(recipe.guard)
    if recipe.short_batch not in ("drop", "mask"):
        raise ValueError(
            f"short_batch is {brief(recipe.short_batch)}; expected 'drop' or 'mask'"
        )
    decay = recipe.average
    if decay is not None and not (isinstance(decay, int | float) and 0 <= decay < 1):
        raise ValueError(
            f"average is {brief(decay)}; expected a decay from 0 to less than 1, such "
            "as 0.999"
        )
    if recipe.folder is None and (recipe.resume or recipe.checkpoints is not None):
        name = "resume" if recipe.resume else "checkpoints"
        raise ValueError(
            f"{name} was given without a folder; expected one, which holds the run; "
            'cure: folder="runs/first"'
        )


def check_lengths(graph: Any, **lengths: int | None) -> None:
    """Raises `ValueError` where a number of epochs, steps or examples is no such."""
    for name, value in lengths.items():
        if value is None:
            continue
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} is {brief(value)}; expected a whole number")
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    require_loss(graph)
