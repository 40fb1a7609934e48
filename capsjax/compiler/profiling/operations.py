"""The operations of a compiled program, read from XLA's text of it.

XLA makes operations of its own, such as copies to another layout, which have no name
from JAX. They count to where their time is spent for: to the last named operation that
is fused into them; or else to the next one that reads their result; or to the last one
whose result they read; or to the branch or loop in which they stand.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_MODULE = re.compile(r"^HloModule ([^,\s]+)")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?(\S+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([^\s=]+) = (.*)$")
_OPCODE = re.compile(r"\s([a-z][a-z0-9-]*)\(([^)]*)\)")
_READ = re.compile(r"%([\w.-]+)")
_HELD = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)="
    r"(%[\w.-]+)|\bbranch_computations=\{([^}]*)\}"
)
_NAMED = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)")
_FARTHEST = 4
HOLDERS = frozenset({"while", "call", "conditional", "async-start", "async-done"})
"""Operations whose time is that of the operations which they hold."""


class Operation(NamedTuple):
    """An operation of a compiled program.

    Attributes:
        opcode: What it does: "fusion", "dot", "while".
        op_name: The scopes and the operation of JAX that it comes from; may be empty.
    """

    opcode: str
    op_name: str

    @property
    def holds(self) -> bool:
        """Whether its time is that of operations within."""
        return self.opcode in HOLDERS


class _Line(NamedTuple):
    computation: str
    opcode: str
    op_name: str
    reads: tuple[str, ...]
    holds: tuple[str, ...]


def module_name(text: str) -> str:
    """The program's name in a trace, such as `jit_step`."""
    found = _MODULE.match(text)
    if found is None:
        raise ValueError(f"found {text[:40]!r}; expected the text of an HLO module")
    return found[1]


def operations(text: str) -> dict[str, Operation]:
    """The operations of a program by name, each with the name that JAX gave it.

    Args:
        text: `compiled.as_text()`.
    """
    lines = dict(_read(text))
    readers: dict[str, list[str]] = {}
    holder: dict[str, str] = {}
    within: dict[str, list[str]] = {}
    for name, line in lines.items():
        within.setdefault(line.computation, []).append(name)
        holder |= dict.fromkeys(line.holds, name)
        for source in line.reads:
            readers.setdefault(source, []).append(name)

    def own(name: str) -> str:
        """Its name from JAX: not that of an argument, which has no scope."""
        line = lines[name]
        if "/" in line.op_name or line.opcode != "fusion":
            return line.op_name if "/" in line.op_name else ""
        fused = [lines[inner].op_name for held in line.holds for inner in within[held]]
        return next((found for found in reversed(fused) if "/" in found), "")

    def nearest(name: str, to: Callable[[str], Iterable[str]]) -> str:
        names = [name]
        for _ in range(_FARTHEST):
            names = [n for each in names for n in to(each) if n in lines]
            for each in names:
                if found := own(each):
                    return found
        return ""

    def named(name: str) -> str:
        found = (
            own(name)
            or nearest(name, lambda each: readers.get(each, ()))
            or nearest(name, lambda each: lines[each].reads)
        )
        around = holder.get(lines[name].computation)
        return found or (named(around) if around else lines[name].op_name)

    return {name: Operation(line.opcode, named(name)) for name, line in lines.items()}


def _read(text: str) -> Iterator[tuple[str, _Line]]:
    """The instructions by name."""
    computation = ""
    for row in text.splitlines():
        if header := _COMPUTATION.match(row):
            computation = header[1]
            continue
        found = _INSTRUCTION.match(row)
        if found is None:
            continue
        name, rest = found.groups()
        opcode, op_name = _OPCODE.search(f" {rest}"), _NAMED.search(rest)
        held = " ".join(a or b for a, b in _HELD.findall(rest))
        yield (
            name,
            _Line(
                computation,
                opcode[1] if opcode else "",
                _plain(op_name[1]) if op_name else "",
                tuple(_READ.findall(opcode[2])) if opcode else (),
                tuple(_READ.findall(held)),
            ),
        )


def _plain(escaped: str) -> str:
    """The text in which characters beyond ASCII, and quotes, were escaped by bytes."""

    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if len(code) == 3 else code

    return _ESCAPED.sub(one, escaped.encode()).decode(errors="replace")
