"""Executes notebooks: `python notebooks/execute.py [NAME ...]`, all if none is named.

Each runs in a process of its own, two at a time, in an empty folder, and has three
minutes of CPU time, which do not depend on what else the machine does. A cell that
fails, writes to stderr, or puts out more than 2 MB fails the notebook. Executed copies
go to build/notebooks, where the documentation takes them.
"""

import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "build" / "notebooks"
SECONDS = 180
LONGEST_CELL = 600  # seconds on a clock, after which it is taken to hang
AT_ONCE = 2
MOST_BYTES = 2_000_000


def main(names: list[str]) -> int:
    """Executes the notebooks; the number of those that failed."""
    paths = [HERE / f"{Path(name).stem}.ipynb" for name in names]
    paths = paths or sorted(HERE.glob("*.ipynb"))
    OUT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        problems = list(pool.map(execute, paths))
    failed = [
        f"{path.name}: {problem}"
        for path, problem in zip(paths, problems, strict=True)
        if problem
    ]
    print("\n\n".join(failed) or f"{len(paths)} notebooks executed; copies in {OUT}")
    return len(failed)


def execute(path: Path) -> str:
    """Executes a notebook and writes the copy; what is wrong, or nothing."""
    notebook = nbformat.read(path, as_version=4)
    start, problem = time.monotonic(), ""
    used = 0.0

    def measure(**_: object) -> None:
        nonlocal used
        kernel: Any = client.km
        times = psutil.Process(kernel.provisioner.pid).cpu_times()
        used = times.user + times.system

    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=LONGEST_CELL,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
            on_cell_executed=measure,
            store_widget_state=False,
        )
        try:
            client.execute()
        except Exception as error:  # of a cell, of its kernel, of a cell that hangs
            problem = f"failed in {_last(notebook)}\n\n{error}"
    taken = time.monotonic() - start
    if used > SECONDS:
        problem = problem or f"took {used:.0f} seconds of CPU time; at most {SECONDS}"
    nbformat.write(_static(notebook), OUT / path.name)
    state = "FAILED" * bool(problem)
    print(f"{path.name}: {taken:.0f} s, {used:.0f} s of CPU time", state, flush=True)
    return problem or _unclean(notebook)


def _last(notebook: nbformat.NotebookNode) -> str:
    """The last cell that was begun."""
    cells = enumerate(notebook.cells, 1)
    begun = [(i, each) for i, each in cells if "execution" in each.metadata]
    number, cell = begun[-1] if begun else (1, notebook.cells[0])
    return f"cell {number}:\n\n{cell.source}"


def _static(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without the widgets that have a picture beside them: a page runs no kernel."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if {"image/svg+xml", "text/html"} & set(data):
                data.pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


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
    # Interrupted or terminated, it ends at once, and its kernels with it: they watch
    # their parent. In threads, nbclient sets no handlers, which would go on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]) > 0)
