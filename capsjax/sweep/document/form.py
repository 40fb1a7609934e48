"""The document's form, as types: validation and JSON Schema both come from here."""

from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Len
from pydantic import Discriminator, Field, StringConstraints, Tag

from capsjax.sweep.bayesian import bayesian
from capsjax.sweep.document.axis_form import Axis, Zip
from capsjax.sweep.searches import halving, population
from capsjax.training.documents.forms import Count, Float, Form, Natural, Positive

Many = Annotated[int, Ge(1), Le(1_000_000)]
Bytes = Annotated[
    str, StringConstraints(pattern=r"^ *\d{1,12}(\.\d{1,6})? *([KMGT]iB|B) *$")
]


class Halving(Form):
    """Successive halving; see `cj.halving`."""

    kind: Literal["halving"]
    eta: Annotated[int, Ge(2)] = 3
    rungs: Count | None = None

    def made(self) -> Any:
        return halving(self.eta, rungs=self.rungs)


class Population(Form):
    """Population based training; see `cj.population`."""

    kind: Literal["population"]
    every: Count = 1
    share: Annotated[float, Gt(0), Le(0.5)] = 0.25
    factors: Annotated[list[Positive], Len(1)] = Field(default=[0.8, 1.25])
    resample: Annotated[float, Ge(0), Le(1)] = 0.25
    seed: Natural = 0

    def made(self) -> Any:
        return population(
            every=self.every,
            share=self.share,
            factors=tuple(self.factors),
            resample=self.resample,
            seed=self.seed,
        )


class Bayesian(Form):
    """Bayesian search by Optuna; see `cj.bayesian`."""

    kind: Literal["bayesian"]
    trials: Count = 64
    batch: Count = 16
    seed: Natural = 0

    def made(self) -> Any:
        return bayesian(self.trials, batch=self.batch, seed=self.seed)


SearchName = Literal["halving", "population", "bayesian"]
SEARCHES: dict[str, type[Halving | Population | Bayesian]] = dict(
    zip(get_args(SearchName), (Halving, Population, Bayesian), strict=True)
)


def _kind_of_search(value: Any) -> str | None:
    if isinstance(value, str):
        return "..."
    kind = value.get("kind") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None


Search = Annotated[
    Annotated[SearchName, Tag("...")]
    | Annotated[Halving, Tag("halving")]
    | Annotated[Population, Tag("population")]
    | Annotated[Bayesian, Tag("bayesian")],
    Discriminator(_kind_of_search),
]


class Sweep(Form):
    """A sweep: what is swept over, how long members learn, how they are chosen."""

    format_version: Literal[1]

    over: dict[str, Axis] = Field(default_factory=dict)
    """Axes by name: a list of values, or an object that says which."""

    zip: list[Zip] = Field(default_factory=list)
    """Axes that are swept together, behind those of `over`."""

    optimizer: str | dict[str, Any] | None = None
    """The kind of an optimizer of optax; or an object with its kind and settings."""

    epochs: Count | None = None
    """Passes over the data; 20, if neither they nor steps are given."""

    steps: Count | None = None
    """Steps of a member, in place of epochs."""

    every: Count | None = None
    """Steps from row to row of the history; an epoch's, if left out."""

    batch_size: Count | None = None
    """Examples a step."""

    seeds: Many | Annotated[list[Natural], Len(1)] | None = None
    """How many seeds, from 0 on, or which."""

    initial_scale: Positive | None = None
    """Factor of initial weights."""

    dtype: Float | None = None
    """Type to compute with."""

    samples: Many | None = None
    """How many points of the ranges are drawn for each combination of lists."""

    sampler: Literal["sobol", "halton", "random"] | None = None
    """How they are drawn."""

    sample_seed: Natural | None = None
    """Decides what is drawn."""

    search: Search | None = None
    """Which members learn how far: all to the end, if left out."""

    metric: str | None = None
    """What members are ranked by: a metric of the history."""

    maximize: bool | None = None
    """Whether more is better; left out, it is for accuracies."""

    keep: Natural | Literal["all"] | None = None
    """Of how many of the best members parameters are kept."""

    strategy: Count | Literal["loop", "vmap"] | None = None
    """How many members run at once; chosen, if left out."""

    memory_limit: Count | Bytes | None = None
    """The most bytes that members which run at once take: a number, or "2GiB"."""

    def made_search(self) -> Any:
        """What `cj.sweep` takes for `search`; None to take all to the end."""
        search = self.search
        if isinstance(search, str):
            search = SEARCHES[search].model_validate({"kind": search})
        return None if search is None else search.made()


KEYS = tuple(Sweep.model_fields)
"""The keys of a document."""
