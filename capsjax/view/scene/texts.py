"""How wide texts are, in points, by the metrics of DejaVu Sans.

Where a viewer lacks that font, Verdana (as wide) or a narrower one takes its place.
"""

import functools
import os
import unicodedata
from typing import Any

CAPITALS = 0.729
"""Height of capital letters, as part of the size."""


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text.

    Example:
        >>> round(text_width("capsule", 10.0), 1)
        38.5
    """
    return size * sum(_advance(letter, bold) for letter in text)


def middle(size: float) -> float:
    """How far below the middle of a line of text its baseline lies."""
    return size * CAPITALS / 2


@functools.cache
def ink_middle(text: str, size: float) -> float:
    """The same for a symbol, by where its ink is."""
    inks = [_ink(letter) for letter in text]
    low, high = min(ink[0] for ink in inks), max(ink[1] for ink in inks)
    return size * (low + high) / 2


@functools.cache
def _font(bold: bool) -> Any:
    # Found by its place: a search among the machine's fonts takes a second.
    import matplotlib
    from matplotlib.ft2font import FT2Font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", name)
    font = FT2Font(path)
    font.set_size(100.0, 72)
    return font


@functools.cache
def _advance(letter: str, bold: bool) -> float:
    font = _font(bold)
    if not font.get_char_index(ord(letter)):
        return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.7
    return _glyph(letter, bold).linearHoriAdvance / 65536 / 100


def _ink(letter: str) -> tuple[float, float]:
    if not _font(False).get_char_index(ord(letter)):
        return 0.0, CAPITALS
    _, low, _, high = _glyph(letter, False).bbox
    return low / 64 / 100, high / 64 / 100


def _glyph(letter: str, bold: bool) -> Any:
    from matplotlib.ft2font import LoadFlags

    return _font(bold).load_char(ord(letter), flags=LoadFlags.NO_HINTING)
