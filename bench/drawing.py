"""How long drawings take: `python -m bench.drawing`.

The first call of each drawing, after the imports, and the median of further ones; a
drawing is its scene and its SVG. Compilation is said by itself.
"""

import argparse
import statistics
import time

import capsjax as cj
from capsjax.neural import random_dag


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    draw, neurons = cj.view.draw, cj.view.draw_network  # imports the views
    resnet = cj.zoo.graph("resnet-152")
    window = random_dag(
        "window", inputs=20, neurons=1000, in_degree=3, window=100, seed=0
    )
    levels = random_dag(
        "levels", inputs=20, neurons=1000, in_degree=4, levels=20, seed=0
    )
    cases = {
        "resnet-152, collapsed": lambda: draw(resnet),
        "resnet-152, all open": lambda: draw(resnet, expand=True),
        "1,000 neurons in a window, as groups": lambda: draw(window),
        "1,000 neurons in a window, each": lambda: neurons(window),
        "1,000 neurons in 20 levels, each": lambda: neurons(levels),
    }
    print(f"{'drawing':40} {'first s':>8} {'median s':>9} {'SVG KiB':>8}")
    for name, make in cases.items():
        times, svg = [], ""
        for _ in range(rounds + 1):
            start = time.perf_counter()
            svg = make().svg
            times.append(time.perf_counter() - start)
        median = statistics.median(times[1:])
        size = len(svg) // 1024
        print(f"{name:40} {times[0]:8.2f} {median:9.2f} {size:8,}", flush=True)


if __name__ == "__main__":
    main()
