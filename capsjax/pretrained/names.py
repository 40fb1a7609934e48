"""Which tensor of another framework a parameter is: names, and rules for names.

A table of names has entries of two sorts:

    capsule                     its module there: "stem": "features.0"
    one parameter or statistic  its tensor there: "stem:B": "features.0.bias"

with parameters as error messages write them: `capsule:B`, `capsule:W:source`,
`capsule:mean`, `capsule:variance`. An entry may stand for many. A placeholder in braces
matches letters and digits; the name there may shift a number:

    "stage{i}/block{j}/conv{k}": "layer{i}.{j-1}.conv{k}"

A name there may say what is to be done with the tensor:

    NAME.T        transpose it first
    NAME[2/3]     of its features, the second of three equal parts
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

_PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*)(?:([+-])(\d+))?\}")
_EXPRESSION = re.compile(r"(.+?)(\.T)?(?:\[(\d+)/(\d+)\])?")


class Tensor(NamedTuple):
    """A tensor of another framework, and what is to be done with it.

    Attributes:
        name: Its name.
        transposed: Whether its axes are reversed first.
        part: Which part of its features is meant, counted from 1.
        parts: Of how many equal parts.
    """

    name: str
    transposed: bool = False
    part: int = 1
    parts: int = 1

    def __str__(self) -> str:
        turned = ".T" if self.transposed else ""
        return self.name + turned + (f"[{self.part}/{self.parts}]" * (self.parts > 1))


def parse(text: str) -> Tensor:
    """Reads `NAME`, `NAME.T`, `NAME[2/3]` or `NAME.T[2/3]`.

    Raises:
        ValueError: There is no such part.
    """
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text!r}; expected a name, such as 'features.0'")
    name, turned, part, parts = match.groups()
    if parts is None:
        return Tensor(name, turned is not None)
    if not 1 <= int(part) <= int(parts):
        raise ValueError(
            f"found part {part} of {parts} in {text!r}; expected a part from 1 to "
            f"{parts}"
        )
    return Tensor(name, turned is not None, int(part), int(parts))


class Names:
    """A table of names, its rules compiled once."""

    def __init__(self, table: Mapping[str, str]):
        self._exact = {k: v for k, v in table.items() if not _PLACEHOLDER.search(k)}
        self._rules = [
            (_pattern(key), value)
            for key, value in table.items()
            if key not in self._exact
        ]

    @property
    def exact(self) -> tuple[str, ...]:
        """Entries that stand for one name alone."""
        return tuple(self._exact)

    def find(self, name: str) -> str | None:
        """What a capsule or parameter is called there; None without an entry.

        An entry for this very name goes before rules, a rule before those below it.
        """
        if name in self._exact:
            return self._exact[name]
        for pattern, value in self._rules:
            if match := pattern.fullmatch(name):
                return _fill(value, match.groupdict())
        return None


def _pattern(rule: str) -> re.Pattern[str]:
    """A rule as a regular expression; a placeholder met again matches the same."""
    text, end, seen = "", 0, set()
    for match in _PLACEHOLDER.finditer(rule):
        name, sign, _ = match.groups()
        if sign:
            raise ValueError(
                f"names: found {match[0]} in {rule!r}; expected {{{name}}}: only the "
                "name on the other side may shift a number"
            )
        text += re.escape(rule[end : match.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>[A-Za-z0-9]+)"
        seen.add(name)
        end = match.end()
    return re.compile(text + re.escape(rule[end:]))


def _fill(value: str, found: Mapping[str, str]) -> str:
    """A name there, its placeholders filled in."""

    def one(match: re.Match[str]) -> str:
        name, sign, amount = match.groups()
        if name not in found:
            raise ValueError(
                f"names: found the placeholder {match[0]} in {value!r}; expected one "
                f"of the rule's own: {', '.join(found)}"
            )
        if sign is None:
            return found[name]
        if not found[name].isdigit():
            raise ValueError(
                f"names: found {name} = {found[name]!r} for {value!r}; expected a "
                "number, which alone can be shifted"
            )
        return str(int(found[name]) + int(sign + amount))

    return _PLACEHOLDER.sub(one, value)
