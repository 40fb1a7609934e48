"""Bayesian search by Optuna: ask for a batch, run it as one program, tell.

The first batch is spread evenly; each further one Optuna proposes from all that was
told before. A batch's members learn together, as those of any sweep do.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from capsjax.sweep.axes import Range, Values
from capsjax.sweep.roles import Roles, shown
from capsjax.sweep.space import Space

if TYPE_CHECKING:
    import optuna

    from capsjax.sweep.session import Session


@dataclasses.dataclass(frozen=True)
class Bayesian:
    """Bayesian search; made by `cj.bayesian`.

    Attributes:
        trials: How many settings are tried.
        batch: How many of them learn together.
        seed: Decides what is proposed.
        study: A study to go on with, or None.
    """

    trials: int
    batch: int
    seed: int
    study: Any = None

    def propose(self, space: Space) -> Iterator[Values]:
        """The first batch: spread evenly over ranges and lists alike."""
        _optuna()
        count = min(self.batch, self.trials)
        yield from space.spread(count, self.seed)

    def members(self, begun: int) -> int:
        return begun // min(self.batch, self.trials) * self.trials

    def rows(self, rows: list[int]) -> int:
        return round(self.members(len(rows)) * sum(rows) / len(rows))

    def run(self, session: "Session", space: Space, roles: Roles) -> None:
        optuna = _optuna()
        study = self.study
        if study is None:
            sampler = optuna.samplers.TPESampler(
                seed=self.seed, constant_liar=True, n_startup_trials=1
            )
            direction = "maximize" if session.maximize else "minimize"
            study = optuna.create_study(direction=direction, sampler=sampler)
        self._check(study, session)
        axes = _Axes(space)
        session.advance({n: session.lengths(n).rows for n in session.members})
        groups = session.by_values()
        for values, numbers in groups:
            study.add_trial(axes.trial(values, self._value(session, numbers)))
        tried = len(groups)
        while tried < self.trials:
            batch = min(self.batch, self.trials - tried)
            asked = [study.ask() for _ in range(batch)]
            proposed = [axes.values(trial) for trial in asked]
            found = session.join(proposed, roles)
            session.advance({n: session.lengths(n).rows for own in found for n in own})
            for trial, numbers in zip(asked, found, strict=True):
                value = self._value(session, numbers)
                failed = optuna.trial.TrialState.FAIL
                study.tell(trial, value, state=failed if value is None else None)
            tried += batch

    def _value(self, session: "Session", numbers: list[int]) -> float | None:
        """The mean over seeds; None if one of them diverged."""
        values = [session.members[n].metric(session.metric) for n in numbers]
        mean = sum(values) / len(values)
        return mean if math.isfinite(mean) else None

    def _check(self, study: Any, session: "Session") -> None:
        wanted = "MAXIMIZE" if session.maximize else "MINIMIZE"
        if study.direction.name != wanted:
            raise ValueError(
                f"study: found the direction {study.direction.name.lower()}; expected "
                f"{wanted.lower()}, for the metric {session.metric!r}"
            )

    def document(self) -> dict[str, Any]:
        told = None
        if self.study is not None:
            told = [self.study.study_name, len(self.study.trials)]
        return {
            "kind": "bayesian",
            "trials": self.trials,
            "batch": self.batch,
            "seed": self.seed,
            "study": told,
        }


class _Axes:
    """The axes as Optuna's distributions, and its trials as values."""

    def __init__(self, space: Space):
        self._space = space
        self._optuna = _optuna()

    def values(self, trial: Any) -> Values:
        """What Optuna proposes for a trial, by axis."""
        values: Values = {}
        for names, condition, axis in self._space.ordered:
            if condition is None or condition.holds(values):
                name, kind = "+".join(names), self._distribution(axis)
                given = self._suggested(trial, name, kind)
                values |= self._decoded(names, axis, given)
        return {n: values[n] for n in self._space.names if n in values}

    def trial(self, values: Values, value: float | None) -> "optuna.trial.FrozenTrial":
        """A trial that has been made, to be told of."""
        params, kinds = {}, {}
        for names, condition, axis in self._space.ordered:
            if condition is None or condition.holds(values):
                name = "+".join(names)
                kinds[name] = self._distribution(axis)
                params[name] = self._encoded(names, axis, values)
        states = self._optuna.trial.TrialState
        return self._optuna.trial.create_trial(
            state=states.FAIL if value is None else states.COMPLETE,
            params=params,
            distributions=kinds,
            value=value,
        )

    def _distribution(self, axis: Any) -> Any:
        kinds = self._optuna.distributions
        if not isinstance(axis, Range) or axis.kind == "choice":
            return kinds.CategoricalDistribution(list(_labels(axis)))
        log = axis.kind.startswith("log")
        if axis.kind.endswith("integers"):
            return kinds.IntDistribution(int(axis.low), int(axis.high), log=log)
        return kinds.FloatDistribution(axis.low, axis.high, log=log)

    def _suggested(self, trial: Any, name: str, kind: Any) -> Any:
        kinds = self._optuna.distributions
        if isinstance(kind, kinds.CategoricalDistribution):
            return trial.suggest_categorical(name, kind.choices)
        if isinstance(kind, kinds.IntDistribution):
            return trial.suggest_int(name, kind.low, kind.high, log=kind.log)
        return trial.suggest_float(name, kind.low, kind.high, log=kind.log)

    def _decoded(self, names: tuple[str, ...], axis: Any, given: Any) -> Values:
        if not isinstance(axis, Range):
            return dict(zip(names, _labels(axis)[given], strict=True))
        own = _labels(axis)[given][0] if axis.kind == "choice" else given
        return {names[0]: own}

    def _encoded(self, names: tuple[str, ...], axis: Any, values: Values) -> Any:
        own = tuple(values[name] for name in names)
        if isinstance(axis, Range) and axis.kind != "choice":
            return own[0]
        return next(label for label, each in _labels(axis).items() if each == own)


def _labels(axis: Any) -> dict[Any, tuple[Any, ...]]:
    """Choices as Optuna knows them, and the values that they stand for."""
    values = [(v,) for v in axis.values] if isinstance(axis, Range) else list(axis)
    plain = all(
        len(each) == 1 and isinstance(each[0], str | int | float | bool | None)
        for each in values
    )
    labels = [each[0] if plain else ", ".join(map(shown, each)) for each in values]
    if len(set(labels)) < len(labels):
        labels = list(range(len(values)))
    return dict(zip(labels, values, strict=True))


def bayesian(
    trials: int = 64, *, batch: int = 16, seed: int = 0, study: Any = None
) -> Bayesian:
    """Bayesian search by Optuna, in batches that run as one program.

    Lists in `over` are choices, ranges are ranges. Of several seeds Optuna is told the
    mean; members that diverge are failed trials.

    Args:
        trials: How many settings are tried.
        batch: How many of them learn together, between two proposals.
        seed: Decides what is proposed.
        study: A study of Optuna to go on with, such as one kept in a database; its
            direction must be that of the metric. One of its own, by TPE, if left out.

    Returns:
        What `cj.sweep(search=...)` takes.

    Raises:
        ValueError: A number is below one.
        ModuleNotFoundError: Optuna is not installed.

    Example:
        >>> import capsjax as cj
        >>> cj.bayesian(trials=32, batch=8).trials
        32

    Source: Akiba et al., arXiv 1907.10902; Bergstra et al., NeurIPS 2011.
    """
    for name, value in {"trials": trials, "batch": batch}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    return Bayesian(trials, batch, seed, study)


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Bayesian search needs Optuna; cure: pip install 'capsjax[optuna]'",
            name="optuna",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
