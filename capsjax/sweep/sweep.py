"""sweep: many settings of a network, in as few programs as they allow."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Precision
from capsjax.graph import Graph, content_hash
from capsjax.graph.errors import brief
from capsjax.sweep.executors import Executor, Local
from capsjax.sweep.maker import Maker
from capsjax.sweep.progress import Progress
from capsjax.sweep.result import SweepResult, metric_of, result_of
from capsjax.sweep.roles import Chosen, Roles, Setup, shown
from capsjax.sweep.searches import All, Search
from capsjax.sweep.session import Keep, Session
from capsjax.sweep.space import Over, Sampler, Space, space_of, sweep_members
from capsjax.sweep.store import Store
from capsjax.sweep.strategy import Strategy, on_devices
from capsjax.training.data import Data, Split
from capsjax.training.dataset import split_of
from capsjax.training.identity import code_of, digest, fingerprint
from capsjax.training.recipe import check_lengths


def sweep(
    graph: Graph | Callable[..., Graph] | Any,
    data: Data | Split | Mapping[str, Any],
    over: Over,
    *,
    validation: Split | Mapping[str, Any] | None = None,
    optimizer: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int = 32,
    seeds: int | Sequence[int] = 1,
    initial_scale: float = 1.0,
    precision: Precision | None = None,
    samples: int | None = None,
    sampler: Sampler = "sobol",
    sample_seed: int = 0,
    search: Search | None = None,
    metric: str | None = None,
    maximize: bool | None = None,
    keep: Keep = "all",
    strategy: Strategy | None = None,
    memory_limit: int | str | None = None,
    out: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> SweepResult:
    """Trains a network under many settings.

    Members whose graphs, optimizers and batches differ in numbers alone share one
    program, which is given the numbers as float32: it is compiled once for all of
    them. How members are run, one by one, all at once under `vmap`, or in chunks, is
    chosen for each group; over several devices they are sharded. A member learns what
    `cj.fit` with its settings does.

    Args:
        graph: The declaration; or a function that makes one of settings by name.
        data: As for `cj.fit`.
        over: What is swept: values or ranges by name. Names are settings of the
            optimizer ("learning_rate", "weight_decay"), of the graph ("c1.features",
            "drop.rate", "digit.loss.weight", "layer.repeat", "c1.cap"; see
            `cj.with_settings`), of the function that makes the graph, or of training:
            "batch_size", "dtype", "optimizer", "initial_scale", "seed". Values are
            lists (`cj.axes.linear`, `cj.axes.log`), of which all combinations are
            members; ranges (`cj.axes.uniform`, `log_uniform`, `integers`, `choice`),
            from which `samples` are drawn; under a tuple of names, tuples of values;
            or an axis under a condition, `cj.axes.when`.
        validation: Examples to measure on; the test set, if `data` has one.
        optimizer: What makes the optimizer of its settings: a function such as
            `optax.adamw`, or one of your own; or a declaration, `{"kind": "adamw",
            "weight_decay": 1e-4}`, or its name. Adam, if left out. An axis `optimizer`
            takes several of them.
        epochs: Passes over the data; 20, if neither they nor steps are given.
        steps: Steps of a member, in place of epochs.
        every: Steps from row to row of the history, each with a measurement; an
            epoch's, if left out.
        batch_size: Examples a step.
        seeds: How many seeds, from 0 on, or which: every setting is there once with
            each. A seed decides initial parameters, order, and what is drawn.
        initial_scale: Factor of initial weights.
        precision: In which types to compute.
        samples: How many points of the ranges are drawn for each combination of lists.
        sampler: "sobol" or "halton", of low discrepancy, or "random".
        sample_seed: Decides what is drawn.
        search: Which members learn how far: all to the end; `cj.halving()`,
            `cj.population()`; or `cj.bayesian(...)`, which proposes members itself.
        metric: What members are ranked by: the last value of a metric of the history;
            left out, the accuracy or the loss on validation data, or else on the data.
        maximize: Whether more is better; left out, it is for accuracies.
        keep: Of how many of the best members parameters are kept, or "all".
        strategy: "loop", "vmap", or how many members run at once; chosen, if left out.
        memory_limit: The most bytes that members which run at once may take on a
            device: a number, or text such as "2GiB"; half of the free memory, if left
            out.
        out: Folder where all is kept as it comes. A sweep that was broken off goes on
            where it stopped when it is called again with the same folder.
        executor: Who runs the members: this process, if left out; `cj.executors`.
        progress: Whether to show a bar.

    Returns:
        The result: a table of members, their histories, the best.

    Raises:
        ValueError: An axis is unknown, empty or ambiguous; a value makes a graph that
            is not sound (says which member, which capsule); data does not fit.
        FileExistsError: The folder holds another sweep, or something else.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> graph = cj.graph(digit, losses={"digit": "cross_entropy"})
        >>> result = cj.sweep(
        ...     graph,
        ...     cj.load_data("digits"),
        ...     over={"learning_rate": cj.axes.log(1e-3, 1e-1, 3)},
        ...     epochs=3,
        ...     progress=False,
        ... )
        >>> result.table[["learning_rate", "status"]]
                learning_rate status
        member
        0               0.001   done
        1               0.010   done
        2               0.100   done
        >>> result.compilations
        1
        >>> bool(result.best()["validation_accuracy"] > 0.9)
        True
    """
    began = time.perf_counter()
    search = All() if search is None else search
    if epochs is None and steps is None:
        epochs = 20
    space = space_of(over)
    setup = Setup(graph, optimizer, batch_size, precision, initial_scale)
    roles = Roles(setup, space.names)
    drawn = {"samples": samples, "sampler": sampler, "sample_seed": sample_seed}
    chosen = _members(over, space, roles, seeds, search, drawn)
    _check(chosen, epochs, steps, every)
    train, test = split_of(data)
    held_out = validation if validation is not None else test
    runner: Executor = Local() if executor is None else executor
    devices = tuple(on_devices())[:1] if runner.remote else on_devices()
    own = epochs, steps, every, strategy, memory_limit, devices, not runner.remote
    maker = Maker(train, held_out, *own)
    session = Session(maker, runner, keep, space.names, seeds_of(seeds))
    session.add(chosen)
    session.metric = metric_of(_metrics(session), metric)
    more = session.metric.endswith("accuracy")
    session.maximize = more if maximize is None else maximize
    if out is not None:  # last of all checks: what is wrong leaves no folder
        told = dict(zip(("epochs", "steps", "every"), own[:3], strict=True))
        told |= {"strategy": strategy, "memory_limit": memory_limit}
        told["search"] = _searching(search, session)
        identity = told | _identity(chosen, over, train, held_out)
        about = {"axes": list(space.names), "metric": session.metric, "keep": keep}
        session.store = Store(out, identity, about)
    rows = [session.lengths(number).rows for number in session.members]
    planned = search.members(len(rows)), search.rows(rows)
    session.progress = Progress(progress, *planned, session.metric)
    try:
        search.run(session, space, roles)
    finally:
        session.progress.close()
        session.write_tables(force=True)
        runner.close()
    return result_of(session, time.perf_counter() - began)


def _members(
    over: Over,
    space: Space,
    roles: Roles,
    seeds: int | Sequence[int],
    search: Search,
    drawn: dict[str, Any],
) -> list[Chosen]:
    """The members that a sweep begins with."""
    listed = seeds_of(seeds)
    if "seed" in space.names and listed != [0]:
        raise ValueError(
            f"found seeds={brief(seeds)} beside an axis 'seed'; expected one of them"
        )
    propose = getattr(search, "propose", None)
    if propose and drawn["samples"] is not None:
        raise ValueError(
            f"found samples={drawn['samples']} beside a search that proposes members "
            "itself; expected one of them"
        )
    settings = propose(space) if propose else sweep_members(over, **drawn)
    found: list[Chosen] = []
    for values in settings:
        for seed in [values["seed"]] if "seed" in values else listed:
            found.append(roles.chosen(len(found), values, seed))
    if not found:
        raise ValueError("over: found no members; expected one axis or more")
    return found


def seeds_of(seeds: int | Sequence[int]) -> list[int]:
    """Seeds as a list."""
    listed = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not listed or not all(
        isinstance(x, int | np.integer) and x >= 0 for x in listed
    ):
        raise ValueError(
            f"seeds: found {brief(seeds)}; expected how many, or which, from 0 on"
        )
    if len(set(listed)) < len(listed):
        raise ValueError(f"seeds: found {brief(seeds)}; expected each once")
    return [int(seed) for seed in listed]


def _check(
    chosen: list[Chosen], epochs: int | None, steps: int | None, every: int | None
) -> None:
    if epochs is not None and steps is not None:
        raise ValueError(
            f"found epochs={epochs} and steps={steps}; expected one of them"
        )
    for each in chosen:
        check_lengths(each.graph, epochs=epochs, steps=steps, every=every)


def _metrics(session: Session) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for program in session.programs:
        names |= dict.fromkeys(program.metric_names)
    return tuple(names)


def _searching(search: Search, session: Session) -> Any:
    """What decides who is taken how far, as plain data."""
    told = search.document()
    if not isinstance(search, All):
        told |= {"metric": session.metric, "maximize": session.maximize}
    return told


def _identity(
    chosen: list[Chosen], over: Over, train: Any, held_out: Any
) -> dict[str, Any]:
    """What else decides the results of a sweep, part by part, as plain data."""
    members = [[x.seed, {k: shown(v) for k, v in x.values.items()}] for x in chosen]
    graphs = {id(x.graph): x.graph for x in chosen}
    made = {id(x.optimizer): x.optimizer for x in chosen}.values()
    optimizers = {str((x.name, x.document or code_of(x.make))) for x in made}
    batches = {f"{x.batch_size}, {x.precision}, {x.scale}" for x in chosen}
    devices = f"{len(jax.local_devices())} x {jax.default_backend()}"
    return {
        "axes and members": digest([list(map(str, over)), members]),
        "graphs": digest([content_hash(each) for each in graphs.values()]),
        "optimizers": digest(sorted(optimizers)),
        "batch sizes, types and scales": digest(sorted(batches)),
        "data": digest([fingerprint(train), fingerprint(held_out)]),
        "devices": devices,
    }
