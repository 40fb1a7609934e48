"""What is wrong with a declaration, said once, with a place and a cure."""

import bisect
import dataclasses
import difflib
import reprlib
from collections.abc import Iterable, Sequence

Path = tuple[str | int, ...]

NAMELESS = "?"
"""Begins the stand-in for a name that is missing; no name can begin so."""

_LONGEST_LIST = 50
_WIDTH = 80
_NEIGHBORS = 100


@dataclasses.dataclass(frozen=True)
class Problem:
    """One fault of a declaration.

    Attributes:
        path: Where in the document, e.g. `("capsules", 2, "from", 0, "window")`.
            Machine-readable: an editor can point at it. The last step of a path may
            be a key that is missing.
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
        name: What the graph is called.
        problems: The faults as data, in the order of the document.
        source: The file it was read from, if it was.
    """

    def __init__(self, name: str, problems: Iterable[Problem], source: str = ""):
        self.name = name
        self.problems = tuple(problems)
        self.source = source
        super().__init__(name, self.problems, source)

    def __str__(self) -> str:
        count = len(self.problems)
        file = f" in {self.source!r}" if self.source else ""
        plural = "s" if count > 1 else ""
        head = f"graph {brief(self.name)}{file} has {count} problem{plural}:"
        return f"{head}\n{numbered(self.problems)}"


class ShapeError(ValueError):
    """Raised by the shape rule of a kind that cannot take the shape it is given.

    The checks turn it into a `Problem` that names the capsule and the edge.
    """

    def __init__(self, found: str, expected: str, cure: str):
        super().__init__(f"found {found}; expected {expected}; cure: {cure}")
        self.found, self.expected, self.cure = found, expected, cure


def numbered(problems: Sequence[Problem]) -> str:
    """Problems below each other, no more of them than a message can bear."""
    shown = [f"{i}. {p}" for i, p in enumerate(problems[:_LONGEST_LIST], 1)]
    if len(problems) > _LONGEST_LIST:
        shown.append(f"... and {len(problems) - _LONGEST_LIST} more")
    return "\n".join(shown)


def format_path(path: Path) -> str:
    """Writes a path as it is written in code: `capsules[2].from[0].window`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        plain = step.replace("_", "").isalnum()
        step = step if plain else brief(step)
        text += f".{step}" if text and plain else step if plain else f"[{step}]"
    return text


class Suggestions:
    """Cures that offer the nearest known word.

    Built once for many words. Only as many are looked up as a message shows, and
    among very many known words only those that begin alike, so that a large document
    full of unknown names is refused quickly.
    """

    def __init__(self, known: Iterable[str]):
        self._known = sorted(known)
        self._left = _LONGEST_LIST

    def near(self, word: object) -> str | None:
        """The nearest known word, if one is near."""
        text = str(word) if isinstance(word, str | int) else ""
        if not self._left or not 0 < len(text) <= 2 * _WIDTH:
            return None
        self._left -= 1
        known = self._known
        if len(known) > 10 * _NEIGHBORS:
            at = bisect.bisect(known, text)
            known = known[max(at - _NEIGHBORS, 0) : at + _NEIGHBORS]
        close = difflib.get_close_matches(text, known, n=1)
        return close[0] if close else None

    def cure(self, word: object, otherwise: str) -> str:
        """`did you mean ...?`, or `otherwise` if no known word is near."""
        close = self.near(word)
        return otherwise if close is None else f"did you mean {close!r}?"


def nearest(word: object, known: Iterable[str], otherwise: str) -> str:
    """A cure that offers the nearest known word, or `otherwise` if none is near."""
    return Suggestions(known).cure(word, otherwise)


class _Brief(reprlib.Repr):
    """`repr` that never reads more of a value than it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 6, 12, 12
        self.maxstring = self.maxother = self.maxlong = _WIDTH

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write out numbers of thousands of digits."""
        if x.bit_length() > 1000:
            return f"an integer of about {x.bit_length() * 3 // 10} digits"
        return super().repr_int(x, level)


def brief(value: object, width: int = _WIDTH) -> str:
    """`repr`, cut to a width that a message can bear."""
    text = _Brief().repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def quoted(name: str) -> str:
    """A name in quotes, or the words that stand in for one that is missing."""
    return name[1:] if name.startswith(NAMELESS) else brief(name)


def listing(texts: Iterable[str], most: int = 12, between: str = ", ") -> str:
    """Texts joined, no more of them than a message can bear."""
    texts = list(texts)
    rest = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return between.join(texts[:most] + rest)
