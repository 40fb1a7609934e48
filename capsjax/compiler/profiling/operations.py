"""The operations of a compiled program, read from XLA's text of it.

XLA makes operations of its own, such as copies to another layout, which have no name
from JAX. They count to where what is in them comes from: to the last named operation
that is fused into them, or else to the one whose result they read.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MODULE = re.compile(r"^HloModule ([^,\s]+)")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?(\S+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([^\s=]+) = (.*)$")
_OPCODE = re.compile(r"\s([a-z][a-z0-9-]*)\(%?([\w.-]*)")
_CALLED = re.compile(r"\b(?:calls|to_apply)=%?([\w.-]+)")
_NAMED = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)")
_FARTHEST = 16
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
    opcode: str
    op_name: str
    called: str
    read: str


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
    lines: dict[str, _Line] = {}
    held: dict[str, list[str]] = {}
    for computation, name, line in _read(text):
        lines[name] = line
        held.setdefault(computation, []).append(name)

    def named(name: str) -> str:
        for _ in range(_FARTHEST):
            line = lines.get(name)
            if line is None:
                return ""
            if line.op_name:
                return line.op_name
            for inner in reversed(held.get(line.called, ())):
                if lines[inner].op_name and lines[inner].opcode != "parameter":
                    return lines[inner].op_name
            name = line.read
        return ""

    return {name: Operation(line.opcode, named(name)) for name, line in lines.items()}


def _read(text: str) -> Iterator[tuple[str, str, _Line]]:
    """The instructions, each with its computation's name and its own."""
    computation = ""
    for row in text.splitlines():
        if header := _COMPUTATION.match(row):
            computation = header[1]
            continue
        found = _INSTRUCTION.match(row)
        if found is None:
            continue
        name, rest = found.groups()
        opcode = _OPCODE.search(f" {rest}")
        called, op_name = _CALLED.search(rest), _NAMED.search(rest)
        line = _Line(
            opcode[1] if opcode else "",
            _plain(op_name[1]) if op_name else "",
            called[1] if called else "",
            opcode[2] if opcode else "",
        )
        yield computation, name, line


def _plain(escaped: str) -> str:
    """The text in which characters beyond ASCII, and quotes, were escaped by bytes."""

    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if len(code) == 3 else code

    return _ESCAPED.sub(one, escaped.encode()).decode(errors="replace")
