"""The forms of axes: a list of values, or an object that says which."""

from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import ConfigDict, Discriminator, Field, Tag

from capsjax.sweep import axes
from capsjax.training.documents.forms import Count, Form

MOST_VALUES = 100_000
"""Of an axis that is a grid: more can't be meant."""

Values = Annotated[list[Any], Len(1)]
Pair = Annotated[list[float], Len(2, 2)]
Integers = Annotated[
    list[Annotated[int, Ge(-(2**53)), Le(2**53)]],  # what real numbers can tell apart
    Len(2, 2),
]


class _Axis(Form):
    when: dict[str, Any] = Field(default_factory=dict)
    """Other axes, and the value that each must have; or several, as a list."""

    def axis(self) -> Any:
        """What `cj.sweep` takes in `over`."""
        made = self.made()
        return axes.when(self.when, made) if self.when else made

    def made(self) -> Any:
        """The same without its condition."""
        raise TypeError(f"{type(self).__name__} declares no made")


class ValuesAxis(_Axis):
    """These values."""

    values: Values

    def made(self) -> Any:
        return self.values


class LinearAxis(_Axis):
    """Evenly spaced values, both ends among them."""

    linear: Pair
    count: Annotated[Count, Le(MOST_VALUES)]

    def made(self) -> Any:
        low, high = self.linear
        return axes.linear(low, high, self.count)


class LogAxis(_Axis):
    """Values whose ratios are equal, both ends among them."""

    log: Pair
    count: Annotated[Count, Le(MOST_VALUES)]

    def made(self) -> Any:
        low, high = self.log
        return axes.log(low, high, self.count)


class UniformAxis(_Axis):
    """Drawn from a range of real numbers."""

    uniform: Pair

    def made(self) -> Any:
        low, high = self.uniform
        return axes.uniform(low, high)


class LogUniformAxis(_Axis):
    """Drawn from a range of real numbers whose logarithms are evenly spread."""

    log_uniform: Pair

    def made(self) -> Any:
        low, high = self.log_uniform
        return axes.log_uniform(low, high)


class IntegersAxis(_Axis):
    """Drawn from a range of integers, both ends among them."""

    integers: Integers

    def made(self) -> Any:
        low, high = self.integers
        return axes.integers(low, high)


class LogIntegersAxis(_Axis):
    """Drawn from a range of integers whose logarithms are evenly spread."""

    log_integers: Integers

    def made(self) -> Any:
        low, high = self.log_integers
        return axes.integers(low, high, log=True)


class ChoiceAxis(_Axis):
    """Drawn from these values."""

    choice: Values

    def made(self) -> Any:
        return axes.choice(self.choice)


AXES: dict[str, type[_Axis]] = {
    "values": ValuesAxis,
    "linear": LinearAxis,
    "log": LogAxis,
    "uniform": UniformAxis,
    "log_uniform": LogUniformAxis,
    "integers": IntegersAxis,
    "log_integers": LogIntegersAxis,
    "choice": ChoiceAxis,
}
"""By the key that says what an axis is."""

DRAWN = ("uniform", "log_uniform", "integers", "log_integers", "choice")
"""Those that are drawn from."""


def form_of_axis(value: Any) -> str | None:
    """Which form an axis has; None if it has none."""
    if isinstance(value, list):
        return "[...]"
    if isinstance(value, dict):
        return next((key for key in AXES if key in value), None)
    return None


Axis = Annotated[
    Annotated[Values, Tag("[...]")]
    | Annotated[ValuesAxis, Tag("values")]
    | Annotated[LinearAxis, Tag("linear")]
    | Annotated[LogAxis, Tag("log")]
    | Annotated[UniformAxis, Tag("uniform")]
    | Annotated[LogUniformAxis, Tag("log_uniform")]
    | Annotated[IntegersAxis, Tag("integers")]
    | Annotated[LogIntegersAxis, Tag("log_integers")]
    | Annotated[ChoiceAxis, Tag("choice")],
    Discriminator(form_of_axis),
]


class Zip(Form):
    """Axes that are swept together: a list of values each, all of one length."""

    model_config = ConfigDict(extra="allow")
    # What stands in it are columns; pydantic reads their type here.
    __pydantic_extra__: dict[str, Values]  # pyright: ignore

    when: dict[str, Any] = Field(default_factory=dict)
    """Other axes, and the value that each must have; or several, as a list."""

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Values by name."""
        return self.__pydantic_extra__

    def axis(self) -> Any:
        """What `cj.sweep` takes in `over` under the tuple of names."""
        rows = list(zip(*self.columns.values(), strict=True))
        return axes.when(self.when, rows) if self.when else rows
