"""From what pydantic finds to ours: each fault with its place and its cure."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError

from capsjax.graph import plain
from capsjax.graph.errors import Path, Problem, brief, listing, nearest, numbered
from capsjax.graph.faults import value_problem
from capsjax.training.documents.forms import Form
from capsjax.training.documents.reading import UnreadableError, position, read

FORMAT_VERSION = 1

MISPLACED = "write it above all tables: in TOML, what stands below one belongs to it"

F = TypeVar("F", bound=Form)


class DocumentError(ValueError):
    """Everything that is wrong with a document, collected and raised once.

    Attributes:
        noun: What the document declares.
        problems: The faults as data, in the order of the document.
        source: The file it was read from, if it was.
    """

    noun = "document"

    def __init__(self, problems: Iterable[Problem], source: str = ""):
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        count = len(self.problems)
        what = f"{self.noun} {self.source!r}" if self.source else self.noun
        plural = "s" if count > 1 else ""
        return f"{what} has {count} problem{plural}:\n{numbered(self.problems)}"


class Fault(Protocol):
    """Makes a problem of a place of a document."""

    def __call__(
        self, path: Path, found: str, expected: str, cure: str, /
    ) -> Problem: ...


@dataclasses.dataclass(frozen=True)
class Dialect(Generic[F]):
    """A kind of document: its form, and how its faults are spoken of.

    Attributes:
        form: Its types.
        error: What is raised.
        place_of: A path for a reader.
        known: The keys that may stand where an unknown one was found, from the
            document and the path.
        own_words: A fault of pydantic's in words of this kind of document; None for
            the common ones. From the document, the path and the fault.
        checks: What is wrong with plain data of any form, beside its types.
        forms_at: Which steps of pydantic's locations name a form, not a place, by the
            first step.
    """

    form: type[F]
    error: type[DocumentError]
    place_of: Callable[[Path], str]
    known: Callable[[Any, Path], Sequence[str]]
    own_words: Callable[[Any, Path, Any], Problem | None]
    checks: Callable[[Any], Iterable[Problem]]
    forms_at: Mapping[str, tuple[int, ...]]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a document."""
        return tuple(self.form.model_fields)

    def fault(self, path: Path, found: str, expected: str, cure: str, /) -> Problem:
        """A fault at a place of the document."""
        return Problem(path, self.place_of(path), found, expected, cure)


def parsed(dialect: Dialect[F], text: str | bytes, source: str) -> tuple[F, str]:
    """Reads a document.

    Args:
        dialect: Which kind it is of.
        text: The document, TOML or JSON, or its bytes in UTF-8.
        source: The file it comes from: for messages, and for its ending.

    Returns:
        What it says, and its text.

    Raises:
        DocumentError: Everything that is wrong with it, at once.
    """
    try:
        document, whole, problems = read(text, source)
    except UnreadableError as error:
        cure = "correct the document at this place"
        problem = dialect.fault((), str(error), error.expected, cure)
        raise dialect.error([problem], source) from None
    return validated(dialect, document, source, problems), whole


def validated(
    dialect: Dialect[F],
    document: Any,
    source: str = "",
    problems: Iterable[Problem] = (),
) -> F:
    """The form of plain data.

    Args:
        dialect: Which kind of document it is.
        document: The data.
        source: The file it was read from, if it was.
        problems: What is known to be wrong with it.

    Raises:
        DocumentError: Everything that is wrong with it, at once.
    """
    form, cleaned, more = _typed(dialect, document)
    found = [*problems, *more]
    places = {problem.path for problem in found}
    found += [each for each in dialect.checks(cleaned) if each.path not in places]
    if form is None or found:
        found.sort(key=lambda problem: position(document, problem.path))
        raise dialect.error(found, source)
    return form


def _typed(dialect: Dialect[F], document: Any) -> tuple[F | None, Any, list[Problem]]:
    """A document by its types alone: the form, if it is sound; the document, with null
    for what is no plain data; and the faults that stand in the way."""
    try:
        text = plain.write(document)
        return dialect.form.model_validate_json(text), document, []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if errors[0]["type"] != "json_invalid":
            return None, document, _problems(dialect, document, errors)
    except (TypeError, ValueError, RecursionError):
        pass
    document, problems = plain.clean(document)
    problems = [_placed(dialect, each) for each in problems]
    try:
        dialect.form.model_validate_json(plain.write(document))
    except ValidationError as error:
        places = {problem.path for problem in problems}
        more = _problems(dialect, document, error.errors(include_url=False))
        problems += [each for each in more if each.path not in places]
    return None, document, problems


def _placed(dialect: Dialect[Any], problem: Problem) -> Problem:
    if problem.place.startswith("key "):
        return problem
    return dataclasses.replace(problem, place=dialect.place_of(problem.path))


def _problems(
    dialect: Dialect[Any], document: Any, errors: Sequence[Any]
) -> list[Problem]:
    """One problem for each place.

    Where a value may take several forms, pydantic says of each why it is not that
    one: the form that was understood farthest is meant; of equals, all are named.
    """
    found: dict[Path, list[Problem]] = {}
    for error in errors:
        path = _real_path(dialect, document, error["loc"])
        found.setdefault(path, []).append(_problem(dialect, document, path, error))
    around = {path[:length] for path in found for length in range(len(path))}
    return [_joined(each) for path, each in found.items() if path not in around]


def _joined(forms: list[Problem]) -> Problem:
    first = forms[0]
    expected = " or ".join(dict.fromkeys(form.expected for form in forms))
    near = [form.cure for form in forms if form.cure.startswith("did you mean")]
    cure = near[0] if near else first.cure
    return Problem(first.path, first.place, first.found, expected, cure)


def _real_path(dialect: Dialect[Any], document: Any, loc: tuple[Any, ...]) -> Path:
    """Drops from a location the steps that name a form, not a place."""
    at = dialect.forms_at.get(loc[0], ()) if loc else ()
    path: list[Any] = []
    value = document
    for number, step in enumerate(loc):
        if number in at or (not at and not _leads_on(value, step)):
            continue
        path.append(step)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
    return tuple(path)


def _leads_on(value: Any, step: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and isinstance(step, int)
    )


def _problem(dialect: Dialect[Any], document: Any, path: Path, error: Any) -> Problem:
    """Turns one fault that pydantic found into ours."""
    own = dialect.own_words(document, path, error)
    kind, value = error["type"], error["input"]
    if own is not None:
        return own
    if kind == "extra_forbidden":
        return _unknown_key(dialect, document, path)
    if kind == "missing":
        key = path[-1]
        head = f"add it, at the head: {key} = {FORMAT_VERSION}"
        cure = head if key == "format_version" else "add it"
        return dialect.fault(path, f"no key {key!r}", f"the key {key!r}", cure)
    if path == ("format_version",):
        cure = f"write {FORMAT_VERSION}, without quotes"
        if type(value) is int and value > FORMAT_VERSION:
            cure = "use a newer capsjax"
        expected = f"{FORMAT_VERSION}, the version known"
        return dialect.fault(path, brief(value), expected, cure)
    return value_problem(path, dialect.place_of(path), error)


def _unknown_key(dialect: Dialect[Any], document: Any, path: Path) -> Problem:
    key, known = path[-1], dialect.known(document, path)
    cure = nearest(key, known, "remove it")
    if len(path) > 1 and key in dialect.keys and key not in known:
        cure = MISPLACED
    expected = f"one of {', '.join(known)}"
    return dialect.fault(path, f"unknown key {brief(key)}", expected, cure)


def exclusive(
    document: Mapping[str, Any], keys: Sequence[str], fault: Fault
) -> Iterator[Problem]:
    """A problem where more than one of some keys is given."""
    given = [key for key in keys if document.get(key) is not None]
    if len(given) > 1:
        found = listing(
            (f"{key} = {brief(document[key])}" for key in given), 9, " and "
        )
        yield fault((given[-1],), found, "one of them", "remove one of them")
