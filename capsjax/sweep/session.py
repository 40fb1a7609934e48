"""A sweep under way: its members, how far each is, and what takes them further."""

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

import capsjax.compiler as compiler
from capsjax.sweep.axes import Values
from capsjax.sweep.executors.base import Executor, Task
from capsjax.sweep.groups import Groups
from capsjax.sweep.job import job_bytes
from capsjax.sweep.lengths import Lengths
from capsjax.sweep.maker import Maker
from capsjax.sweep.program import Program
from capsjax.sweep.progress import Progress
from capsjax.sweep.roles import Chosen, Roles
from capsjax.sweep.store import Store
from capsjax.sweep.strategy import Choice
from capsjax.sweep.tables import plain, rows_of, tables_of
from capsjax.sweep.unit import Member, Result, Unit, Watch
from capsjax.training.run import Run

Status = Literal["waiting", "running", "done", "diverged", "stopped"]
Keep = int | Literal["all"]
_WRITTEN_EVERY_S = 10.0


@dataclasses.dataclass
class Learning:
    """A member, and how far it is.

    Attributes:
        member: The member, with the numbers that it has now.
        group: Number of its group.
        chosen: What it was made of.
        block: Blocks of steps that are behind it.
        carry: What it carries, on the host; None before the first block, and after the
            last one where it is not kept.
        table: Metrics of its rows.
        faulty: The first step whose loss or parameters were not finite, or 0.
        status: What became of it.
        settings: The numbers that it had from row to row, where they change.
    """

    member: Member
    group: int
    chosen: Chosen
    block: int = 0
    carry: Any = None
    table: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    faulty: int = 0
    status: Status = "waiting"
    settings: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)

    def metric(self, name: str) -> float:
        """The last value of a metric; not a number if there is none."""
        parts = [part for part in self.table.get(name, ()) if len(part)]
        return float(parts[-1][-1]) if parts else math.nan


@dataclasses.dataclass
class Session:
    """A sweep under way.

    Attributes:
        maker: What makes the groups' programs.
        executor: Who runs units.
        keep: Of how many members parameters are kept.
        names: Names of the axes.
        seeds: The seeds that every setting is there with, if they are no axis.
        metric: What members are ranked by.
        maximize: Whether more is better.
        store: Its folder, if there is one.
        progress: Its bar.
        members: Its members, by number.
        groups: Their groups.
        programs: The groups' programs.
        choices: How they are run.
        written: When its tables were written last.
        sent: Of how many groups other processes know.
    """

    maker: Maker
    executor: Executor
    keep: Keep
    names: tuple[str, ...]
    seeds: list[int]
    metric: str = ""
    maximize: bool = False
    store: Store | None = None
    members: dict[int, Learning] = dataclasses.field(default_factory=dict)
    groups: Groups = dataclasses.field(default_factory=Groups)
    programs: list[Program] = dataclasses.field(default_factory=list)
    choices: list[Choice] = dataclasses.field(default_factory=list)
    progress: Progress = dataclasses.field(init=False)
    written: float = 0.0
    sent: int = 0

    def lengths(self, number: int) -> Lengths:
        """How long a member learns."""
        return self.programs[self.members[number].group].lengths

    def add(self, chosen: Sequence[Chosen]) -> None:
        """Members join, in groups that there are or in new ones.

        Raises:
            GraphError: A graph can't be compiled.
            ValueError: The data does not fit a network; a setting is out of range.
        """
        by_number = {each.number: each for each in chosen}
        placed = self.groups.place(chosen)
        for number in range(len(self.programs), len(self.groups.all)):
            own = [member for group, member in placed if group == number]
            group = self.groups.all[number]
            self.programs.append(self.maker.program(group, own))
        for group, member in placed:
            own = by_number[member.number]
            self.members[member.number] = Learning(member, group, own)

    def join(self, proposed: Sequence[Values], roles: Roles) -> list[list[int]]:
        """Settings join, each with every seed: the members' numbers, by setting."""
        chosen: list[Chosen] = []
        found: list[list[int]] = []
        for values in proposed:
            seeds = [values["seed"]] if "seed" in values else self.seeds
            numbers = []
            for seed in seeds:
                number = len(self.members) + len(chosen)
                chosen.append(roles.chosen(number, values, seed))
                numbers.append(number)
            found.append(numbers)
        self.add(chosen)
        return found

    def by_values(self) -> list[tuple[Values, list[int]]]:
        """Members that differ by seed alone: their values, and their numbers."""
        found: dict[str, tuple[Values, list[int]]] = {}
        for number, each in self.members.items():
            values = each.chosen.values
            key = repr(plain(values))
            found.setdefault(key, (values, []))[1].append(number)
        return list(found.values())

    def _choose(self) -> None:
        """How new groups are run; as at first, where a sweep is gone on with."""
        for number in range(len(self.choices), len(self.programs)):
            plan = list(self.store.plan or ()) if self.store is not None else []
            if number < len(plan):
                self.choices.append(Choice(**plan[number]))
                continue
            members = [x.member for x in self.members.values() if x.group == number]
            made = self.maker.choice(self.programs[number], members)
            self.choices.append(made)
            if self.store is not None:
                self.store.keep_plan([*plan, dataclasses.asdict(made)])

    def advance(self, stops: Mapping[int, int]) -> None:
        """Takes members further.

        Args:
            stops: By number, the row to which each is taken; those that are there
                already, or have diverged, stay where they are.
        """
        self._choose()
        tasks = []
        for unit in self._units(stops):
            stored = self._stored(unit)
            if stored is not None and stored.block >= unit.stop:
                self._take(unit, stored)
                row = self.programs[unit.group].lengths.row
                rows = (unit.stop - unit.start) // row
                self.progress.rows(len(unit.members) * rows)
                continue
            carries = None
            if unit.start:
                carries = [self.members[m.number].carry for m in unit.members]
            tasks.append(Task(unit, carries, stored, self._watch(unit)))
        if tasks and self.executor.remote and self.sent != len(self.programs):
            self.executor.start(job_bytes(self.groups.all, self.programs))
            self.sent = len(self.programs)
        done = self.executor.run(tasks, self.programs, self.choices)
        for task, result in done if tasks else ():
            self._take(task.unit, result)
            self._save(task.unit, result)
            self.write_tables()

    def _save(self, unit: Unit, result: Result) -> None:
        """Writes what came of a unit, behind the members themselves: where a unit is
        there, they are."""
        if self.store is None:
            return
        over = ("done", "diverged")
        if all(self.members[m.number].status in over for m in unit.members):
            result = dataclasses.replace(result, carries=None)
        self.store.write(unit, self.programs[unit.group], result)

    def _stored(self, unit: Unit) -> Result | None:
        if self.store is None:
            return None
        found = self.store.read(unit, self.programs[unit.group])
        if found is None or found.block >= unit.stop:
            return found
        return None if self.executor.remote or found.carries is None else found

    def _watch(self, unit: Unit) -> Watch:
        if self.store is None:
            return Watch(self.progress.rows)
        store, program = self.store, self.programs[unit.group]
        return Watch(
            self.progress.rows, lambda found: store.write(unit, program, found)
        )

    def _units(self, stops: Mapping[int, int]) -> Iterable[Unit]:
        """Blocks of members that go from one place to another together."""
        alike: dict[tuple[int, ...], list[Member]] = {}
        for number, row in stops.items():
            each = self.members[number]
            program = self.programs[each.group]
            stop = row * program.lengths.row
            if each.block < stop and not each.faulty:
                seed = each.member.seed if program.shared_order else 0
                key = (each.group, each.block, stop, seed)
                alike.setdefault(key, []).append(each.member)
        for (group, start, stop, _), members in alike.items():
            devices = len(self.programs[group].devices)
            share = -(-len(members) // devices)
            lanes = self.choices[group].lanes
            if not self.choices[group].exact:
                # For fewer a narrower program, of a width that others also have.
                lanes = min(lanes, 1 << (share - 1).bit_length())
            for first in range(0, len(members), lanes * devices):
                own = tuple(members[first : first + lanes * devices])
                yield Unit(group, own, lanes, start, stop)

    def _take(self, unit: Unit, result: Result) -> None:
        """Notes what came of a unit."""
        lengths = self.programs[unit.group].lengths
        rows = (unit.stop - unit.start) // lengths.row
        finished = []
        for index, member in enumerate(unit.members):
            each = self.members[member.number]
            each.carry = result.carries and result.carries[index]
            each.block, each.faulty = result.block, result.faulty[index]
            for name, values in result.table.items():
                own = np.array(values[index])
                if each.faulty:
                    first = (each.faulty - 1) // lengths.every
                    own[max(first - unit.start // lengths.row, 0) :] = np.nan
                each.table.setdefault(name, []).append(own)
            each.settings += [each.member.values] * rows
            each.status = "diverged" if each.faulty else "running"
            if each.block == lengths.blocks and not each.faulty:
                each.status = "done"
            if each.status != "running":
                finished.append(member.number)
        self.finish(finished)

    def finish(self, numbers: Sequence[int], status: Status | None = None) -> None:
        """Members learn no further: those that are among the best are kept."""
        for number in numbers:
            each = self.members[number]
            each.status = status or each.status
            names = ("params", "state")
            each.carry = each.carry and {name: each.carry[name] for name in names}
        ranked = self.ranked()
        for number in self._left(numbers, ranked):
            self.members[number].carry = None
            if self.store is not None:
                self.store.drop(number)
        for number in numbers:
            self._keep(number)
        best = self.members[ranked[0]].metric(self.metric) if ranked else None
        self.progress.finished(len(numbers), best)

    def _left(self, numbers: Sequence[int], ranked: list[int]) -> list[int]:
        """Members that are not kept, now that some are over."""
        if self.keep == "all":
            return []
        kept = set(ranked[: self.keep])
        before = set(ranked[: self.keep + len(numbers)]) - kept
        return sorted((before | set(numbers)) - kept)

    def _keep(self, number: int) -> None:
        """Writes a member that is over into the folder, if there is one."""
        each = self.members[number]
        if self.store is None or each.carry is None:
            return
        net = self.groups.all[each.group].learner.net
        params, state = each.carry["params"], each.carry["state"]
        about = {"values": plain(each.member.values), "seed": each.member.seed}
        self.store.keep(number, net, each.chosen.graph, params, state, about)
        each.carry = None

    def ranked(self) -> list[int]:
        """Members that are over and did not diverge, the best first."""
        over = ("done", "stopped")
        return self.order([n for n, x in self.members.items() if x.status in over])

    def order(self, numbers: Iterable[int]) -> list[int]:
        """Members with a finite metric, the best first."""
        values = {n: self.members[n].metric(self.metric) for n in numbers}
        finite = [n for n, value in values.items() if math.isfinite(value)]
        sign = -1 if self.maximize else 1
        return sorted(finite, key=lambda n: (sign * values[n], n))

    def run_of(self, number: int) -> Run:
        """A member as what `cj.fit` returns.

        Raises:
            ValueError: Its parameters were not kept.
        """
        import pandas as pd

        each = self.members[number]
        # Of its own declaration: the group's network declares the first one's numbers.
        net = compiler.compile(each.chosen.graph, precision=each.chosen.precision)
        if each.carry is not None:
            group = self.groups.all[each.group].learner.net
            params = net.from_named(group.named(each.carry["params"]))
            state = net.state_from_named(group.named_state(each.carry["state"]))
        elif self.store is not None and self.store.member_folder(number).exists():
            params, state = self.store.parameters(number, net)
        else:
            raise ValueError(
                f"member {number}: its parameters were not kept; expected one of the "
                f"{self.keep} best; cure: keep='all', or train it alone"
            )
        return Run(net, params, state, pd.DataFrame(rows_of(self, number)))

    def write_tables(self, force: bool = False) -> None:
        """Brings the tables in the folder up to date, now and then."""
        now = time.perf_counter()
        if self.store is not None and (force or now - self.written > _WRITTEN_EVERY_S):
            self.store.write_tables(*tables_of(self))
            self.written = time.perf_counter()
