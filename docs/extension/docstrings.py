"""Docstrings as reStructuredText: their own text is Markdown of a few kinds.

    `code`           becomes a literal, whatever is inside
    text * and | _   is text, as it stands
    indented lines   outside of a section are a literal block
    Source: ...      is a paragraph, with its continuation

Sections (Args, Returns, ...) are left to `sphinx.ext.napoleon`, which runs afterwards.
"""

import re
from collections.abc import Iterator

SECTIONS = (
    *("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Examples"),
    *("Shapes", "Laws", "Warns", "Note"),
)
_HEADER = re.compile(rf"^({'|'.join(SECTIONS)}):$")
_CODE = re.compile(r"`([^`\n]+)`")
_MARKED = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")
_ITEM = re.compile(r"^([-*]|\d+\.) ")
_NAMED = re.compile(r"^(\s*)(\*{0,2}[\w.]+( \([^)]*\))?)(: .*)?$")


def to_rst(text: str) -> list[str]:
    """The lines of a docstring, cleaned of its indentation, for napoleon.

    Args:
        text: A docstring as `inspect.cleandoc` gives it.

    Returns:
        Lines of reStructuredText, with the sections that there were.

    Example:
        >>> to_rst("`Y = |U|`, a norm | of U.")
        ['``Y = |U|``, a norm \\\\| of U.']
    """
    found = []
    for header, lines in _parts(_joined(text.split("\n"))):
        if header is None:
            found += _body(lines, 0)
        else:
            found += ["", f"{header}:", *_body(lines, 4), ""]
    return found


def _joined(lines: list[str]) -> list[str]:
    """Code that goes on in the next line becomes one line: literals need that."""
    text = "\n".join(lines)
    kept: list[str] = []
    for line in text.split("\n"):
        open_before = bool(kept) and kept[-1].count("`") % 2 == 1
        prompt = line.lstrip().startswith((">>>", "..."))
        if open_before and line.strip() and not prompt and "`" in line:
            kept[-1] = f"{kept[-1]} {line.strip()}"
        else:
            kept.append(line)
    return kept


def _parts(lines: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """The text and the sections, in their order."""
    header, part = None, []
    for line in lines:
        match = _HEADER.match(line)
        ends = header is not None and line and not line.startswith(" ")
        if match or ends:
            yield header, part
            header, part = (match[1] if match else None), []
            if match:
                continue
        part.append(line)
    yield header, part


def _body(lines: list[str], indent: int) -> list[str]:
    """Lines of text: what is indented further than the text is a literal block."""
    made: list[str] = []
    literal = doctest = False
    base = indent
    for line in lines:
        width = len(line) - len(line.lstrip())
        text = line.strip()
        if not text:
            doctest = False
            made.append("")
            continue
        if doctest or text.startswith(">>> "):
            doctest = True
            literal = False
            made.append(line)
            continue
        if literal and width > base:
            made.append(line)
            continue
        literal = False
        before = next((each for each in reversed(made) if each.strip()), "")
        fresh = not made or not made[-1].strip()
        if fresh and width > base and _starts_block(before, width, base):
            made += [" " * base + "::", ""]
            literal = True
            made.append(line)
            continue
        if not fresh and before.lstrip().startswith("Source:"):
            made[-1] = f"{made[-1]} {_inline(text)}"
            continue
        made.append(" " * width + _inline(text))
    return made


def _starts_block(before: str, width: int, base: int) -> bool:
    """Whether what is indented is code, and not the rest of an item."""
    text = before.strip()
    if _ITEM.match(text) or (base and _NAMED.match(before)):
        return False
    return width - base >= 4


def _inline(text: str) -> str:
    """A line of text: code as literals, all else as it stands."""
    item = _ITEM.match(text)
    head, text = (item[0], text[len(item[0]) :]) if item else ("", text)
    parts = _CODE.split(text)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = f"``{part.strip()}``"
        else:
            parts[place] = _MARKED.sub(r"\\\1", part)
    return head + _spaced(parts)


def _spaced(parts: list[str]) -> str:
    """The parts as one text; a letter right after a literal is set off for Sphinx."""
    made = ""
    for place, part in enumerate(parts):
        joins = place % 2 == 0 and place and part[:1].isalnum()
        glued = place % 2 and made[-1:].isalnum()
        made += ("\\ " if joins or glued else "") + part
    return made
