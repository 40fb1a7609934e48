"""Sample documents and ways to spoil them, for `bench.fuzz_documents` and tests.

Those of graphs stand here, those of runs in `bench.mutated_runs`.
"""

import copy
import functools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import capsjax as cj
from capsjax.graph import to_document

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 63, 64, 255, 2**31 - 1, 2**31, 2**63, 10**30,
    -(2**31), 0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, -1e9, float("nan"), float("inf"),
    "", " ", "x", "1", "image", "SAME", "valid", "identity",
    "__class__", "../x", "\x00",
    "\ud800", "é", "a" * 300, "🙂", [], {}, [[]], [1], [0], [-1], [1, 1], [[0, 0]],
    [2, 2], [1] * 70, ["image"], {"kind": "relu"}, {"kind": "identity"},
    {"kind": "route", "iterations": 100}, {"kind": "max_pool", "window": [2, 2]},
    {"kind": "conv", "features": 3, "window": [3, 3], "padding": "SAME"},
    {"kind": "place"}, {"source": "image", "kind": "identity"},
)  # fmt: skip

KEYS = (
    "kind", "name", "from", "source", "cap", "bias", "shape", "window", "stride",
    "padding", "groups", "features", "axis", "offset", "size", "weight", "losses",
    "iterations", "dilation", "inputs", "capsules", "outputs", "format_version", "zzz",
)  # fmt: skip

Keys = Sequence[str]
Place = tuple[Any, Any]
"""A list or object, and the index or key of one of its values."""


@functools.cache
def zoo_documents() -> tuple[str, ...]:
    """The zoo's networks as texts."""
    return tuple(json.dumps(to_document(cj.zoo.graph(name))) for name in cj.zoo.names())


def random_document(rng: random.Random, most: int = 8) -> dict[str, Any]:
    """A sound document with capsules of several kinds."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = []
    for name in ["image", "other"][: rng.randint(1, 2)]:
        shape = rng.choice([(4, 4, 2), (6, 3), (5,), (4, 4, 2)])
        inputs.append({"name": name, "shape": list(shape)})
        shapes[name] = shape
    capsules: list[dict[str, Any]] = []
    unread = list(shapes)
    for i in range(rng.randint(1, most)):
        source = unread.pop() if unread else rng.choice(list(shapes))
        edges, shape = _edges(rng, source, shapes)
        cap, output = _cap(rng, shape)
        name = f"c{i}"
        bias = rng.choice(["channel", "full", None])
        capsules.append({"name": name, "from": edges, "cap": cap, "bias": bias})
        shapes[name] = output
    # What nobody reads comes together in one scalar, so that the graph is connected.
    read = {edge["source"] for each in capsules for edge in each["from"]}
    ends = [name for name in shapes if name not in read]
    edges = []
    for name in ends:
        flat = f"{name}/flat"
        edge = {"source": name, "kind": "reshape", "shape": [-1]}
        capsules.append({"name": flat, "from": [edge]})
        edges.append({"source": flat, "kind": "matmul", "features": 3})
    capsules.append({"name": "last", "from": edges, "cap": {"kind": "softmax"}})
    return {
        "format_version": 1,
        "name": "random",
        "inputs": inputs,
        "capsules": capsules,
        "outputs": ["last"],
        "losses": {"last": {"kind": "cross_entropy", "weight": 0.5}},
        "metadata": {"seed": [1, {"nested": True}]},
    }


def _edges(rng: random.Random, source: str, shapes: dict[str, tuple[int, ...]]):
    """One or several edges whose contributions have one shape."""
    shape = shapes[source]
    alike = [name for name, other in shapes.items() if other == shape]
    choices = ["identity", "matmul", "place", "scale", "channel_scale", "transpose"]
    choices += ["conv"] * 3 if len(shape) == 3 else []
    choices += ["vote"] * 2 if len(shape) == 2 else []
    kind = rng.choice(choices if shape else ["identity", "scale"])
    sources = [source, *rng.sample(alike, rng.randint(0, min(2, len(alike))))]
    settings: dict[str, Any] = {}
    result = shape
    if kind == "matmul":
        settings = {"features": rng.randint(1, 6)}
        result = (*shape[:-1], settings["features"])
    elif kind == "place":
        result = (*shape[:-1], shape[-1] * len(sources))
    elif kind == "transpose":
        settings = {"axes": list(reversed(range(len(shape))))}
        result = shape[::-1]
    elif kind == "conv":
        settings = {"features": 3, "window": [3, 3], "padding": "SAME"}
        result = (*shape[:-1], 3)
    elif kind == "vote":
        settings = {"capsules": 2, "dimension": 3}
        result = (shape[0], 2, 3)
    return [{"source": name, "kind": kind, **settings} for name in sources], result


def _cap(rng: random.Random, shape: tuple[int, ...]):
    if len(shape) == 3 and rng.random() < 0.5:
        if rng.random() < 0.5:
            return {"kind": "route", "iterations": 2}, shape[1:]
        window = [min(2, shape[0]), min(2, shape[1])]
        output = tuple(n // w for n, w in zip(shape, (*window, 1), strict=True))
        return {"kind": rng.choice(["max_pool", "avg_pool"]), "window": window}, output
    kind = rng.choice(["relu", "tanh", "gelu", "squash", "identity", "leaky_relu"])
    return {"kind": kind if shape else "relu"}, shape


def mutated(rng: random.Random) -> bytes:
    """A graph's document spoiled in up to four ways; sometimes in its bytes too."""
    if rng.random() < 0.5:
        document = json.loads(rng.choice(zoo_documents()))
    else:
        document = random_document(rng)
    return spoiled(rng, document, KEYS)


def spoiled(rng: random.Random, document: Any, keys: Sequence[str]) -> bytes:
    """A document spoiled in up to four ways; sometimes in its bytes too.

    Args:
        rng: Decides how.
        document: Plain data, which is changed.
        keys: What keys are called in documents of its kind.
    """
    holder = [document]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        rng.choice(MUTATIONS)(rng, holder, keys)
    indent = rng.choice([None, None, 1])
    text = json.dumps(holder[0] if holder else None, indent=indent)
    content = text.encode()
    while rng.random() < 0.15:
        content = spoil_bytes(rng, content)
    return content


def _places(value: Any) -> list[Place]:
    """Every value below one, by what holds it."""
    found: list[Place] = []
    stack = [value]
    while stack:
        holder = stack.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])
    return found


def _pick(rng: random.Random, holder: list[Any]) -> Place:
    return rng.choice(_places(holder) or [([None], 0)])


def _set_odd(rng: random.Random, holder: list[Any], _: Keys) -> None:
    inside, key = _pick(rng, holder)
    inside[key] = copy.deepcopy(rng.choice(ODD_VALUES))


def _delete(rng: random.Random, holder: list[Any], _: Keys) -> None:
    inside, key = _pick(rng, holder)
    del inside[key]


def _duplicate(rng: random.Random, holder: list[Any], keys: Keys) -> None:
    inside, key = _pick(rng, holder)
    value = copy.deepcopy(inside[key])
    if isinstance(inside, list):
        inside.insert(rng.randint(0, len(inside)), value)
    else:
        inside[rng.choice(keys)] = value


def _swap(rng: random.Random, holder: list[Any], _: Keys) -> None:
    (one, i), (two, j) = _pick(rng, holder), _pick(rng, holder)
    one[i], two[j] = copy.deepcopy(two[j]), copy.deepcopy(one[i])


def _move(rng: random.Random, holder: list[Any], _: Keys) -> None:
    (one, i), (two, j) = _pick(rng, holder), _pick(rng, holder)
    two[j] = copy.deepcopy(one[i])


def _scale_number(rng: random.Random, holder: list[Any], _: Keys) -> None:
    numbers = [(h, k) for h, k in _places(holder) if type(h[k]) in (int, float)]
    if numbers:
        inside, key = rng.choice(numbers)
        factor = rng.choice([-1, 0, 2, 3, 10, 1000, 10**6, 10**9, 10**40, 0.5, 1e300])
        inside[key] *= factor


def _other_name(rng: random.Random, holder: list[Any], _: Keys) -> None:
    texts = [(h, k) for h, k in _places(holder) if isinstance(h[k], str)]
    if len(texts) > 1:
        (one, i), (two, j) = rng.sample(texts, 2)
        one[i] = two[j]


def _rename_key(rng: random.Random, holder: list[Any], keys: Keys) -> None:
    inside, key = _pick(rng, holder)
    if isinstance(inside, dict):
        inside[rng.choice([*keys, f"{key}s", str(key)[:-1]])] = inside.pop(key)


def _wrap(rng: random.Random, holder: list[Any], keys: Keys) -> None:
    inside, key = _pick(rng, holder)
    for _ in range(rng.choice([1, 1, 1, 5, 120, 400])):
        value = inside[key]
        inside[key] = [value] if rng.random() < 0.7 else {rng.choice(keys): value}


def _repeat(rng: random.Random, holder: list[Any], _: Keys) -> None:
    lists = [(h, k) for h, k in _places(holder) if isinstance(h[k], list)]
    if lists:
        inside, key = rng.choice(lists)
        inside[key] = inside[key] * rng.choice([2, 3, 40])


MUTATIONS: tuple[Callable[[random.Random, list[Any], Keys], None], ...] = (
    _set_odd,
    _set_odd,
    _delete,
    _duplicate,
    _swap,
    _move,
    _scale_number,
    _scale_number,
    _other_name,
    _other_name,
    _rename_key,
    _wrap,
    _repeat,
)


def spoil_bytes(rng: random.Random, content: bytes) -> bytes:
    if not content:
        return b"\x00"
    i, j = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    way = rng.randrange(5)
    if way == 0:
        return content[:i]
    if way == 1:
        return content[:i] + bytes([rng.randrange(256)]) + content[i + 1 :]
    if way == 2:
        return content[:i] + content[j:]
    if way == 3:
        return content[:j] + content[i:j] + content[j:]
    return content[:i] + rng.choice([b"[" * 3000, b"9" * 5000, b'"', b"1e999"])
