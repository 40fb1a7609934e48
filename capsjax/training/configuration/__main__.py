"""`python -m capsjax.training.configuration FILE` writes the JSON Schema to a file."""

import sys
from pathlib import Path

from capsjax.training.configuration import schema_text


def main(arguments: list[str]) -> int:
    """Writes the schema of run configurations to the file named."""
    if len(arguments) != 1:
        usage = "usage: python -m capsjax.training.configuration FILE"
        print(usage, file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
