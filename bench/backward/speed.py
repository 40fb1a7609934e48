"""Step times of rules over that of exact, side by side in one process."""

import argparse
import dataclasses
import gzip
import json
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import capsjax as cj
from bench.backward import networks
from bench.depth import ours
from bench.measure import rotated
from bench.report import aligned

RULES = (
    *("exact", "feedback_alignment", "sign_symmetric", "kolen_pollack"),
    "direct_feedback_alignment",
)


def _deep(name: str, depth: int) -> cj.Graph:
    return ours.declare(name, depth)[0]


NETWORKS: dict[str, tuple[Callable[[], cj.Graph], int, dict[str, Any]]] = {
    "mlp": (networks.mlp, 128, {}),
    "cnn": (networks.cnn, 32, {}),
    "lenet-5": (lambda: cj.zoo.graph("lenet-5"), 128, {}),
    "16-convolutions": (lambda: _deep("conv", 8), 8, {}),
    "64-layers": (lambda: _deep("mlp", 64), 128, {"passes": ours.UNFOLDED}),
    "64-layers-folded": (lambda: _deep("mlp", 64), 128, {"passes": ours.FOLDED}),
}
"""Graph, batch and options of `cj.compile`."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default=",".join(NETWORKS), help="networks")
    parser.add_argument("--rules", default=",".join(RULES[1:]), help="beside exact")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--optimizer", default="adam", choices=("adam", "sgd"))
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="of steps in a row, each round"
    )


def run(options: argparse.Namespace) -> None:
    """Prints a table a network."""
    cj.keep_memory()
    print(f"{jax.devices()[0].device_kind}, {options.optimizer}")
    for network in options.only.split(","):
        graph, size, chosen = NETWORKS[network]
        made = {}
        for rule in ("exact", *options.rules.split(",")):
            net = cj.compile(graph(), backward=rule, **chosen)
            made[rule] = Version.of(net, size, getattr(optax, options.optimizer))
        measured = measure(made, options.rounds, options.seconds)
        print(f"\n{network}, batches of {size}")
        print(aligned([HEADINGS, *_rows(made, measured)]), flush=True)


@dataclasses.dataclass
class Version:
    """A compiled training step and what it carries."""

    step: Callable[..., Any]
    carried: Any
    batch: Any
    text: str

    @classmethod
    def of(cls, net: cj.Network, size: int, optimizer: Callable[..., Any]) -> "Version":
        """Compiles value, gradient and the optimizer's update as one program."""
        rule = optimizer(1e-4)
        (given,) = net.graph.inputs
        image, label = jax.random.split(jax.random.key(1))
        batch = {
            given.name: jax.random.normal(image, (size, *given.shape)),
            net.graph.outputs[0]: jax.random.randint(label, (size,), 0, 10),
        }

        def step(carried, batch):
            params, state, moments = carried
            gradient = jax.value_and_grad(net.loss, has_aux=True)
            (loss, (_, state)), grads = gradient(params, state, batch)
            updates, moments = rule.update(grads, moments, params)
            return (optax.apply_updates(params, updates), state, moments), loss

        params, state = net.init(jax.random.key(0))
        carried = jax.tree.map(jnp.copy, (params, state, rule.init(params)))
        jitted = jax.jit(step, donate_argnums=0, compiler_options=cj.compiler_options())
        compiled = jitted.lower(carried, batch).compile()
        return cls(compiled, carried, batch, compiled.as_text() or "")

    def steps(self, number: int) -> tuple[float, float]:
        """Seconds, and seconds of processors, that some steps take together."""
        processor, start = _processor_seconds(), time.perf_counter()
        for _ in range(number):
            self.carried, _ = self.step(self.carried, self.batch)
        jax.block_until_ready(self.carried)
        return time.perf_counter() - start, _processor_seconds() - processor


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(made: dict[str, Version], rounds: int, seconds: float):
    """All versions in turn: by version, its samples of (seconds, processor seconds)."""
    number = {}
    for rule, version in made.items():
        version.steps(2)  # the first steps fill caches and memory pools
        number[rule] = max(1, int(seconds / version.steps(1)[0]))
    samples: dict[str, list[tuple[float, float]]] = {rule: [] for rule in made}
    for turn in range(rounds):
        for rule in rotated(list(made), turn):
            made[rule].steps(1)  # the version before has left its own in the caches
            wall, used = made[rule].steps(number[rule])
            samples[rule].append((wall / number[rule], used / number[rule]))
    return samples


HEADINGS = (
    *("rule", "step ms", "/ exact", "quartiles", "processors", "chain"),
    *("products ms", "two at once"),
)


def _rows(made: dict[str, Version], samples) -> Iterator[tuple[str, ...]]:
    for rule, pairs in samples.items():
        ratios = [a / b for (a, _), (b, _) in zip(pairs, samples["exact"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        walls, used = zip(*pairs, strict=True)
        longest, count = products_in_a_row(made[rule].text)
        busy, together = under_way(made[rule])
        yield (
            rule,
            f"{1e3 * statistics.median(walls):.2f}",
            f"{middle:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"{sum(used) / sum(walls):.2f}",
            f"{longest} of {count}",
            f"{busy:.1f}",
            f"{together:.1f}",
        )


def under_way(version: Version) -> tuple[float, float]:
    """Milliseconds of a step with a product under way, and with two or more at once."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            version.steps(_PROFILED)
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    changes = []
    for event in events:
        if "hlo_op" in event.get("args", {}) and _NAMED_PRODUCT.match(event["name"]):
            ends = event["ts"] + event["dur"]
            changes += [(event["ts"], 1), (ends, -1)]
    busy = together = before = 0.0
    number = 0
    for now, change in sorted(changes):
        busy += (now - before) * (number > 0)
        together += (now - before) * (number > 1)
        number, before = number + change, now
    return busy / 1e3 / _PROFILED, together / 1e3 / _PROFILED


_PROFILED = 20
"""Steps: how many products happen to meet differs from one to the next."""


_NAMED_PRODUCT = re.compile(r"ynn_fusion|dot|conv")
"""What XLA calls its products on CPU."""


_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (.*)$")
_PRODUCT = re.compile(r" (?:dot|convolution)\(|__onednn|__oneDNN|YNN|\"__ynn")


def products_in_a_row(text: str) -> tuple[int, int]:
    """Of the products of an optimized program: the longest chain, and how many.

    Products in the bodies of loops are counted once each, not once a turn.
    """
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        opened = re.match(r"^(ENTRY )?%?([\w.-]+) .*\{$", line)
        if opened:
            name = opened[2]
            entry = name if opened[1] else entry
            bodies[name] = []
        elif name:
            bodies[name].append(line)
    known: dict[str, tuple[int, int]] = {}

    def of(name: str) -> tuple[int, int]:
        if name in known:
            return known[name]
        depth: dict[str, int] = {}
        total = 0
        for line in bodies[name]:
            found = _INSTRUCTION.match(line)
            if not found:
                continue
            words = re.findall(r"%?([\w.-]+)", found[2])
            inner = [of(word) for word in dict.fromkeys(words) if word in bodies]
            own = sum(longest for longest, _ in inner)
            own += bool(_PRODUCT.search(line)) and not inner
            total += sum(count for _, count in inner)
            total += bool(_PRODUCT.search(line)) and not inner
            before = max((depth[word] for word in words if word in depth), default=0)
            depth[found[1]] = before + own
        known[name] = max(depth.values(), default=0), total
        return known[name]

    return of(entry)
