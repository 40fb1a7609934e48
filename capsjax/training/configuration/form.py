"""The document's form, as types: validation and JSON Schema both come from here."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ConfigDict, Field

from capsjax.training.documents.forms import Count, Float, Form, Positive

Steps = Annotated[Count, Le(2**53)]
Seed = Annotated[int, Ge(0), Le(2**31 - 1)]
Name = Annotated[str, Len(1)]
Weight = Annotated[float, Ge(0)]
Size = Annotated[int, Ge(1), Le(2**20)] | Literal[-1]


class EarlyStoppingForm(Form):
    """When the run ends before its epochs do; see `cj.EarlyStopping`."""

    monitor: Name = "validation_loss"
    """A column of the history."""

    patience: Count = 5
    """After so many epochs in a row without improvement the run ends."""

    min_delta: Annotated[float, Ge(0)] = 0.0
    """By more than this a value must be better to count as improvement."""

    maximize: bool | None = None
    """Whether more is better; left out, it is for accuracies."""


class CheckpointsForm(Form):
    """When checkpoints are written, and which are kept; see `cj.Checkpoints`."""

    every_steps: Steps | None = None
    """Write when the number of steps passes a multiple of this."""

    every_seconds: Positive | None = 600.0
    """Write when so much time has passed since the last one; null for never."""

    keep: Count = 3
    """How many of the last ones are kept."""

    best: Name | None = None
    """A column of the history: the checkpoint that is best in it is kept, too."""

    maximize: bool | None = None
    """Whether more is better; left out, it is for accuracies."""


class MeshForm(Form):
    """Over which devices arrays are divided."""

    axes: dict[Name, Size] = Field(min_length=1)
    """Sizes by name; one may be -1, for all devices that are left."""

    rules: dict[Name, Name | list[Name] | None] = Field(default_factory=dict)
    """From the names of parameters' axes to those of the mesh, one or several."""


class RunForm(Form):
    """A run: how a network learns."""

    model_config = ConfigDict(title="capsjax run configuration")

    format_version: Literal[1]

    epochs: Steps | None = None
    """Passes over the data; 20, if neither they nor steps are given."""

    steps: Steps | None = None
    """Number of steps, in place of epochs."""

    batch_size: Steps | None = None
    """Examples a step."""

    seed: Seed | None = None
    """Decides initial parameters and order."""

    optimizer: str | dict[str, Any] | None = None
    """The kind of an optimizer of optax; or an object with its kind and settings."""

    accumulate: Annotated[Count, Le(2**20)] | None = None
    """Steps whose gradients are averaged for one update of the parameters."""

    average: Annotated[float, Gt(0), Lt(1)] | None = None
    """Decay of a moving average of the parameters."""

    initial_scale: Positive | None = None
    """Factor of initial weights."""

    dtype: Float | None = None
    """Type to compute with."""

    short_batch: Literal["drop", "mask"] | None = None
    """What becomes of examples that do not fill a batch."""

    class_weights: (
        Literal["balanced"]
        | dict[str, Weight | Literal["balanced"] | dict[str, Weight]]
    ) | None = None
    """What examples of a class count; by number of the class, or for each output."""

    augment: list[dict[str, Any]] | None = None
    """Augmentations, one after the other: objects with a kind and settings."""

    guard: Literal["off", "stop", "skip", "roll back"] | None = None
    """What is done about numbers that are not finite."""

    early_stopping: EarlyStoppingForm | None = None
    """When the run ends before its epochs do."""

    checkpoints: CheckpointsForm | None = None
    """When checkpoints are written, and which are kept."""

    mesh: MeshForm | None = None
    """Over which devices arrays are divided."""

    metadata: dict[str, Any] | None = None
    """Notes: never affect meaning."""


KEYS = tuple(RunForm.model_fields)
"""The keys of a document."""

TABLES: dict[str, type[Form]] = {
    "early_stopping": EarlyStoppingForm,
    "checkpoints": CheckpointsForm,
    "mesh": MeshForm,
}
"""Tables of a document, by key."""
