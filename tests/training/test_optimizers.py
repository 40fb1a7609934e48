"""Optimizers: every kind with its numbers given, declarations, functions, faults."""

import functools
import inspect
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training import optimizers
from capsjax.training.optimizers import (
    ACCUMULATE,
    CLIP,
    CLIP_VALUE,
    COMMON,
    OPTIMIZERS,
    SCHEDULES,
    optimizer_of,
    weak,
)
from tests.helpers_capsjax import close, draw, draw_like, quick

DECIDES = {("adafactor", "min_dim_size_to_factor")}
"""Numbers on which optax decides in Python: they are built in."""
WITHOUT_DEFAULT = {"momentum": 0.8, "weight_decay_rate": 0.01}


def initial():
    return {"W": draw((3, 4)), "B": draw((5,), 1)}


def gradients(params, step):
    return jax.tree.map(lambda x: 0.3 * x + 0.1 * jnp.cos((step + 1) * x), params)


def moved(made, learned, step):
    """Parameters and the optimizer's state after one more step."""
    params, state = learned
    updates, state = made.update(gradients(params, step), state, params)
    return optax.apply_updates(params, updates), state


def trained(optimizer, settings, steps=2):
    """Parameters and the optimizer's state after a few steps."""
    made = optimizer(settings)
    learned = initial(), made.init(initial())
    for step in range(steps):
        learned = moved(made, learned, step)
    return learned


def alike(optimizer: Any, settings: Any, made: Any, steps: int = 2) -> None:
    """Asserts that an optimizer with settings is one of optax: one step is compiled."""

    def begun(settings):
        params = initial()
        return (params, optimizer(settings).init(params)), (params, made.init(params))

    def both(settings, ours, theirs, step):
        ours = moved(optimizer(settings), ours, step)
        return ours, moved(made, theirs, step)

    both, (found, expected) = quick(both), quick(begun)(settings)
    for step in range(steps):
        found, expected = both(settings, found, expected, step)
    # Not to the last digit: XLA folds what is built in.
    close(found, expected, 1e-12)


def numbers(kind):
    """Settings of a kind that are numbers, with other values than their defaults."""
    function = getattr(optax, kind)
    found = {"learning_rate": 0.02, CLIP: 0.7, CLIP_VALUE: 0.2, ACCUMULATE: 2}
    for name, default in optimizers._settings(function).items():
        if not isinstance(default, bool):
            value = 0.05 if default == 0 else 0.9 * (default or 0)
            found[name] = WITHOUT_DEFAULT.get(name, value)
    return {n: v for n, v in found.items() if (kind, n) not in DECIDES}


def types(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_number_may_be_given(kind):
    """All at once; parameters and state are as optax has them, with these built in."""
    optimizer, settings = optimizer_of(kind), numbers(kind)
    assert set(settings) <= set(optimizer.settings)
    rest = {name: value for name, value in settings.items() if name not in COMMON}
    clips = optax.clip(0.2), optax.clip_by_global_norm(0.7)
    made = optax.chain(*clips, getattr(optax, kind)(**rest))
    several = optax.MultiSteps(made, 2, accumulator_dtype=jnp.float64)
    alike(optimizer, settings, several, steps=4)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_given_numbers_change_no_type(kind):
    """So that the state may be what a loop carries, from its first value on."""
    optimizer, settings = optimizer_of(kind), numbers(kind)
    one = jax.ShapeDtypeStruct((), jnp.float64)
    given = dict.fromkeys(settings, one)
    first = jax.eval_shape(lambda s: optimizer(s).init(initial()), given)
    last = jax.eval_shape(lambda s: trained(optimizer, s)[1], given)
    built_in = optimizer.having(settings)
    assert types(first) == types(last)
    assert types(last) == types(jax.eval_shape(lambda: trained(built_in, {})[1]))


@pytest.mark.parametrize("kind, name", DECIDES)
def test_what_is_decided_in_python_can_not_be_traced(kind, name):
    """Else it would not belong into the list above."""
    with pytest.raises(jax.errors.TracerBoolConversionError):
        one = jax.ShapeDtypeStruct((), jnp.float64)
        jax.eval_shape(lambda x: trained(optimizer_of(kind), {name: x}), one)


def test_float32_numbers_do_not_raise_the_type_of_bfloat16_parameters():
    """Given numbers are arrays of a type of their own; they act like Python's."""
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), initial())

    def step(rate):
        made = optimizer_of("adamw")({"learning_rate": rate, "weight_decay": rate})
        return made.update(params, made.init(params), params)

    built_in = jax.eval_shape(lambda: step(0.1))
    given = jax.eval_shape(step, jax.ShapeDtypeStruct((), jnp.float32))
    assert types(given) == types(built_in)


@pytest.mark.parametrize("value", [np.asarray(0.5, np.float32), jnp.float32(0.5)])
def test_arrays_become_weakly_typed(value):
    assert weak(value).weak_type and float(weak(value)) == 0.5
    assert weak(3) == 3 and weak(jnp.int32(3)).dtype == jnp.int32


def test_injected_numbers_keep_the_state_alike():
    """optax keeps them in the state: from numpy at first, then traced."""

    def make(learning_rate):
        return optax.inject_hyperparams(optax.sgd)(learning_rate=learning_rate)

    optimizer, rate = optimizer_of(make), np.asarray(0.1, np.float32)
    first = optimizer({"learning_rate": rate}).init(initial())

    def step(state, rate):
        made = optimizer({"learning_rate": rate})
        return made.update(initial(), state, initial())[1]

    assert types(jax.eval_shape(step, first, rate)) == types(
        jax.eval_shape(lambda: first)
    )


def test_the_default_is_adam():
    optimizer = optimizer_of(None)
    assert optimizer.name == "adam" and optimizer.document == {"kind": "adam"}
    assert dict(optimizer.given) == {"learning_rate": 1e-3}


def test_a_declaration():
    document = {"kind": "adamw", "learning_rate": 0.1, "weight_decay": 0.2}
    optimizer = optimizer_of(document)
    assert optimizer.name == "adamw" and optimizer.missing == []
    assert optimizer.document == document and optimizer.document is not document
    assert {"b1", "weight_decay", *COMMON, "learning_rate"} <= set(optimizer.settings)
    assert not {"mask", "mu_dtype"} & set(optimizer.settings)  # no plain data
    alike(optimizer, {}, optax.adamw(0.1, weight_decay=0.2))
    assert optimizer_of(optimizer) is optimizer


def test_tables_and_numbers_of_other_types_are_taken():
    rate = MappingProxyType({"kind": "constant", "value": np.float32(0.5)})
    given = MappingProxyType({"kind": "sgd", "learning_rate": rate})
    document = {"kind": "sgd", "learning_rate": {"kind": "constant", "value": 0.5}}
    optimizer = optimizer_of(given)
    assert optimizer.document == document
    assert type(optimizer.document["learning_rate"]["value"]) is float
    assert optimizer_of({"kind": "sgd", "nesterov": np.bool_(True)}).given["nesterov"]


def test_a_declared_schedule():
    rate = {"kind": "cosine", "peak": 0.1, "steps": 4}
    optimizer = optimizer_of({"kind": "sgd", "learning_rate": rate, "momentum": 0.5})
    assert "learning_rate" not in optimizer.settings
    names = [n for n in optimizer.settings if n.startswith("learning_rate.")]
    assert names == [
        f"learning_rate.{name}"
        for name in ("peak", "steps", "warmup", "initial", "final", "exponent")
    ]
    given = {"learning_rate.peak": 0.2, "learning_rate.final": 0.01}
    schedule = cj.schedules.cosine(0.2, 4, final=0.01)
    alike(optimizer, given, optax.sgd(schedule, 0.5))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_kind_of_schedule_may_be_declared(kind):
    """Its settings are numbers by name, all of which may be given."""
    parameters = inspect.signature(SCHEDULES[kind]).parameters
    needed = [n for n, x in parameters.items() if x.default is x.empty]
    rate = {"kind": kind, **dict.fromkeys(needed, 0.5)}
    optimizer = optimizer_of({"kind": "sgd", "learning_rate": rate})
    names = [f"learning_rate.{name}" for name in parameters]
    assert set(names) <= set(optimizer.settings)

    def traced(number):
        return trained(optimizer, dict.fromkeys(names, number))

    jax.eval_shape(traced, jax.ShapeDtypeStruct((), jnp.float64))


def test_gradients_are_clipped_together():
    document = {"kind": "sgd", "learning_rate": 1.0}
    clipped = optimizer_of({**document, CLIP: 0.5})
    alike(clipped, {}, optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(1.0)))
    alike(optimizer_of({**document, **dict.fromkeys(COMMON)}), {}, optax.sgd(1.0))


def test_gradients_are_clipped_by_value_first():
    document = {"kind": "sgd", "learning_rate": 1.0, CLIP_VALUE: 0.1}
    alike(optimizer_of(document), {}, optax.chain(optax.clip(0.1), optax.sgd(1.0)))
    both = optax.chain(optax.clip(0.1), optax.clip_by_global_norm(0.2), optax.sgd(1.0))
    alike(optimizer_of({**document, CLIP: 0.2}), {}, both)


def test_gradients_are_clipped_once_accumulated():
    """So that several small batches are as a large one."""
    document = {"kind": "sgd", "learning_rate": 1.0, CLIP: 0.1, ACCUMULATE: 2}
    made, params = optimizer_of(document)({}), initial()
    state = made.init(params)
    _, state = made.update(draw_like(params, 1), state, params)
    updates, _ = made.update(draw_like(params, 3), state, params)
    np.testing.assert_allclose(optax.tree.norm(updates), 0.1, rtol=1e-12)


def test_what_is_built_in_is_declared():
    """So that other machines are told of it."""
    rate = {"kind": "linear", "initial": 0.1, "final": 0.0, "steps": 9}
    optimizer = optimizer_of({"kind": "sgd", "learning_rate": rate})
    changed = optimizer.having({"nesterov": True, "learning_rate.final": 0.05})
    assert changed.document == {
        "kind": "sgd",
        "learning_rate": {**rate, "final": 0.05},
        "nesterov": True,
    }
    assert changed.given["learning_rate.final"] == 0.05
    assert optimizer.document["learning_rate"] == rate
    scheduled = optimizer_of("adam").having({"learning_rate": rate})
    assert "learning_rate.final" in scheduled.settings
    with pytest.raises(ValueError) as caught:
        optimizer.having({"nesterov": 1})
    text = "optimizer sgd, nesterov: found 1; expected true or false"
    assert str(caught.value) == text
    with pytest.raises(ValueError, match="found the setting 'learning_rate.peak'"):
        optimizer_of("sgd").having({"learning_rate.peak": 0.1})


def of_momentum(learning_rate, *, decay=0.9, **others):
    return optax.sgd(learning_rate, decay, **others)


def test_functions():
    optimizer = optimizer_of(of_momentum)
    assert optimizer.name == "of_momentum" and optimizer.document is None
    assert optimizer.settings == ("learning_rate", "decay")
    assert optimizer.missing == ["learning_rate"]
    built_in = optimizer.having({"learning_rate": 0.1})
    assert built_in.missing == [] and optimizer.missing == ["learning_rate"]
    alike(built_in, {"decay": 0.5}, optax.sgd(0.1, 0.5))
    assert optimizer_of(optax.adamw).missing == ["learning_rate"]
    assert "weight_decay" in optimizer_of(optax.adamw).settings


def test_functions_with_arguments_built_in():
    optimizer = optimizer_of(functools.partial(optax.adamw, learning_rate=0.1))
    assert optimizer.name == "adamw" and optimizer.missing == []
    alike(optimizer, {"weight_decay": 0.2}, optax.adamw(0.1, weight_decay=0.2))
    by_place = optimizer_of(functools.partial(optax.sgd, 0.1))
    assert "learning_rate" not in by_place.settings and by_place.missing == []


def test_lambdas():
    optimizer = optimizer_of(lambda rate: optax.chain(optax.clip(0.1), optax.sgd(rate)))
    assert optimizer.settings == ("rate",) and optimizer.missing == ["rate"]
    assert optimizer.name == "<lambda>"


def test_optimizers_that_are_made_have_no_settings():
    made = optax.chain(optax.clip(0.1), optax.sgd(0.2))
    optimizer = optimizer_of(made)
    assert optimizer.settings == () and optimizer.missing == []
    assert optimizer({}) is made


KINDS = ", ".join(OPTIMIZERS)
SGD = "learning_rate, momentum, nesterov, clip_norm, clip_value, accumulate"
SCHEDULED = (
    "a number, or a schedule: constant, cosine, exponential, linear, one_cycle, "
    "piecewise, staircase, warmup_linear"
)
COSINE = '{"kind": "cosine", "peak": 0.1, "steps": 500}'
STAIRS = {"kind": "piecewise", "value": 1.0, "boundaries": [3, 6], "factors": 0.1}
BAD: dict[str, tuple[Any, str]] = {
    "unknown kind": (
        {"kind": "adamz"},
        f"optimizer: found the kind 'adamz'; expected one of {KINDS}; "
        "did you mean 'adam'?",
    ),
    "unknown name": (
        "gradient",
        f"optimizer: found the kind 'gradient'; expected one of {KINDS}; "
        "name one of them",
    ),
    "no kind": (
        {"learning_rate": 0.1},
        f"optimizer: found the kind None; expected one of {KINDS}; name one of them",
    ),
    "kind of another type": (
        {"kind": ["sgd"]},
        f"optimizer: found the kind ['sgd']; expected one of {KINDS}; name one of them",
    ),
    "setting": (
        {"kind": "sgd", "momentun": 0.9},
        f"optimizer sgd: found the setting 'momentun'; expected some of {SGD}; "
        "did you mean 'momentum'?",
    ),
    "setting of optax that is no plain data": (
        {"kind": "sgd", "accumulator_dtype": "float32"},
        "optimizer sgd: found the setting 'accumulator_dtype'; expected some of "
        f"{SGD}; did you mean 'accumulate'?",
    ),
    "number": (
        {"kind": "adamw", "weight_decay": "1e-4"},
        "optimizer adamw, weight_decay: found '1e-4'; expected a number",
    ),
    "no number": (
        {"kind": "adamw", "weight_decay": None},
        "optimizer adamw, weight_decay: found None; expected a number",
    ),
    "true in place of a number": (
        {"kind": "adamw", "b1": True},
        "optimizer adamw, b1: found True; expected a number",
    ),
    "number in place of true": (
        {"kind": "sgd", "nesterov": 1},
        "optimizer sgd, nesterov: found 1; expected true or false",
    ),
    "number, or none": (
        {"kind": "sgd", "momentum": "high"},
        "optimizer sgd, momentum: found 'high'; expected a number, or null",
    ),
    "norm": (
        {"kind": "sgd", CLIP: [1.0]},
        "optimizer sgd, clip_norm: found [1.0]; expected a number, or null",
    ),
    "steps": (
        {"kind": "sgd", ACCUMULATE: 1.5},
        "optimizer sgd, accumulate: found 1.5; expected a whole number of at least 1, "
        "or null",
    ),
    "no steps": (
        {"kind": "sgd", ACCUMULATE: 0},
        "optimizer sgd, accumulate: found 0; expected a whole number of at least 1, or "
        "null",
    ),
    "empty list of a schedule": (
        {"kind": "sgd", "learning_rate": {**STAIRS, "boundaries": []}},
        "optimizer sgd: learning_rate, piecewise, boundaries: found []; expected a "
        "number, or a list of some",
    ),
    "list of a schedule": (
        {"kind": "sgd", "learning_rate": {**STAIRS, "factors": [0.1, "0.1"]}},
        "optimizer sgd: learning_rate, piecewise, factors: found [0.1, '0.1']; "
        "expected a number, or a list of some",
    ),
    "lengths of a schedule": (
        {"kind": "sgd", "learning_rate": {**STAIRS, "factors": [0.1]}},
        "optimizer sgd: learning_rate, piecewise: found 2 boundaries and 1 factors; "
        "expected as many of both, or one factor for all",
    ),
    "learning rate as text": (
        {"kind": "sgd", "learning_rate": "1e-3"},
        "optimizer sgd, learning_rate: found '1e-3'; expected a number or a schedule, "
        f"such as {COSINE}",
    ),
    "true as a learning rate": (
        {"kind": "sgd", "learning_rate": True},
        "optimizer sgd, learning_rate: found True; expected a number or a schedule, "
        f"such as {COSINE}",
    ),
    "schedule": (
        {"kind": "sgd", "learning_rate": {"kind": "cosin"}},
        f"optimizer sgd: learning_rate: found the kind 'cosin'; expected {SCHEDULED}; "
        "did you mean 'cosine'?",
    ),
    "schedule of another type": (
        {"kind": "sgd", "learning_rate": {"kind": ["cosine"]}},
        f"optimizer sgd: learning_rate: found the kind ['cosine']; expected "
        f"{SCHEDULED}; name one of them",
    ),
    "setting of a schedule": (
        {"kind": "sgd", "learning_rate": {"kind": "constant", "valu": 0.1}},
        "optimizer sgd: learning_rate, constant: found the setting 'valu'; expected "
        "some of value; did you mean 'value'?",
    ),
    "type of a schedule's setting": (
        {"kind": "sgd", "learning_rate": {"kind": "constant", "value": "0.1"}},
        "optimizer sgd: learning_rate, constant, value: found '0.1'; expected a number",
    ),
    "schedule that lacks settings": (
        {"kind": "sgd", "learning_rate": {"kind": "linear", "initial": 0.1}},
        "optimizer sgd: learning_rate, linear: found no final, steps; expected one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_the_whole_text_of_an_error(case):
    given, text = BAD[case]
    with pytest.raises(ValueError) as caught:
        optimizer_of(given)
    assert str(caught.value) == text


@pytest.mark.parametrize("given", [0.1, ["adam"]])
def test_what_makes_no_optimizer(given):
    with pytest.raises(TypeError) as caught:
        optimizer_of(given)
    assert str(caught.value) == (
        f"found the optimizer {given!r}; expected a function of optax, such as "
        'optax.adamw, its name, {"kind": "adamw", "weight_decay": 1e-4}, or an '
        "optimizer"
    )
