"""How tracing, compiling and stepping grow with depth: `python -m bench.depth`.

Every version is compiled in a fresh process of its own; those that compile within the
limit then step in turn in one process. The clock of `trace` is JAX's trace and
lowering; of `compile`, XLA's. The optimizer's update is part of the step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from bench.depth.problems import PROBLEMS
from bench.report import aligned

HEADINGS = (
    *("depth, version", "trace s", "compile s", "/ first depth", "temporaries MiB"),
    *("step ms", "/ unrolled"),
)
VERSIONS = ("folded", "unrolled", "hand", "hand-scan", "flax-scan")


def run(limit: float, **request) -> dict | None:
    """The worker's figures; None if it takes longer than the limit."""
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-m", "bench.depth.worker", json.dumps(request)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise SystemExit(f"{command[-1]} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PROBLEMS), help="networks")
    parser.add_argument("--depths", default="8,64,256")
    parser.add_argument("--versions", default=",".join(VERSIONS))
    parser.add_argument("--optimizer", default="adam", choices=("adam", "sgd"))
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a version")
    parser.add_argument("--seconds", type=float, default=15.0, help="of steps")
    options = parser.parse_args()
    for name in options.only.split(","):
        first: dict[str, float] = {}
        rows = [("", "trace s", "compile s", "/ first", "MiB", "step ms", "/ unrolled")]
        for depth in map(int, options.depths.split(",")):
            request = {"name": name, "depth": depth, "optimizer": options.optimizer}
            alone = {}
            for version in options.versions.split(","):
                print(f"  {name}, {depth} layers: {version}", file=sys.stderr)
                found = run(options.limit, versions=[version], seconds=0.0, **request)
                alone[version] = found and found[version]
            left = [version for version in alone if alone[version]]
            together = run(3600, versions=left, seconds=options.seconds, **request)
            assert together is not None
            rows += list(_rows(depth, alone, together, first))
        print(f"\n{name} {PROBLEMS[name].shape}, {options.optimizer}")
        print(aligned(rows), flush=True)


def _rows(depth: int, alone: dict, together: dict, first: dict[str, float]):
    reference = together.get("unrolled", next(iter(together.values())))["seconds"]
    for version, figures in alone.items():
        head = f"{depth} {version}"
        if figures is None:
            yield (head, *["over limit"] * 2, *["-"] * 4)
            continue
        sum_s = figures["trace_s"] + figures["compile_s"]
        first.setdefault(version, sum_s)
        steps = together[version]["seconds"]
        ratio = statistics.median(a / b for a, b in zip(steps, reference, strict=True))
        of = ratio if "unrolled" in together else None
        yield (
            head,
            f"{figures['trace_s']:.2f}",
            f"{figures['compile_s']:.2f}",
            f"{sum_s / first[version]:.2f}",
            f"{(figures['temporaries'] or 0) / 2**20:.1f}",
            f"{1e3 * together[version]['step_s']:.1f}",
            "-" if of is None else f"{of:.2f}",
        )
    losses = [each["loss"] for each in together.values()]
    spread = max(losses) - min(losses)
    if not spread <= 1e-3 * abs(losses[0]):
        raise SystemExit(f"depth {depth}: the versions' losses differ: {losses}")


if __name__ == "__main__":
    main()
