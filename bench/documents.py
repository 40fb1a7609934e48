"""Libraries that could validate documents: time, and what they say of faults.

One document of `--edges` edges is read by each library, all in one run, in turn: first
from text to validated data, then on to a checked `Graph` by the same code of ours, but
for msgspec, which makes objects of its own. Then five faults are planted at once, and
each library's report is printed.
"""

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import capsjax as cj
from capsjax.graph import parse, plain
from capsjax.graph.checks import check
from capsjax.graph.document import build
from capsjax.graph.schema import document_adapter

OURS = "pydantic"
SLOW = "jsonschema"  # a minute a round: it is given one

FAULTS: tuple[tuple[tuple[Any, ...], Any], ...] = (
    (("capsules", 1, "from", 0, "kind"), "matmull"),
    (("capsules", 2, "from", 1, "featuers"), 3),
    (("capsules", 3, "bias"), "none"),
    (("inputs", 0, "shape", 0), -8),
    (("capsules", 4, "from", 0, "source"), 7),
)
"""Where each fault is planted, and what is put there."""


def large_document(edges: int, fan_in: int = 4) -> dict[str, Any]:
    """A sound document: capsules of 8 numbers, each reading some before it."""
    rng = random.Random(0)
    names = ["x"]
    capsules = []
    for i in range(edges // fan_in):
        sources = [names[-1], *(rng.choice(names) for _ in range(fan_in - 1))]
        kinds = [{"kind": "matmul", "features": 8}, {"kind": "identity"}]
        capsules.append(
            {
                "name": f"c{i}",
                "from": [{"source": name, **rng.choice(kinds)} for name in sources],
                "cap": {"kind": "relu"},
                "bias": "channel",
            }
        )
        names.append(f"c{i}")
    return {
        "format_version": 1,
        "name": "large",
        "inputs": [{"name": "x", "shape": [8]}],
        "capsules": capsules,
        "outputs": [names[-1]],
    }


def spoiled(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the five faults."""
    document = json.loads(json.dumps(document))
    for (*way, last), value in FAULTS:
        inside: Any = document
        for step in way:
            inside = inside[step]
        inside[last] = value
    return document


Library = tuple[Callable[[str], Any], Callable[[str], list[str]]]
"""What validates a text, and what reports the faults of one."""


def with_pydantic() -> Library:
    import pydantic

    adapter = document_adapter()

    def report(text: str) -> list[str]:
        try:
            adapter.validate_json(text)
        except pydantic.ValidationError as error:
            return [f"{e['loc']}: {e['msg']}" for e in error.errors()]
        return []

    return adapter.validate_json, report


def with_jsonschema_rs() -> Library:
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(cj.json_schema())

    def validate(text: str) -> Any:
        data = json.loads(text)
        validator.validate(data)
        return data

    def report(text: str) -> list[str]:
        errors = validator.iter_errors(json.loads(text))
        return [f"{tuple(e.instance_path)}: {e.message}" for e in errors]

    return validate, report


def with_jsonschema() -> Library:
    import jsonschema

    validator = jsonschema.Draft202012Validator(cj.json_schema())

    def validate(text: str) -> Any:
        data = json.loads(text)
        validator.validate(data)
        return data

    def report(text: str) -> list[str]:
        errors = validator.iter_errors(json.loads(text))
        return [f"{tuple(e.absolute_path)}: {e.message}" for e in errors]

    return validate, report


def with_msgspec() -> Library:
    """Structs for the kinds of the large document and some more."""
    from typing import Annotated, Literal

    import msgspec

    Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]

    def tagged(tag: str, fields: list[Any]) -> Any:
        return msgspec.defstruct(
            tag,
            fields,
            tag_field="kind",
            tag=tag,
            forbid_unknown_fields=True,
        )

    source = ("source", str)
    edge = (
        tagged("identity", [source])
        | tagged("matmul", [source, ("features", Count)])
        | tagged("vote", [source, ("capsules", Count), ("dimension", Count)])
    )
    cap = tagged("relu", []) | tagged("tanh", []) | tagged("softmax", [])
    bias: Any = Literal["full", "channel"] | None
    given: Any = msgspec.defstruct("Input", [("name", str), ("shape", list[Count])])
    capsule: Any = msgspec.defstruct(
        "Capsule",
        [("name", str), ("edges", list[edge]), ("cap", cap), ("bias", bias, "channel")],
        rename={"edges": "from"},
    )
    document = msgspec.defstruct(
        "Document",
        [
            ("format_version", Literal[1]),
            ("name", str),
            ("inputs", list[given]),
            ("capsules", list[capsule]),
            ("outputs", list[str]),
        ],
        forbid_unknown_fields=True,
    )
    decoder = msgspec.json.Decoder(document)

    def report(text: str) -> list[str]:
        try:
            decoder.decode(text)
        except msgspec.ValidationError as error:
            return [str(error)]
        return []

    return decoder.decode, report


LIBRARIES: dict[str, Callable[[], Library]] = {
    OURS: with_pydantic,
    "msgspec": with_msgspec,
    "jsonschema-rs": with_jsonschema_rs,
    "jsonschema": with_jsonschema,
}


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Time of one call, the collector of garbage held off, as `cj.load` does."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        kept = function(*arguments)
        elapsed = time.perf_counter() - started
        del kept
        return elapsed
    finally:
        gc.enable()


def time_libraries(text: str, rounds: int) -> None:
    """Prints each library's time from text to validated data."""
    ready = {name: make()[0] for name, make in LIBRARIES.items()}
    times: dict[str, list[float]] = {name: [] for name in ready}
    for i in range(rounds):
        for name, validate in ready.items():
            if name != SLOW or i == 0:
                times[name].append(seconds(validate, text))
    reference = statistics.median(times[OURS])
    print(f"\n{'text to validated data':30}{'median ms':>10}{'best ms':>9}{'ratio':>8}")
    for name, samples in times.items():
        median = statistics.median(samples)
        ratio = median / reference
        print(f"{name:30}{1e3 * median:10.0f}{1e3 * min(samples):9.0f}{ratio:8.2f}")


def time_stages(text: str, rounds: int) -> None:
    """Prints what `cj.load` spends its time on."""
    validate = document_adapter().validate_json
    stages: dict[str, Callable[[], float]] = {
        "read, keys that stand twice": lambda: seconds(plain.read, text),
        "validate": lambda: seconds(validate, text),
        "build": lambda: seconds(build, validate(text)),
        "check structure and shapes": lambda: seconds(check, graph),
        "cj.load, all of it": lambda: seconds(parse, text),
    }
    graph = parse(text)
    print(f"\n{'stage':30}{'median ms':>10}{'best ms':>9}")
    for name, measure in stages.items():
        samples = [measure() for _ in range(rounds)]
        median = statistics.median(samples)
        print(f"{name:30}{1e3 * median:10.0f}{1e3 * min(samples):9.0f}")


def show_reports() -> None:
    """Prints what each library says of a small document with five faults."""
    text = json.dumps(spoiled(large_document(40)))
    print(f"\nfive faults: {'; '.join(str(path) for path, _ in FAULTS)}")
    for name, make in LIBRARIES.items():
        found = make()[1](text)
        print(f"\n{name}: {len(found)} reported")
        for line in found:
            print(f"  {line if len(line) < 150 else line[:147] + '...'}")
    try:
        parse(text)
    except cj.GraphError as error:
        print(f"\ncj.load, on top of {OURS}: {error}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.documents", description=__doc__)
    parser.add_argument("--edges", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    text = json.dumps(large_document(options.edges))
    print(f"{options.edges:,} edges, {len(text) / 1e6:.1f} MB, {options.rounds} rounds")
    time_libraries(text, options.rounds)
    time_stages(text, options.rounds)
    graph = parse(json.dumps(large_document(2000, 2)))
    times = [seconds(check, graph) for _ in range(20)]
    print(
        f"\n1,000 capsules checked in {1e3 * statistics.median(times):.1f} ms (median)"
    )
    show_reports()
    return 0


if __name__ == "__main__":
    sys.exit(main())
