"""A sweep as plain data and arrays, for other processes: a job.

It holds what the groups' programs are made of: documents, declared optimizers, data.
What is code can't be sent: an optimizer that is a function, kinds of one's own.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import capsjax.compiler as compiler
from capsjax.compiler import Precision
from capsjax.graph import Graph, parse
from capsjax.graph.document import canonical
from capsjax.sweep.files import (
    carries_of,
    read,
    result_bytes,
    unit_of,
    write,
)
from capsjax.sweep.groups import Group
from capsjax.sweep.lengths import Lengths
from capsjax.sweep.program import Program
from capsjax.sweep.unit import run_unit
from capsjax.training.learner import Learner
from capsjax.training.optimizers import optimizer_of


def job_bytes(groups: Sequence[Group], programs: Sequence[Program]) -> bytes:
    """A sweep's groups as bytes.

    Raises:
        ValueError: A group holds what can't be sent, with the cure.
    """
    arrays: dict[str, np.ndarray] = {}
    place_of: dict[int, str] = {}

    def placed(data: Any) -> Any:
        """Names of arrays, each array once."""
        found = {}
        for name, array in (data or {}).items():
            if id(array) not in place_of:
                place_of[id(array)] = f"data/{len(place_of)}"
                arrays[place_of[id(array)]] = np.asarray(array)
            found[name] = place_of[id(array)]
        return found if data is not None else None

    told = []
    for group, program in zip(groups, programs, strict=True):
        optimizer = group.learner.optimizer
        if optimizer.document is None:
            raise ValueError(
                f"optimizer {optimizer.name}: found a function, which other processes "
                "can't be sent; expected a declared one, such as "
                '{"kind": "adamw", "weight_decay": 1e-4}'
            )
        if not isinstance(group.graph, Graph):
            raise ValueError(
                f"network {group.graph.name!r}: found a network of neurons; expected a "
                "graph of capsules: others run in this process"
            )
        precision = group.learner.net.precision
        told.append(
            {
                "graph": canonical(group.graph),
                "traced": group.places,
                "optimizer": optimizer.document,
                "given": dict(optimizer.given),
                "numbers": list(group.traced),
                "precision": precision and dataclasses.asdict(precision),
                "lengths": dataclasses.asdict(program.lengths),
                "shared_order": program.shared_order,
                "train": placed(program.train),
                "held_out": placed(program.held_out),
            }
        )
    config: Any = jax.config
    head = {
        "groups": told,
        "float64": bool(config.jax_enable_x64),
        "matmul_precision": config.jax_default_matmul_precision,
    }
    return write(arrays, head)


class Work:
    """A job in a process of its own: its programs are made when they are needed.

    Args:
        content: The job.
        before: An earlier job of this process: programs of groups that are the same in
            both are taken over, compiled as they are.
    """

    def __init__(self, content: bytes, before: "Work | None" = None):
        self._arrays, self._head = read(content, "job")
        self._placed: dict[str, jax.Array] = {}
        self._programs: dict[int, Program] = {}
        if before is not None:
            self._take_over(before)

    def run(self, unit: str, carries: bytes | None) -> bytes:
        """Runs a unit.

        Args:
            unit: The unit, as `unit_text` writes it.
            carries: What its members carry, as `carries_bytes` writes it.

        Returns:
            The result, as `result_bytes` writes it.

        Raises:
            Exception: What the code of a group raises; as a RuntimeError with its name
                and text, if it could not be made anew in another process.
        """
        wide, precision = self._head["float64"], self._head["matmul_precision"]
        try:
            # Not for the whole process: the next job's may be others.
            with jax.enable_x64(wide), jax.default_matmul_precision(precision):
                return self._run(unit, carries)
        except Exception as error:
            if _travels(error):
                raise
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def _run(self, unit: str, carries: bytes | None) -> bytes:
        made = unit_of(unit)
        program = self._program(made.group)
        compiled = program.with_lanes(made.lanes)
        found = run_unit(compiled, made, carries_of(program, carries))
        return result_bytes(program, found)

    def _program(self, number: int) -> Program:
        if number not in self._programs:
            self._programs[number] = self._made(self._head["groups"][number])
        return self._programs[number]

    def _made(self, told: Any) -> Program:
        precision = told["precision"] and Precision(**told["precision"])
        graph = parse(told["graph"])
        net = compiler.compile(graph, traced=told["traced"], precision=precision)
        optimizer = optimizer_of(told["optimizer"]).having(told["given"])
        return Program(
            Learner(net, optimizer),
            Lengths(**told["lengths"]),
            self._data(told["train"]) or {},
            self._data(told["held_out"]),
            told["shared_order"],
            tuple(told["numbers"]),
            (jax.local_devices()[0],),
        )

    def _data(self, names: Any) -> Any:
        if names is None:
            return None
        for place in names.values():
            if place not in self._placed:  # groups share what is the same
                self._placed[place] = jax.device_put(self._arrays[place])
        return {name: self._placed[place] for name, place in names.items()}

    def _take_over(self, before: "Work") -> None:
        """What is the same as in an earlier job: a sweep's groups become more."""
        if any(self._head[x] != before._head[x] for x in self._head if x != "groups"):
            return
        same = {
            place
            for place, array in self._arrays.items()
            if _equal(array, before._arrays.get(place))
        }
        self._placed |= {n: x for n, x in before._placed.items() if n in same}
        pairs = zip(self._head["groups"], before._head["groups"], strict=False)
        for number, (told, earlier) in enumerate(pairs):
            names = {**told["train"], **(told["held_out"] or {})}.values()
            if told == earlier and same.issuperset(names):
                if number in before._programs:
                    self._programs[number] = before._programs[number]


def _equal(array: np.ndarray, other: np.ndarray | None) -> bool:
    """Whether arrays are the same to the bit: what is no number equals itself."""
    if other is None or (array.dtype, array.shape) != (other.dtype, other.shape):
        return False
    return array.tobytes() == other.tobytes()


_LATEST: dict[str, Work] = {}
"""The job that this process works at, by name."""


def work_at(name: str, content: Callable[[], bytes]) -> Work:
    """The work of this process at a job: its programs are kept from unit to unit.

    Args:
        name: The job's name: no other job has it.
        content: Gives the job, if it is not the one that the process works at.
    """
    if name not in _LATEST:
        made = Work(content(), next(iter(_LATEST.values()), None))
        _LATEST.clear()
        _LATEST[name] = made
    return _LATEST[name]


def _travels(error: Exception) -> bool:
    """Whether another process can make the error anew, of its class and arguments.

    Copies are made the way that errors are sent. Some of JAX's can't be: they take a
    tracer, and hold a text.
    """
    try:
        return type(copy.copy(error)) is type(error)
    except Exception:
        return False
