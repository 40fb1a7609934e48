"""`python -m capsjax.graph FILE` writes the JSON Schema of documents to a file."""

import sys
from pathlib import Path

from capsjax.graph.schema import schema_text


def main(arguments: list[str]) -> int:
    """Writes the schema of the library's own kinds to the file named."""
    if len(arguments) != 1:
        print("usage: python -m capsjax.graph FILE", file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
