"""What is written on capsules and edges: kinds and settings in few words."""

from typing import Any

from capsjax.graph.kinds import Kind, LossKind, Shape, WeightingKind, kind_fields
from capsjax.graph.typed import TypedCapsule, TypedGroup

# Settings that the shapes beside them show already.
_IN_SHAPES = {"features", "shape", "capsules", "dimension", "offset", "size", "centers"}
_LONGEST = 36


def words(kind: Kind) -> str:
    """A kind and the settings that differ from the usual: `route, iterations 5`.

    Example:
        >>> import capsjax as cj
        >>> words(cj.caps.max_pool((2, 2)))
        'max_pool 2×2'
        >>> words(cj.caps.route(5))
        'route, iterations 5'
    """
    window = _window(kind)
    head = f"{kind.kind} {window}" if window else kind.kind
    return ", ".join([head, *_settings(kind)])


def edge_words(weighting: WeightingKind) -> str:
    """The settings of an operation; its kind is said by its symbol.

    An operation without a symbol of its own is called by its name.

    Example:
        >>> import capsjax as cj
        >>> edge_words(cj.weightings.Conv(256, (9, 9), stride=(2, 2)))
        '9×9, stride 2'
        >>> edge_words(cj.weightings.Matmul(10))
        ''
    """
    named = type(weighting).symbol == WeightingKind.symbol
    parts = [weighting.kind] if named else []
    parts += [_window(weighting)] if _window(weighting) else []
    return ", ".join([*parts, *_settings(weighting)])


def loss_words(loss: LossKind) -> str:
    """A loss with the settings that differ from the usual ones.

    Example:
        >>> import capsjax as cj
        >>> loss_words(cj.losses.margin(weight=0.5))
        'margin, weight 0.5'
    """
    return ", ".join(
        [loss.kind, *(_setting(*each) for each in loss.settings().items())]
    )


def shape_words(shape: Shape) -> str:
    """A shape as it is written in papers: `28 × 28 × 1`; a scalar is a `number`.

    Example:
        >>> shape_words((28, 28, 1))
        '28 × 28 × 1'
    """
    return " × ".join(map(str, shape)) if shape else "number"


def capsule_words(capsule: TypedCapsule) -> str:
    """The capsule function, as a reader sees it; nothing for the identity."""
    return "" if capsule.cap.kind == "identity" else words(capsule.cap)


def rule_words(capsule: TypedCapsule) -> str:
    """The backward rules on a capsule and the edges into it: `back: stop`."""
    received = capsule.received and capsule.received.rule
    rules = received, capsule.backward, *(edge.backward for edge in capsule.edges)
    found = dict.fromkeys(words(rule) for rule in rules if rule is not None)
    return f"back: {', '.join(found)}" if found else ""


def caps_words(group: TypedGroup) -> str:
    """The capsule functions of a group's members."""
    return ", ".join(map(words, group.caps))


def members_word(group: TypedGroup) -> str:
    """What a group's members are called: those without names are neurons."""
    return "capsules" if group.members else "neurons"


def name_words(name: str) -> str:
    """A name for a drawing: long ones without their middle."""
    if len(name) <= _LONGEST:
        return name
    half = _LONGEST // 2
    return f"{name[: half - 1]}…{name[-half + 1 :]}"


def _window(kind: Kind) -> str:
    window = getattr(kind, "window", None)
    return "×".join(map(str, window)) if isinstance(window, tuple) else ""


def _settings(kind: Kind) -> list[str]:
    shown = []
    for field in kind_fields(kind):
        value = getattr(kind, field.name)
        hidden = field.name == "window" or field.name in _IN_SHAPES
        if hidden or value == field.default or _is_usual(field.name, value):
            continue
        shown.append(value if field.name == "padding" else _setting(field.name, value))
    return [text if isinstance(text, str) else f"padding {text}" for text in shown]


def _is_usual(name: str, value: Any) -> bool:
    if value is None or value is False or value == "VALID":
        return True
    if name in ("stride", "dilation", "groups", "weight"):
        return all(
            each == 1 for each in (value if isinstance(value, tuple) else [value])
        )
    return name == "axis" and value == -1


def _setting(name: str, value: Any) -> str:
    if isinstance(value, tuple) and len(set(value)) == 1 and name != "axes":
        value = value[0]
    elif isinstance(value, tuple):
        value = ", ".join(map(str, value))
    if value is True:
        return name
    text = f"{name} {value}"
    return text if len(text) <= _LONGEST else f"{name} …"
