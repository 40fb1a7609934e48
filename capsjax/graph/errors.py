"""What is wrong with a declaration, said once, with a place and a cure."""

import dataclasses
import difflib
from collections.abc import Iterable

Path = tuple[str | int, ...]

_LONGEST_LIST = 50


@dataclasses.dataclass(frozen=True)
class Problem:
    """One fault of a declaration.

    Attributes:
        path: Where in the document, e.g. `("capsules", 2, "from", 0, "window")`.
            Machine-readable: an editor can point at it.
        place: The same for a reader, by name: `capsule 'c1', edge from 'image'`.
        found: What stands there.
        expected: What should stand there.
        cure: What to do about it.
    """

    path: Path
    place: str
    found: str
    expected: str
    cure: str

    def __str__(self) -> str:
        where = f" ({format_path(self.path)})" if self.path else ""
        return (
            f"{self.place}{where}\n"
            f"    found:    {self.found}\n"
            f"    expected: {self.expected}\n"
            f"    cure:     {self.cure}"
        )


class GraphError(ValueError):
    """Everything that is wrong with a declaration, collected and raised once.

    Attributes:
        problems: The faults as data, in the order of the document.
    """

    def __init__(self, name: str, problems: Iterable[Problem]):
        self.name = name
        self.problems = tuple(problems)
        super().__init__(name, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"graph {self.name!r} has {count} problem{'s' if count > 1 else ''}:"
        shown = [f"{i}. {p}" for i, p in enumerate(self.problems[:_LONGEST_LIST], 1)]
        if count > _LONGEST_LIST:
            shown.append(f"... and {count - _LONGEST_LIST} more")
        return "\n".join([head, *shown])


class ShapeError(ValueError):
    """Raised by the shape rule of a kind that cannot take the shape it is given.

    The checks turn it into a `Problem` that names the capsule and the edge.
    """

    def __init__(self, found: str, expected: str, cure: str):
        super().__init__(f"found {found}; expected {expected}; cure: {cure}")
        self.found, self.expected, self.cure = found, expected, cure


def format_path(path: Path) -> str:
    """Writes a path as it is written in code: `capsules[2].from[0].window`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def nearest(word: object, known: Iterable[str], otherwise: str) -> str:
    """A cure that offers the nearest known word, or `otherwise` if none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise


def brief(value: object, width: int = 80) -> str:
    """`repr`, cut to a width that a message can bear."""
    text = repr(value) if not isinstance(value, str) else repr(value[: width + 1])
    return text if len(text) <= width else text[: width - 3] + "..."
