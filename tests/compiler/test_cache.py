"""The folder of compiled programs: where it is, what it keeps, what is spoiled."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

import capsjax as cj
from capsjax.compiler.stored_step import stored_jit
from tests.helpers_capsjax import draw

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_default_matmul_precision",
)


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """JAX's settings and the environment, as if nobody had said anything."""
    before = {name: jax.config.values[name] for name in SETTINGS}
    monkeypatch.delenv("CAPSJAX_CACHE", raising=False)
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_the_nearest_word_decides_where(tmp_path, monkeypatch):
    usual = tmp_path / "usual"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *a, **k: usual)
    assert cj.use_cache() == usual
    assert Path(jax.config.values["jax_compilation_cache_dir"]).parent == usual
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "of-jax"))
    assert cj.use_cache() == tmp_path / "of-jax"
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "of-jax")
    monkeypatch.setenv("CAPSJAX_CACHE", str(tmp_path / "variable"))
    assert cj.use_cache() == tmp_path / "variable"
    assert cj.use_cache(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.setenv("CAPSJAX_CACHE", "off")
    assert cj.use_cache() is None
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError):
        cj.use_cache(file)
    monkeypatch.setattr(
        "platformdirs.user_cache_path", lambda *a, **k: tmp_path / "file"
    )
    assert cj.use_cache() is None
    with pytest.raises(ValueError, match="max_bytes is -1; expected 0 or more"):
        cj.use_cache(tmp_path, max_bytes=-1)


def test_what_was_not_used_for_long_makes_room(tmp_path):
    names = ["xla-p/a-cache", "steps/b.step", "xla-p/c-cache", "steps/mine.txt"]
    for age, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    cj.use_cache(tmp_path, max_bytes=250)
    assert [(tmp_path / name).exists() for name in names] == [True, True, False, True]
    cj.use_cache(tmp_path, max_bytes=0)
    assert [(tmp_path / name).exists() for name in names] == [False, False, False, True]


def test_what_was_compiled_is_found_again(tmp_path):
    x = draw((3,))
    jax.jit(lambda x: x + 1)(x)  # JAX has seen by now that there was no folder
    folder = cj.use_cache(tmp_path)
    assert folder is not None
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    try:
        for _ in range(2):
            jax.jit(lambda x: jnp.sin(x) * 3)(x)
    finally:
        jax.monitoring.clear_event_listeners()
    assert events.count("/jax/compilation_cache/cache_misses") == 1
    assert events.count("/jax/compilation_cache/cache_hits") == 1


def test_spoiled_programs_are_compiled_again(tmp_path):
    cj.use_cache(tmp_path)
    x = draw((3,))
    expected = jax.jit(lambda x: jnp.cos(x) * 3)(x)
    entries = list(tmp_path.glob("xla-*/*-cache"))
    assert entries
    for path in entries:
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="Error reading persistent compilation cache"):
        found = jax.jit(lambda x: jnp.cos(x) * 3)(x)
    assert (found == expected).all()


class Traced:
    """A step that counts how often it is traced."""

    def __init__(self):
        self.count = 0

    def __call__(self, carry, by):
        self.count += 1
        moved = {"a": carry["a"] * by, "key": jax.random.split(carry["key"])[0]}
        return moved | {"n": carry["n"] + 1}


def carry(size: int = 3):
    """What a step is given: floats, integers and a key."""
    return {"a": draw((size,)), "key": jax.random.key(7), "n": jnp.zeros((), int)}


def twice(step):
    """Two steps, the second on what the first gave."""
    return step(step(carry(), 2.0), 2.0)


def test_a_stored_step_is_not_traced_again(tmp_path, library_kinds):
    first, second, plain = Traced(), Traced(), Traced()
    found = twice(stored_jit(first, "a step", tmp_path))
    again = twice(stored_jit(second, "a step", tmp_path))
    expected = twice(jax.jit(plain))
    assert (first.count, second.count) == (1, 0)
    for each in (found, again):
        assert jax.tree.structure(each) == jax.tree.structure(expected)
        same = jax.tree.map(lambda a, b: (a == b).all(), each, expected)
        assert jax.tree.all(same)


@pytest.mark.parametrize("change", ["identity", "shape", "type", "setting", "file"])
def test_another_step_is_traced(tmp_path, change, monkeypatch, library_kinds):
    stored_jit(Traced(), "a step", tmp_path)(carry(), 2.0)
    step, arguments, identity = Traced(), [carry(), 2.0], "a step"
    if change == "identity":
        identity = "another"
    elif change == "shape":
        arguments[0] = carry(4)
    elif change == "type":
        arguments[1] = jnp.float32(2)
    elif change == "setting":
        jax.config.update("jax_default_matmul_precision", "highest")
    else:
        monkeypatch.setattr(
            "capsjax.compiler.stored_step.package_files", lambda: ["edited"]
        )
    stored_jit(step, identity, tmp_path)(*arguments)
    assert step.count == 1


def test_a_spoiled_step_is_traced_and_written_again(tmp_path, library_kinds):
    stored_jit(Traced(), "a step", tmp_path)(carry(), 2.0)
    (path,) = tmp_path.glob("steps/*.step")
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:40] + b"?" + whole[41:]):
        path.write_bytes(content)
        step = Traced()
        stored_jit(step, "a step", tmp_path)(carry(), 2.0)
        assert step.count == 1 and len(path.read_bytes()) == len(whole)


def test_without_a_place_it_is_compiled_all_the_same(tmp_path, library_kinds):
    (tmp_path / "steps").write_text("not a folder")
    for folder in (None, tmp_path):
        assert twice(stored_jit(Traced(), "a step", folder))["n"] == 2


def test_what_cannot_be_exported_is_compiled_all_the_same(tmp_path, library_kinds):
    def step(carry):
        return jax.pure_callback(lambda x: x + 1, carry, carry)

    assert stored_jit(step, "a step", tmp_path)(jnp.ones(())) == 2
    assert not list(tmp_path.rglob("*.step"))


def test_own_kinds_are_not_stored(tmp_path, own_kinds, library_kinds):
    @cj.register_cap("halved")
    class Halved(cj.Cap):
        def forward(self, u):
            return u / 2

    twice(stored_jit(Traced(), "a step", tmp_path))
    assert not list(tmp_path.rglob("*.step"))
