"""A sweep as plain data and arrays, for other processes: a job.

It holds what the groups' programs are made of: documents, declared optimizers, data.
What is code can't be sent: an optimizer that is a function, kinds of one's own.
"""

import dataclasses
from collections.abc import Sequence
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
    head = {"groups": told, "float64": bool(jax.config.values["jax_enable_x64"])}
    return write(arrays, head)


class Work:
    """A job in a process of its own: its programs are made when they are needed."""

    def __init__(self, content: bytes):
        self._arrays, self._head = read(content, "job")
        if self._head["float64"]:
            jax.config.update("jax_enable_x64", True)
        self._programs: dict[int, Program] = {}

    def run(self, unit: str, carries: bytes | None) -> bytes:
        """Runs a unit.

        Args:
            unit: The unit, as `unit_text` writes it.
            carries: What its members carry, as `carries_bytes` writes it.

        Returns:
            The result, as `result_bytes` writes it.
        """
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
        once = {place: jax.device_put(self._arrays[place]) for place in names.values()}
        return {name: once[place] for name, place in names.items()}
