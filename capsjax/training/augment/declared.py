"""Augmentations of plain data, as documents give them."""

from collections.abc import Mapping, Sequence
from typing import Any

from capsjax.graph.errors import brief, listing, nearest
from capsjax.graph.kinds import kind_fields
from capsjax.training.augment.chain import Chain
from capsjax.training.augment.kind import AUGMENTATIONS, Augmentation


def augmentation_of(given: Any) -> Augmentation | None:
    """An augmentation from all that may be given for one.

    Args:
        given: None; an augmentation; the name of a kind, `"flip"`; a table of plain
            data, `{"kind": "shift", "pixels": 2}`; or a list of these, for a chain.

    Returns:
        The augmentation. What it takes from a network, `of_network` fills in.

    Raises:
        ValueError: A kind or a setting is unknown, or a value does not fit; with the
            place.
        TypeError: It is nothing of these.

    Example:
        >>> print(augmentation_of(["flip", {"kind": "shift", "pixels": 3}]))
        chain(flip, shift(pixels=3))
    """
    return None if given is None else _made("augmentation", given)


def _made(place: str, given: Any) -> Augmentation:
    if isinstance(given, Augmentation):
        return given
    if isinstance(given, str):
        given = {"kind": given}
    if isinstance(given, Mapping):
        return _of_table(place, given)
    if isinstance(given, Sequence):
        return Chain(*(_made(f"{place} {i}", each) for i, each in enumerate(given)))
    raise TypeError(
        f"{place}: found {type(given).__name__}; expected one of cj.augment, plain "
        'data such as {"kind": "shift", "pixels": 2}, or a list of these'
    )


def _of_table(place: str, given: Mapping[str, Any]) -> Augmentation:
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in AUGMENTATIONS:
        raise ValueError(
            f"{place}: found the kind {brief(kind)}; expected one of "
            f"{listing(AUGMENTATIONS)}; {nearest(kind, AUGMENTATIONS, 'name one')}"
        )
    record = AUGMENTATIONS[kind]
    settings = {name: value for name, value in given.items() if name != "kind"}
    known = [field.name for field in kind_fields(record)]
    if record is Chain:
        known.remove("names")
    for name in settings:
        if name not in known:
            raise ValueError(
                f"{place}, {kind}: found the setting {brief(name)}; expected some of "
                f"{listing(known)}; {nearest(name, known, 'leave it out')}"
            )
    if record is Chain:
        made = _made(f"{place}, chain, step", list(settings.get("steps", ())))
        return made
    return record(**settings)
