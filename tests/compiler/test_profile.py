"""Which capsule an operation is of, in XLA's text and in a trace; nothing is timed."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.passes import Pass, fold_all, merge_all
from capsjax.compiler.profiling import module_name, operations, scope
from capsjax.compiler.profiling.scopes import capsule_of
from capsjax.compiler.profiling.timeline import Span, Timeline, divided

FOLDED = (*cj.passes.PIPELINE[:-1], Pass(fold_all, observable=True))


def graph() -> cj.Graph:
    """Siblings, equal capsules of one level, equal layers in a row, two outputs."""
    x = cj.input("x", (6,))
    q = cj.capsule("größe", cj.matmul(x, 6), cap="tanh")
    k = cj.capsule("body", cj.matmul(x, 6), cap="sigmoid")
    h = cj.capsule("both", cj.matmul(q, 6), cj.matmul(k, 6), cap="tanh")
    for number in range(4):
        h = cj.capsule(f"h{number}", cj.matmul(h, 6), cj.identity(h), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    z = cj.capsule("z", cj.matmul(h, 2), cap="tanh")
    losses = {"y": "cross_entropy", "z": "mean_squared_error"}
    return cj.graph(y, z, name="profiled", losses=losses)


WAYS = {
    "compiled": {"passes": cj.passes.PIPELINE[:-2]},
    "merged": {"passes": (*cj.passes.PIPELINE[:-2], Pass(merge_all, observable=True))},
    "autodiff": {"backward": "autodiff"},
    "folded": {"passes": FOLDED},
    "budget": {"passes": FOLDED, "memory_budget": True},
}


def batch(size: int = 4):
    return {
        "x": jnp.asarray(np.random.default_rng(0).normal(size=(size, 6))),
        "y": jnp.arange(size) % 3,
        "z": jnp.zeros((size, 2)),
    }


@functools.cache
def made(way: str) -> cj.Network:
    options = dict(WAYS[way])
    if options.get("memory_budget"):
        whole = cj.compile(graph(), passes=options["passes"]).memory(4, "float64")
        options["memory_budget"] = whole.smallest
    return cj.compile(graph(), **options)


def names(net: cj.Network) -> list[str]:
    if net.backward == "autodiff":
        return [capsule.name for capsule in net.typed.unfolded]
    found = [capsule.name for capsule in net.program.typed.capsules]
    bodies = [run.body.capsules for run in net.program.typed.runs]
    return found + [capsule.name for body in bodies for capsule in body]


def text_of(net: cj.Network, given, function: Any = "gradient") -> str:
    """The compiled program."""
    text = net.lower(given, function).compile().as_text()
    assert text is not None
    return text


@functools.cache
def text_made(way: str, function: str) -> str:
    return text_of(made(way), batch(), function)


def places(way: str, function: str) -> set:
    found = operations(text_made(way, function)).values()
    return {capsule_of(op.op_name, names(made(way))) for op in found}


@pytest.mark.parametrize("way", WAYS)
def test_every_capsule_has_operations_of_its_name(way):
    net = made(way)
    found = places(way, "gradient")
    expected = {(name, back) for name in names(net) for back in (False, True)}
    assert found - {(None, False), (None, True)} == expected


@pytest.mark.parametrize("way", WAYS)
def test_forward_alone_goes_nowhere_back(way):
    expected = {(name, False) for name in names(made(way))}
    assert places(way, "loss") - {(None, False)} == expected


def test_groups_runs_and_merged_products_are_scopes():
    def scopes(text):
        return {scope(op.op_name) for op in operations(text).values()}

    folded = scopes(text_made("folded", "gradient"))
    assert any(place.startswith("h0 to h3/while/body") for place in folded)
    assert not any("h0 to h3/h0 to h3" in place for place in folded)
    merged = scopes(text_made("merged", "gradient"))
    assert {"y/loss", "z/loss"} <= merged
    assert any("/merged x+1" in place for place in merged)
    x = cj.input("x", ())
    twins = [cj.capsule(f"t{i}", cj.scale(x), cap="tanh") for i in range(32)]
    y = cj.capsule("y", *map(cj.scale, twins), cap="tanh")
    grouped = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    (group,) = grouped.program.typed.groups
    assert {group.name, f"{group.name}/backward"} <= scopes(text_of(grouped, 4))


NAMES = ("h", "stage/h", "r0 to r2", "r0+2", "backward", "jvp", "größe")


@pytest.mark.parametrize(
    "op_name, place, found",
    [
        ("jit(step)/h/dot_general", "h", ("h", False)),
        ("jit(step)/jvp(h)/tanh", "h", ("h", False)),
        ("jit(step)/jvp(stage/h)/tanh", "stage/h", ("stage/h", False)),
        ("jit(g)/transpose(jvp(h/backward))/mul", "h/backward", ("h", True)),
        ("jit(g)/vmap(transpose(jvp(h)))/dot_general", "h", ("h", True)),
        ("jit(g)/h/backward/jit(inner)/mul", "h/backward", ("h", True)),
        ("jit(g)/jvp(jit(log_softmax))/exp", "", (None, False)),
        ("jit(g)/jvp()/add", "", (None, False)),
        ("params['h']['W']", "", (None, False)),
        ("", "", (None, False)),
        ("jit(h)/backward/mul", "backward", ("backward", False)),
        ("jit(g)/backward/backward/mul", "backward/backward", ("backward", True)),
        ("jit(g)/jvp(jvp)/jvp", "jvp", ("jvp", False)),
        (
            "jit(g)/jvp(r0 to r2)/while/body/closed_call/r0+2/tanh",
            "r0 to r2/while/body/closed_call/r0+2",
            ("r0+2", False),
        ),
        (
            "jit(g)/transpose(jvp(r0 to r2/backward))/while",
            "r0 to r2/backward",
            ("r0 to r2", True),
        ),
        ("jit(g)/jvp(h/loss)/reduce_sum", "h/loss", ("h", False)),
        ("jit(g)/transpose(jvp(h/backward))", "h/backward", ("h", True)),
    ],
)
def test_names_of_operations(op_name, place, found):
    assert scope(op_name) == place
    assert capsule_of(op_name, NAMES) == found


TEXT = r"""HloModule jit_step, is_scheduled=true

%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0), metadata={op_name="p"}
  %neg.1 = f32[2]{0} negate(%p), metadata={op_name="jit(step)/h/neg"}
  ROOT %add.1 = f32[2]{0} add(%neg.1, %neg.1)
}

%two (q: f32[2]) -> f32[2] {
  %q = f32[2]{0} parameter(0)
  ROOT %copy.7 = f32[2]{0} copy(%q)
}

ENTRY %main (x: f32[2]) -> (f32[2], s32[]) {
  %x = f32[2]{0} parameter(0), metadata={op_name="x[\'a\']"}
  %fusion.1 = f32[2]{0} fusion(%x), kind=kLoop, calls=%fused
  %copy.1 = f32[2]{0} copy(%fusion.1)
  %exp = f32[2]{0} exponential(%x), metadata={op_name="jit(s)/gr\303\266\303\237e/exp"}
  %copy.2 = f32[2]{0} copy(%x), metadata={op_name="x[\'a\']"}
  %copy.3 = f32[2]{0} copy(%copy.2)
  %cos = f32[2]{0} cosine(%copy.3), metadata={op_name="jit(s)/h/backward/cos"}
  %while = (s32[], f32[2]{0}) while(%copy.1), condition=%c, body=%b
  %if = f32[2]{0} conditional(%x), branch_computations={%two}, metadata={op_name="j/k"}
  %constant.9 = s32[] constant(0)
  ROOT %tuple = (f32[2]{0}, s32[]) tuple(%copy.1, %constant.9)
}
"""


def test_operations_of_a_program():
    known = operations(TEXT)
    assert module_name(TEXT) == "jit_step"
    assert known["fusion.1"] == ("fusion", "jit(step)/h/neg")
    assert known["copy.1"] == ("copy", "jit(step)/h/neg")
    assert known["exp"] == ("exponential", "jit(s)/größe/exp")
    assert known["while"].holds and not known["copy.1"].holds
    assert known["constant.9"] == ("constant", "")
    assert known["copy.2"].op_name == known["copy.3"].op_name == "jit(s)/h/backward/cos"
    assert known["copy.7"].op_name == "j/k"


def test_a_text_that_is_no_program():
    with pytest.raises(ValueError, match="found 'nothing'; expected the text of"):
        module_name("nothing")


def test_every_moment_is_divided_among_what_runs():
    spans = [
        Span("before", 0, 12),
        Span("loop", 14, 40, holds=True),
        Span("a", 20, 30),
        Span("b", 25, 35),
        Span("inner", 36, 39, holds=True),
        Span("late", 48, 60),
    ]
    found, waited = divided(spans, Span("step", 10, 50))
    assert found == {
        "before": 2,
        "loop": 6 + 1 + 1,
        "a": 5 + 2.5,
        "b": 2.5 + 5,
        "inner": 3,
        "late": 2,
    }
    assert waited == 2 + 8
    assert sum(found.values()) + waited == 40


@pytest.mark.parametrize("way", ["compiled", "folded", "autodiff"])
def test_the_table_has_every_capsule(way):
    net = made(way)
    profile = net.profile(batch(), steps=3)
    table = profile.table
    assert list(table["capsule"])[-2:] == ["(other)", "(waiting)"]
    assert sorted(table["capsule"][:-2]) == sorted(names(net))
    total, ways = table["total"].to_numpy(), table[["forward", "backward"]].to_numpy()
    assert np.sum(total) == pytest.approx(profile.traced)
    assert ways[:-1].sum(axis=1) == pytest.approx(total[:-1])
    assert table["share"].to_numpy() == pytest.approx(total / profile.traced)
    at_work = {n for n, ms in zip(table["capsule"], total, strict=True) if ms > 0}
    assert {"y", "both"} <= at_work
    text = repr(profile)
    assert text.startswith("profile of network 'profiled', 4 examples: forward and")
    assert all(name in text for name in table["capsule"])


def test_with_given_parameters_and_a_key():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 8), cap=cj.caps.dropout(0.5))
    y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    params, state = net.init(jax.random.key(1))
    given = {"x": jnp.ones((3, 4)), "y": jnp.zeros(3, int)}
    profile = net.profile(given, params, state, steps=1)
    assert profile.examples == 3 and profile.step > 0


def test_what_can_not_be_profiled():
    net = made("compiled")
    with pytest.raises(ValueError, match="found steps=0; expected at least 1"):
        net.profile(batch(), steps=0)
    with pytest.raises(ValueError, match="input 'x': missing"):
        net.profile({"y": jnp.zeros(4, int), "z": jnp.zeros((4, 2))})


def test_a_trace_that_names_no_operation(monkeypatch):
    from capsjax.compiler.profiling import profile

    monkeypatch.setattr(profile, "timeline", lambda *_: Timeline((), ()))
    with pytest.raises(RuntimeError, match="found no operation of the step in the tr"):
        made("compiled").profile(batch(), steps=1)


def test_scopes_do_not_change_what_is_computed(monkeypatch):
    """Without them, the same program to the bit: XLA's text but for its metadata."""
    import contextlib
    import re

    def text():
        net = cj.compile(graph(), passes=FOLDED)
        return text_of(net, 4)

    def bare(text):
        text = re.sub(r", metadata=\{[^}]*\}", "", text)
        return text[text.index("\n\n%") :]

    named = text()
    monkeypatch.setattr(jax, "named_scope", lambda name: contextlib.nullcontext())
    plain = text()
    assert "both/backward" in named and "both/backward" not in plain
    assert bare(named) == bare(plain)
