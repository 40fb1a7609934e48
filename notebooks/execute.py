"""Executes notebooks: `python notebooks/execute.py [NAME ...]`, all if none is named.

Each runs in a process of its own, two at a time, in an empty folder, and has three
minutes. A cell that fails, writes to stderr, or puts out more than 2 MB fails the
notebook. Executed copies go to build/notebooks, where the documentation takes them.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "build" / "notebooks"
SECONDS = 180
AT_ONCE = 2
MOST_BYTES = 2_000_000


async def main(names: list[str]) -> int:
    """Executes the notebooks; the number of those that failed."""
    paths = [HERE / f"{Path(name).stem}.ipynb" for name in names]
    paths = paths or sorted(HERE.glob("*.ipynb"))
    OUT.mkdir(parents=True, exist_ok=True)
    turn = asyncio.Semaphore(AT_ONCE)
    problems = await asyncio.gather(*(execute(path, turn) for path in paths))
    failed = [
        f"{path.name}: {problem}"
        for path, problem in zip(paths, problems, strict=True)
        if problem
    ]
    print("\n\n".join(failed) or f"{len(paths)} notebooks executed; copies in {OUT}")
    return len(failed)


async def execute(path: Path, turn: asyncio.Semaphore) -> str:
    """Executes a notebook and writes the copy; what is wrong, or nothing."""
    async with turn:
        notebook = nbformat.read(path, as_version=4)
        start, problem = time.monotonic(), ""
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(
                notebook,
                timeout=None,
                kernel_name="python3",
                extra_arguments=["--log-level=ERROR"],
                resources={"metadata": {"path": folder}},
            )
            try:
                await asyncio.wait_for(client.async_execute(), SECONDS)
            except Exception as error:  # of a cell, of its kernel, of stopping it
                problem = f"failed in {_last(notebook)}\n\n{error}"
        taken = time.monotonic() - start
        if taken > SECONDS:  # whatever is raised when the kernel is stopped
            problem = f"took more than {SECONDS} seconds, in {_last(notebook)}"
        nbformat.write(notebook, OUT / path.name)
        print(f"{path.name}: {taken:.0f} s", "FAILED" * bool(problem), flush=True)
        return problem or _unclean(notebook)


def _last(notebook: nbformat.NotebookNode) -> str:
    """The last cell that was begun."""
    cells = enumerate(notebook.cells, 1)
    begun = [(i, each) for i, each in cells if "execution" in each.metadata]
    number, cell = begun[-1] if begun else (1, notebook.cells[0])
    return f"cell {number}:\n\n{cell.source}"


def _unclean(notebook: nbformat.NotebookNode) -> str:
    """What a reader should not see: warnings, and outputs without end."""
    for number, cell in enumerate(notebook.cells, 1):
        outputs = cell.get("outputs", [])
        for output in outputs:
            if output.get("name") == "stderr":
                return f"cell {number} writes to stderr:\n\n{output.text}"
        if (size := len(str(outputs))) > MOST_BYTES:
            return f"cell {number} puts out {size:,} bytes; at most {MOST_BYTES:,}"
    return ""


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])) > 0)
