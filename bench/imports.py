"""Import time of capsjax beside that of JAX alone: `python -m bench.imports`.

Every import happens in a fresh process; the two take turns, and the difference is the
median over pairs, so that a machine that slows down does not show up in it.
"""

import argparse
import statistics
import subprocess
import sys

REPEATS = 9


def import_s(module: str) -> float:
    """Seconds that `import module` takes in a fresh interpreter."""
    code = (
        "import time; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"import {module} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.imports", description=__doc__)
    parser.add_argument(
        "--module", default="capsjax", help="module to compare with jax"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()

    modules = ("jax", options.module)
    for module in modules:
        import_s(module)  # not counted: writes bytecode, fills the file cache
    samples = [[import_s(module) for module in modules] for _ in range(options.repeats)]
    for module, column in zip(modules, zip(*samples, strict=True), strict=True):
        low, high = min(column), max(column)
        middle = statistics.median(column)
        print(f"import {module:8} {middle:.3f} s  ({low:.3f}-{high:.3f})")
    difference = statistics.median(own - jax for jax, own in samples)
    print(f"difference      {difference:+.3f} s  (median of {options.repeats} pairs)")


if __name__ == "__main__":
    main()
