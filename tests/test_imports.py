"""What imports what: the layers, the closed doors, and what `import capsjax` costs."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import capsjax

ROOT = Path(capsjax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = [
    {"graph"},
    {"weightings", "caps", "losses"},
    {"backward"},
    {"compiler"},
    {"neural", "training", "pretrained", "observe"},
    {"sweep"},
    {"cli", "__main__"},
]
"""From the lowest; a module imports from its own layer's part and from below."""

BESIDE = {"zoo", "view"}
"""They stand beside the layers and see only what `PUBLIC` names."""

HELPERS = {"materialize", "platform", "algorithms", "normal", "displayed"}

PUBLIC = {
    *("capsjax", "capsjax.graph", "capsjax.compiler", "capsjax.weightings"),
    *("capsjax.caps", "capsjax.losses", "capsjax.neural"),
    "capsjax.observe.diagnosis",
    # Plain data and figures, no mechanism:
    *("capsjax.graph.typed", "capsjax.graph.kinds", "capsjax.graph.files"),
    *("capsjax.compiler.plan", "capsjax.compiler.outline"),
    *("capsjax.graph.errors", "capsjax.graph.topology"),
}
LIGHT = (
    *("optax", "pandas", "matplotlib", "sklearn", "typer", "rich", "tqdm"),
    *("safetensors", "IPython", "fast_sugiyama", "networkx", "scipy.sparse"),
    *("equinox", "platformdirs", "jinja2", "tensorboardX", "orbax"),
)


def part(module: str) -> str:
    """`capsjax.graph.checks` -> `graph`."""
    return [*module.split("."), ""][1]


def module_of(file: Path) -> str:
    """The dotted name of a file."""
    names = ("capsjax", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(names).removesuffix(".__init__")


def imports(file: Path) -> list[str]:
    """Absolute dotted names that a file imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found += [_target(node.module or "", alias.name) for alias in node.names]
    return found


def _target(module: str, name: str) -> str:
    """`from capsjax import caps` imports capsjax.caps; a class, its module."""
    if module.split(".")[0] != "capsjax":
        return module
    inner = inspect.ismodule(getattr(importlib.import_module(module), name, None))
    return f"{module}.{name}" if inner else module


def own(file: Path) -> list[str]:
    """What a file imports from capsjax."""
    return [name for name in imports(file) if name.split(".")[0] == "capsjax"]


def rank(name: str) -> int | None:
    """Which layer a part belongs to; None for parts beside the layers."""
    return next((i for i, layer in enumerate(LAYERS) if name in layer), None)


def test_every_part_has_a_place():
    parts = {part(module_of(file)) for file in FILES} - {""}
    assert parts <= set().union(*LAYERS) | BESIDE | HELPERS


def test_imports_point_one_way():
    faults = []
    for file in FILES:
        module = module_of(file)
        mine = rank(part(module))
        if mine is None:
            continue
        for name in own(file):
            theirs = rank(part(name))
            if part(name) in HELPERS | {part(module)}:
                continue
            if part(module) in LAYERS[-1] and part(name) in BESIDE | {""}:
                continue
            # losses pairs itself with capsule functions.
            if (part(module), part(name)) == ("losses", "caps"):
                continue
            if theirs is None or theirs >= mine:
                faults.append(f"{module} imports {name}")
    assert not faults


def test_helpers_import_helpers_alone():
    for file in FILES:
        if part(module_of(file)) in HELPERS:
            assert {part(name) for name in own(file)} <= HELPERS


def test_zoo_and_view_use_public_functions_only():
    faults = [
        f"{module_of(file)} imports {name}"
        for file in FILES
        if part(module_of(file)) in BESIDE
        for name in own(file)
        if name not in PUBLIC and part(name) != part(module_of(file))
    ]
    assert not faults


def test_logic_never_imports_view():
    logic = set().union(*LAYERS[:-1]) | {"zoo"}
    faults = [
        f"{module_of(file)} imports {name}"
        for file in FILES
        if part(module_of(file)) in logic
        for name in own(file)
        if part(name) == "view"
    ]
    assert not faults


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_no_private_jax_no_pickle_no_eval(file):
    for name in imports(file):
        assert not name.startswith(("jax._src", "jaxlib"))
        assert name.split(".")[0] not in {"pickle", "dill", "cloudpickle", "marshal"}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


def test_import_capsjax_is_light():
    """Checked in a process of its own; the peers are imported where they are used."""
    code = "import sys, capsjax; print(*sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    loaded = set(done.stdout.split())
    assert "jax" in loaded
    assert not loaded.intersection(LIGHT)


def test_import_changes_no_setting_of_jax():
    code = (
        "import jax; before = dict(jax.config.values); import capsjax; "
        "assert dict(jax.config.values) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
