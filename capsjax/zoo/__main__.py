"""`python -m capsjax.zoo FOLDER`: writes the documents of all networks."""

import sys
from pathlib import Path

from capsjax.graph import save
from capsjax.zoo.registry import graph, names


def main(arguments: list[str]) -> int:
    """Writes `NAME.json` for each network."""
    if len(arguments) != 1:
        print("usage: python -m capsjax.zoo FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in names():
        save(graph(name), folder / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
