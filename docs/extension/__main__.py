"""Stages the source that Sphinx reads: `python -m extension FOLDER`."""

import sys
from pathlib import Path

from extension.stage import stage

if __name__ == "__main__":
    stage(Path(__file__).parents[2], Path(sys.argv[1]))
