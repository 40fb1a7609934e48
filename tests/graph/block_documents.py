"""Documents with blocks: random ones, and what they mean, found independently."""

import copy
import random
from typing import Any

RESIDUAL: dict[str, Any] = {
    "inputs": ["x"],
    "parameters": ["features", "cap"],
    "defaults": {"cap": {"kind": "relu"}},
    "capsules": [
        {
            "name": "h",
            "from": [
                {
                    "source": "x",
                    "kind": "matmul",
                    "features": {"parameter": "features"},
                }
            ],
            "cap": {"parameter": "cap"},
        },
        {
            "name": "out",
            "from": [
                {"source": "h", "kind": "matmul", "features": 4},
                {"source": "x", "kind": "identity"},
            ],
        },
    ],
}

SOUND_BLOCKS: dict[str, Any] = {
    "format_version": 1,
    "name": "blocks",
    "inputs": [{"name": "x", "shape": [4]}],
    "blocks": {
        "stage": {
            "inputs": ["x"],
            "parameters": ["features", "repeats"],
            "capsules": [
                {
                    "name": "layer",
                    "block": "residual",
                    "from": ["x"],
                    "with": {"features": {"parameter": "features"}},
                    "repeat": {"parameter": "repeats"},
                }
            ],
        },
        "residual": RESIDUAL,
    },
    "capsules": [
        {
            "name": "stage",
            "block": "stage",
            "from": ["x"],
            "with": {"features": {"each": [3, 5]}, "repeats": 2},
            "repeat": 2,
        },
        {
            "name": "last",
            "block": "residual",
            "from": ["stage"],
            "with": {"features": 6, "cap": "tanh"},
        },
        {
            "name": "y",
            "from": [
                {"source": "last", "kind": "matmul", "features": 2},
                {"source": "stage1/layer2/h", "kind": "matmul", "features": 2},
            ],
            "cap": {"kind": "softmax"},
        },
    ],
    "outputs": ["y"],
    "losses": {"y": {"kind": "cross_entropy"}},
}


def changed_blocks(path: str, value: Any) -> dict[str, Any]:
    """The sound document with one value set at a path `blocks.stage.inputs`."""
    document = copy.deepcopy(SOUND_BLOCKS)
    last: Any
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inside: Any = document
    for step in way:
        inside = inside[step]
    if isinstance(inside, list) and last == len(inside):
        inside.append(value)
    else:
        inside[last] = value
    return document


def random_blocks(chance: random.Random) -> dict[str, Any]:
    """A sound document of blocks within blocks on vectors of four numbers."""
    blocks: dict[str, Any] = {}
    for number in range(chance.randint(1, 4)):
        blocks[f"b{number}"] = _random_block(chance, list(blocks), blocks)
    top = _random_body(chance, ["x", "z"], list(blocks), blocks, [])
    used = {e["block"] for e in top if "block" in e}
    waiting = list(used)
    for name in waiting:
        inner = {e["block"] for e in blocks[name]["capsules"] if "block" in e}
        waiting += inner - used
        used |= inner
    read = {s for e in top for s in _read(e)}
    ends = [name for name in ["x", "z", *(e["name"] for e in top)] if name not in read]
    edges = [{"source": name, "kind": "matmul", "features": 2} for name in ends]
    if edges:
        top.append({"name": "end", "from": edges, "bias": "full"})
    return {
        "format_version": 1,
        "inputs": [{"name": "x", "shape": [4]}, {"name": "z", "shape": [4]}],
        "blocks": {name: block for name, block in blocks.items() if name in used},
        "capsules": top,
    }


def _random_block(chance: random.Random, known: list[str], blocks: Any) -> Any:
    inputs = ["x", "second"][: chance.randint(1, 2)]
    parameters = ["f", "cap", "bias", "times"][: chance.randint(0, 4)]
    body = _random_body(chance, inputs, known, blocks, parameters)
    read = {s for e in body for s in _read(e)}
    edges = [
        {"source": name, "kind": "identity"}
        for name in [*inputs, *(e["name"] for e in body)]
        if name not in read
    ]
    mapped = {"source": inputs[0], "kind": "matmul", "features": 4}
    last: dict[str, Any] = {"name": "last", "from": [*edges, mapped]}
    if "cap" in parameters:
        last["cap"] = {"parameter": "cap"}
    if "bias" in parameters:
        last["bias"] = {"parameter": "bias"}
    wide = {"parameter": "f"} if "f" in parameters else 3
    middle = {
        "name": "middle",
        "from": [{"source": inputs[0], "kind": "matmul", "features": wide}],
    }
    back = {"source": "middle", "kind": "matmul", "features": 4}
    last["from"].append(back)
    block: dict[str, Any] = {"inputs": inputs, "capsules": [*body, middle, last]}
    if "times" in parameters:
        again = {"name": "again", "block": "leaf", "from": ["last"]}
        again["repeat"] = {"parameter": "times"}
        block["capsules"].append(again)
        blocks["leaf"] = {
            "inputs": ["x"],
            "capsules": [
                {"name": "leaf", "from": [{"source": "x", "kind": "channel_scale"}]}
            ],
        }
    if parameters:
        block["parameters"] = parameters
        kept = [name for name in parameters if chance.random() < 0.3]
        if kept:
            block["defaults"] = {name: _value(chance, name) for name in kept}
    return block


def _random_body(
    chance: random.Random, inputs: list[str], known: list[str], blocks: Any, given: Any
) -> list[Any]:
    body: list[Any] = []
    names = list(inputs)
    for number in range(chance.randint(0 if given else 1, 3)):
        if known and chance.random() < 0.7:
            entry = _random_use(chance, f"u{number}-", names, known, blocks, given)
        else:
            source = chance.choice(names)
            edge = {"source": source, "kind": chance.choice(["identity", "scale"])}
            entry = {"name": f"c{number}", "from": [edge]}
        body.append(entry)
        names.append(entry["name"])
    return body


def _random_use(
    chance: random.Random, name: str, names: Any, known: Any, blocks: Any, given: Any
) -> Any:
    called = chance.choice(known)
    block = blocks[called]
    read = [chance.choice(names) for _ in block["inputs"]]
    use: dict[str, Any] = {"name": name, "block": called, "from": read}
    copies = chance.choice([None, 1, 2, 3])
    if copies is not None:
        use["repeat"] = copies
        if chance.random() < 0.5:
            use["first"] = chance.randint(0, 9)
    values: dict[str, Any] = {}
    for parameter in block.get("parameters", []):
        if parameter in block.get("defaults", {}) and chance.random() < 0.5:
            continue
        if parameter in given and chance.random() < 0.5:
            values[parameter] = {"parameter": parameter}
        elif copies is not None and chance.random() < 0.5:
            each = [_value(chance, parameter) for _ in range(copies)]
            values[parameter] = {"each": each}
        else:
            values[parameter] = _value(chance, parameter)
    return use | ({"with": values} if values else {})


def _value(chance: random.Random, parameter: str) -> Any:
    return {
        "f": chance.randint(1, 5),
        "cap": chance.choice(["tanh", {"kind": "leaky_relu", "negative_slope": 0.25}]),
        "bias": chance.choice([None, "full", "channel"]),
        "times": chance.randint(1, 2),
    }[parameter]


def _read(entry: Any) -> list[str]:
    return [e if isinstance(e, str) else e["source"] for e in entry["from"]]


def flattened(document: dict[str, Any]) -> dict[str, Any]:
    """The document without blocks: uses replaced one at a time until none is left.

    Another way than the library's: textual, from the outside in.
    """
    flat = copy.deepcopy(document)
    blocks = flat.pop("blocks")
    ends: dict[str, str] = {}

    def value_of(form: Any, values: Any) -> Any:
        if isinstance(form, dict) and list(form) == ["parameter"]:
            return copy.deepcopy(values[form["parameter"]])
        if isinstance(form, dict):
            return {key: value_of(inner, values) for key, inner in form.items()}
        return [value_of(i, values) for i in form] if isinstance(form, list) else form

    while any("block" in entry for entry in flat["capsules"]):
        at = next(i for i, e in enumerate(flat["capsules"]) if "block" in e)
        use = flat["capsules"].pop(at)
        block, made = blocks[use["block"]], []
        read, own = use["from"], ""
        for copy_number in range(use.get("repeat", 1)):
            own = use["name"]
            if "repeat" in use:
                own += str(use.get("first", 1) + copy_number)
            values = {**block.get("defaults", {})}
            for key, value in use.get("with", {}).items():
                chosen = isinstance(value, dict) and "each" in value
                values[key] = value["each"][copy_number] if chosen else value
            sources = dict(zip(block["inputs"], read, strict=True))
            for inner in block["capsules"]:
                entry = value_of(inner, values)
                entry["name"] = f"{own}/{entry['name']}"
                if isinstance(entry.get("cap"), str):
                    entry["cap"] = {"kind": entry["cap"]}
                for i, edge in enumerate(entry["from"]):
                    name = edge if isinstance(edge, str) else edge["source"]
                    name = sources.get(name, f"{own}/{name}")
                    entry["from"][i] = (
                        name if isinstance(edge, str) else edge | {"source": name}
                    )
                made.append(entry)
            ends[own] = f"{own}/{block['capsules'][-1]['name']}"
            read = [own if name == read[0] else name for name in read]
        ends[use["name"]] = ends[own]
        flat["capsules"][at:at] = made

    def end(name: str) -> str:
        while name in ends:
            name = ends[name]
        return name

    for entry in flat["capsules"]:
        for edge in entry["from"]:
            edge["source"] = end(edge["source"])
    if "outputs" in flat:
        flat["outputs"] = [end(name) for name in flat["outputs"]]
    if "losses" in flat:
        flat["losses"] = {end(name): loss for name, loss in flat["losses"].items()}
    return flat
