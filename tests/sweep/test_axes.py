"""Axes: which members come of lists, ranges and conditions; what is no axis."""

import math
import warnings
from typing import Any

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import capsjax as cj
from capsjax.sweep.axes import Range
from capsjax.sweep.space import shares, space_of

SAMPLERS = ["sobol", "halton", "random"]


def members(over, **more):
    return list(cj.sweep_members(over, **more))


def test_lists_are_nested_loops():
    over = {"a": [1, 2], "b": ["x", "y"], "c": [0.5]}
    assert members(over) == [
        {"a": 1, "b": "x", "c": 0.5},
        {"a": 1, "b": "y", "c": 0.5},
        {"a": 2, "b": "x", "c": 0.5},
        {"a": 2, "b": "y", "c": 0.5},
    ]
    assert members({}) == [{}]  # one member, with every seed


def test_names_under_a_tuple_go_together():
    over = {("a", "b"): [(1, "x"), [2, "y"]], "c": [3, 4]}
    assert members(over) == [
        {"a": 1, "b": "x", "c": 3},
        {"a": 1, "b": "x", "c": 4},
        {"a": 2, "b": "y", "c": 3},
        {"a": 2, "b": "y", "c": 4},
    ]
    assert space_of(over).names == ("a", "b", "c")
    assert space_of(over).axis("b") == ["x", "y"]
    assert members({("a",): [(1,)]}) == [{"a": 1}]


def test_an_axis_under_a_condition_multiplies_only_where_it_holds():
    over = {
        "momentum": cj.axes.when({"optimizer": "sgd"}, [0.0, 0.9]),
        "optimizer": ["adam", "sgd"],
    }
    assert members(over) == [  # in the order of their names, though it is decided later
        {"optimizer": "adam"},
        {"momentum": 0.0, "optimizer": "sgd"},
        {"momentum": 0.9, "optimizer": "sgd"},
    ]
    assert [list(member) for member in members(over)[1:]] == [
        ["momentum", "optimizer"]
    ] * 2


def test_conditions_on_several_values_axes_and_zipped_ones():
    over = {
        ("a", "b"): [(1, "x"), (2, "y"), (3, "x")],
        "c": [True, False],
        "d": cj.axes.when({"b": "x", "a": [1, 2], "c": {True}}, [7, 8]),
    }
    found = [each for each in members(over) if "d" in each]
    assert found == [{"a": 1, "b": "x", "c": True, "d": d} for d in (7, 8)]
    assert len(members(over)) == 7
    window = {"w": [(3, 3), (5, 5)], "e": cj.axes.when({"w": [(3, 3)]}, [1])}
    assert members(window) == [{"w": (3, 3), "e": 1}, {"w": (5, 5)}]


def test_conditions_on_conditional_axes():
    over = {
        "c": cj.axes.when({"b": 3}, [5, 6]),
        "b": cj.axes.when({"a": 1}, [3, 4]),
        "a": [1, 2],
    }
    assert members(over) == [
        {"c": 5, "b": 3, "a": 1},
        {"c": 6, "b": 3, "a": 1},
        {"b": 4, "a": 1},
        {"a": 2},
    ]


def test_an_axis_that_is_not_there_is_not_none():
    """A condition that asks for None holds where an axis is None, not missing."""
    over = {
        "a": [1, 2],
        "b": cj.axes.when({"a": 1}, [None, "x"]),
        "c": cj.axes.when({"b": None}, [9]),
    }
    assert members(over) == [{"a": 1, "b": None, "c": 9}, {"a": 1, "b": "x"}, {"a": 2}]


def test_zipped_axes_under_a_condition():
    over = {"a": [1, 2], ("b", "c"): cj.axes.when({"a": 2}, [(3, 4), (5, 6)])}
    assert members(over) == [
        {"a": 1},
        {"a": 2, "b": 3, "c": 4},
        {"a": 2, "b": 5, "c": 6},
    ]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ranges(sampler):
    """In the range, drawn anew for each combination, reproducible, without warnings."""
    over = {
        "rate": cj.axes.log_uniform(1e-4, 1e-1),
        "layers": [1, 2, 3],
        "drop": cj.axes.uniform(-0.5, 0.5),
        "units": cj.axes.integers(2, 5),
        "wide": cj.axes.integers(1, 1000, log=True),
        "cap": cj.axes.choice(["relu", "tanh"]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also of samples that are no power of two
        found = members(over, samples=37, sampler=sampler)
    assert [each["layers"] for each in found] == [1] * 37 + [2] * 37 + [3] * 37
    assert list(found[0]) == list(over)
    rates = np.array([each["rate"] for each in found])
    assert (rates >= 1e-4).all() and (rates <= 1e-1).all()
    assert len(set(rates)) == len(found)
    assert 0.3 < np.mean(rates < math.sqrt(1e-5)) < 0.7  # even in the logarithm
    drops = np.array([each["drop"] for each in found])
    assert (np.abs(drops) <= 0.5).all() and abs(drops.mean()) < 0.15
    assert {each["units"] for each in found} == {2, 3, 4, 5}
    wide = [each["wide"] for each in found]
    assert 1 <= min(wide) <= 3 and 300 < max(wide) <= 1000
    assert {each["cap"] for each in found} == {"relu", "tanh"}
    assert {type(each["units"]) for each in found} == {int}
    assert {type(each["rate"]) for each in found} == {float}
    assert members(over, samples=37, sampler=sampler) == found
    assert members(over, samples=37, sampler=sampler, sample_seed=1) != found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_sample_and_one_range(sampler):
    over = {"rate": cj.axes.uniform(0, 1)}
    (found,) = members(over, samples=np.int64(1), sampler=sampler)
    assert 0 <= found["rate"] <= 1


def test_low_discrepancy():
    """Of 64 points each 64th holds one, in every axis; chance leaves holes."""
    points = np.floor(shares(3, 64, "sobol", 5) * 64)
    assert all(len(set(column)) == 64 for column in points.T)
    by_chance = np.floor(shares(3, 64, "random", 5) * 64)
    assert all(len(set(column)) < 50 for column in by_chance.T)


def test_ranges_under_conditions():
    """On lists and on what is drawn itself."""
    over: dict[str, Any] = {
        "momentum": cj.axes.when({"optimizer": "sgd"}, cj.axes.uniform(0, 1)),
        "optimizer": ["sgd", "adam"],
    }
    found = members(over, samples=3)
    assert ["momentum" in each for each in found] == [True] * 3 + [False]
    over["optimizer"] = cj.axes.choice(["sgd", "adam"])
    over["nesterov"] = cj.axes.when({"momentum": 0.5}, cj.axes.choice([True]))
    found = members(over, samples=16)
    assert len(found) == 16 and not any("nesterov" in each for each in found)
    with_momentum = [each for each in found if each["optimizer"] == "sgd"]
    assert 4 < len(with_momentum) < 12
    assert all(("momentum" in each) == (each in with_momentum) for each in found)


def test_ranges_under_conditions_on_ranges_under_conditions():
    over = {
        "a": [1, 2],
        "b": cj.axes.when({"a": 1}, cj.axes.choice(["x", "y"])),
        "c": cj.axes.when({"b": "x"}, cj.axes.uniform(0, 1)),
    }
    found = members(over, samples=8)
    assert len(found) == 9 and found[-1] == {"a": 2}
    assert {each["b"] for each in found[:-1]} == {"x", "y"}
    assert all(("c" in each) == (each["b"] == "x") for each in found[:-1])


bounds = st.floats(-1e6, 1e6, allow_subnormal=False)
share = st.floats(0, 1, exclude_max=True)


@given(bounds, st.floats(1e-6, 1e6), share)
def test_real_numbers_stay_in_their_range(low, width, share):
    high = low + width
    assert low <= cj.axes.uniform(low, high).at(share) <= high
    low = 10.0 ** (low / 1e5)
    high = low * (1 + width)
    assert low <= cj.axes.log_uniform(low, high).at(share) <= high


@given(st.integers(1, 10**6), st.integers(1, 10**6), share, st.booleans())
def test_integers_stay_in_their_range_and_reach_both_ends(low, width, share, log):
    drawn = cj.axes.integers(low, low + width, log=log)
    assert low <= drawn.at(share) <= low + width
    assert drawn.at(0.0) == low and drawn.at(1 - 2**-53) == low + width


def test_integers_are_each_as_likely():
    drawn = cj.axes.integers(-1, 2)
    found = [drawn.at(share) for share in np.arange(0, 1, 1 / 64)]
    assert {n: found.count(n) for n in found} == dict.fromkeys((-1, 0, 1, 2), 16)


def test_lists_of_numbers():
    assert cj.axes.linear(1, 0, 3) == [1.0, 0.5, 0.0]
    assert cj.axes.linear(0.1, 0.7, 1) == [0.1]
    found = cj.axes.log(1 / 3, 100 / 3, 3)
    assert found[0] == 1 / 3 and found[-1] == 100 / 3  # both ends, to the bit
    np.testing.assert_allclose(found[1], 10 / 3, rtol=1e-11)
    assert cj.axes.log(2, 4, 1) == [2.0]
    assert {type(value) for value in found} == {float}


def test_arrays_and_numbers_of_numpy_and_jax():
    """As Python's, so that they are written, compared and told apart as such."""
    over = {
        "a": np.array([0.25, 0.5]),
        "b": [np.int64(3)],
        "c": jnp.array([1, 2]),
        ("d", "e"): np.array([[1, 2], [3, 4]]),
        ("f", "g"): [(np.float32(0.5), np.array([1, 2]))],
        "h": range(1),
        "i": {"x": 1}.keys(),
        "j": [np.float32],  # a type is no number
    }
    found = members(over)
    assert len(found) == 8
    first = found[0]
    assert first == {"a": 0.25, "b": 3, "c": 1, "d": 1, "e": 2, "f": 0.5} | {
        **{"g": [1, 2], "h": 0, "i": "x", "j": np.float32}
    }
    types = [type(first[name]) for name in "abcdefg"]
    assert types == [float, int, int, int, int, float, list]
    chosen = cj.axes.choice(np.array([1, 2]))
    assert [type(chosen.at(s)) for s in (0.0, 0.9)] == [int, int]


def test_values_may_be_anything():
    adam = optax.adam(1e-3)
    record = cj.caps.leaky_relu(0.1)
    over = {"optimizer": [adam, {"kind": "sgd"}, optax.sgd], "c.cap": [record, None]}
    found = members(over)
    assert [each["optimizer"] for each in found[::2]] == list(over["optimizer"])
    assert found[0]["optimizer"] is adam  # a tuple by its type, and no list of values
    assert found[1]["c.cap"] is None


def test_a_space_tells_its_axes():
    drawn = cj.axes.uniform(0, 1)
    space = space_of({"a": drawn, "b": cj.axes.when({"c": 1}, [2, 3]), "c": [1, 4]})
    assert space.names == ("a", "b", "c")
    assert space.ranges == {"a": drawn} and space.axis("a") is drawn
    assert space.axis("b") == [2, 3]
    assert [names for names, _, _ in space.ordered] == [("a",), ("c",), ("b",)]
    with pytest.raises(KeyError, match="d"):
        space.axis("d")


def test_spread_over_all_axes():
    """Lists among them, each value as often as the other; conditions hold."""
    space = space_of(
        {
            "momentum": cj.axes.when({"optimizer": "sgd"}, cj.axes.uniform(0, 1)),
            "optimizer": cj.axes.choice(["sgd", "adam"]),
            ("a", "b"): [(1, 2), (3, 4), (5, 6), (7, 8)],
            "c": cj.axes.when({"a": [1, 3]}, [10, 20]),
        }
    )
    found = list(space.spread(64, seed=3))
    assert len(found) == 64 and list(space.spread(64, seed=3)) == found
    assert list(space.spread(64, seed=4)) != found
    assert list(space.spread(5, seed=3)) == found[:5]
    counts = [sum(each["a"] == a for each in found) for a in (1, 3, 5, 7)]
    assert counts == [16] * 4
    assert all(each["b"] == each["a"] + 1 for each in found)
    for each in found:
        assert ("momentum" in each) == (each["optimizer"] == "sgd")
        assert ("c" in each) == (each["a"] in (1, 3))
        assert list(each) == [name for name in space.names if name in each]
    assert {each.get("c") for each in found} == {None, 10, 20}


LIST = "expected a list of values, or a range, such as cj.axes.uniform(0, 1)"
BAD: dict[str, tuple[dict[Any, Any], str]] = {
    "text": ({"cap": "relu"}, f"over, 'cap': found 'relu'; {LIST}"),
    "number": ({"a": 3}, f"over, 'a': found 3; {LIST}"),
    "array of no axis": ({"a": np.array(3)}, f"over, 'a': found 3; {LIST}"),
    "mapping": ({"a": {"b": 1}}, f"over, 'a': found {{'b': 1}}; {LIST}"),
    "set": ({"a": {1}}, f"over, 'a': found {{1}}; {LIST}"),
    "frozen set": (
        {"a": frozenset([1])},
        f"over, 'a': found frozenset({{1}}); {LIST}",
    ),
    "empty": ({"a": []}, "over, 'a': found no values; expected one or more"),
    "empty, zipped": (
        {("a", "b"): []},
        "over, 'a' and 'b': found no values; expected one or more",
    ),
    "twice": (
        {"a": [1], ("b", "a"): [(1, 2)]},
        "over: found the axis 'a' 2 times; expected each once",
    ),
    "no name": ({3: [1]}, "over: found the axis 3; expected a name"),
    "empty name": ({"": [1]}, "over: found the axis ''; expected a name"),
    "no names": ({("a", 3): [(1, 2)]}, "over: found the axis 3; expected a name"),
    "zipped range": (
        {("a", "b"): cj.axes.uniform(0, 1)},
        "over, 'a' and 'b': found a range; expected tuples of values",
    ),
    "too few together": (
        {("a", "b"): [(1, 2), (3,)]},
        "over, 'a' and 'b': found (3,); expected 2 values, one for each of the names "
        "that are swept together",
    ),
    "text together": (
        {("a", "b"): ["xy"]},
        "over, 'a' and 'b': found 'xy'; expected 2 values, one for each of the names "
        "that are swept together",
    ),
    "condition on nothing": (
        {"optimizer": ["sgd"], "momentum": cj.axes.when({"optimiser": "sgd"}, [1])},
        "over, 'momentum': found a condition on 'optimiser', which is no other axis; "
        "did you mean 'optimizer'?",
    ),
    "condition on itself": (
        {"b": [1], "a": cj.axes.when({"a": 1}, [1])},
        "over, 'a': found a condition on 'a', which is no other axis; add it",
    ),
    "conditions in a circle": (
        {
            "a": cj.axes.when({"b": 1}, [1]),
            "b": cj.axes.when({"c": 1}, [1]),
            "c": cj.axes.when({"a": 1}, [1]),
            "d": [1],
        },
        "over: the conditions of 'a', 'b', 'c' ask for each other; expected an order "
        "among them",
    ),
    "condition that never holds": (
        {"optimizer": ["sgd", "adam"], "a": cj.axes.when({"optimizer": "sgdd"}, [1])},
        "over, 'a': found a condition on 'optimizer' being 'sgdd'; expected one of its "
        "values, 'sgd', 'adam'; did you mean 'sgd'?",
    ),
    "condition that never holds, of a choice": (
        {"b": cj.axes.choice([1, 2]), "a": cj.axes.when({"b": [1, 3]}, [1])},
        "over, 'a': found a condition on 'b' being 3; expected one of its values, 1, "
        "2; add it, or leave it out",
    ),
    "condition under a condition": (
        {"b": [1], "a": cj.axes.when({"b": 1}, cj.axes.when({"b": 1}, [1]))},
        f"over, 'a': found When(conditions=(('b', (1,)),), axis=[1]); {LIST}",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_the_whole_text_of_an_error(case):
    over, text = BAD[case]
    with pytest.raises(ValueError) as caught:
        space_of(over)
    assert str(caught.value) == text


@pytest.mark.parametrize("values", [map(str, [1]), optax.adam(1e-3), iter([1])])
def test_what_looks_like_a_list_and_is_none(values):
    """Iterators are empty at the second time; an optimizer is a tuple of functions."""
    with pytest.raises(ValueError, match="over, 'a': found .*; expected a list of"):
        space_of({"a": values})


def test_axes_are_a_mapping():
    with pytest.raises(TypeError) as caught:
        space_of([("a", [1])])  # type: ignore
    assert str(caught.value) == (
        'over is a mapping of settings to values, such as {"learning_rate": [1e-3, '
        "1e-2]}, not [('a', [1])]"
    )


SAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no range": (
        {"a": [1]},
        {"samples": 3},
        "found samples=3 without a range to draw from; expected one, such as "
        "cj.axes.log_uniform(1e-4, 1e-1), or no samples",
    ),
    "no samples": (
        {"a": cj.axes.uniform(0, 1), "b": cj.axes.uniform(0, 1)},
        {},
        "found samples=None with 'a', 'b' to draw from; expected how many points to "
        "draw, samples=64",
    ),
    "none": (
        {"a": cj.axes.uniform(0, 1)},
        {"samples": 0},
        "found samples=0 with 'a' to draw from; expected how many points to draw, "
        "samples=64",
    ),
    "half a sample": (
        {"a": cj.axes.uniform(0, 1)},
        {"samples": 2.5},
        "found samples=2.5 with 'a' to draw from; expected how many points to draw, "
        "samples=64",
    ),
    "sampler": (
        {"a": cj.axes.uniform(0, 1)},
        {"samples": 2, "sampler": "sobel"},
        "found the sampler 'sobel'; expected 'sobol', 'halton' or 'random'",
    ),
    "a list where what decides is drawn": (
        {"a": cj.axes.choice([1, 2]), "b": cj.axes.when({"a": 1}, [3, 4])},
        {"samples": 2},
        "over, 'b': found a list of values under a condition on 'a', which is drawn; "
        "expected a range, such as cj.axes.choice([...])",
    ),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_the_whole_text_of_an_error_of_samples(case):
    """Raised by the call, not when the first member is asked for."""
    over, given, text = SAMPLES[case]
    with pytest.raises(ValueError) as caught:
        cj.sweep_members(over, **given)
    assert str(caught.value) == text


RANGES = {
    "order": (
        lambda: cj.axes.uniform(1, 1),
        "cj.axes.uniform: found 1 to 1; expected numbers, low < high",
    ),
    "text": (
        lambda: cj.axes.uniform("0", "1"),  # type: ignore
        "cj.axes.uniform: found '0' to '1'; expected numbers, low < high",
    ),
    "infinite": (
        lambda: cj.axes.log_uniform(1, math.inf),
        "cj.axes.log_uniform: found 1 to inf; expected numbers, low < high",
    ),
    "not a number": (
        lambda: cj.axes.integers(math.nan, 3),  # type: ignore
        "cj.axes.integers: found nan to 3; expected numbers, low < high",
    ),
    "not whole": (
        lambda: cj.axes.integers(1, 2.5),  # type: ignore
        "cj.axes.integers: found 1 to 2.5; expected whole numbers",
    ),
    "logarithm of zero": (
        lambda: cj.axes.log_uniform(0, 1),
        "cj.axes.log_uniform: found 0 to 1; expected above zero",
    ),
    "logarithm of an integer below one": (
        lambda: cj.axes.integers(0, 8, log=True),
        "cj.axes.integers: found 0 to 8; expected above zero",
    ),
    "logarithms in a list": (
        lambda: cj.axes.log(-1, 1, 3),
        "cj.axes.log: found -1 to 1; expected above zero",
    ),
    "count": (
        lambda: cj.axes.linear(0, 1, 0),
        "cj.axes: found 0 values; expected 1 or more",
    ),
    "count of logarithms": (
        lambda: cj.axes.log(1, 2, 2.5),  # type: ignore
        "cj.axes: found 2.5 values; expected 1 or more",
    ),
    "choice of a set": (
        lambda: cj.axes.choice({1}),
        "cj.axes.choice: found {1}; expected a list of values",
    ),
    "no choice": (
        lambda: cj.axes.choice([]),
        "cj.axes.choice: found no values; expected one or more",
    ),
    "choice of letters": (
        lambda: cj.axes.choice("relu"),
        "cj.axes.choice: found 'relu'; expected a list of values",
    ),
    "choice of a number": (
        lambda: cj.axes.choice(3),  # type: ignore
        "cj.axes.choice: found 3; expected a list of values",
    ),
    "no condition": (
        lambda: cj.axes.when({}, [1]),
        "cj.axes.when: found {}; expected other axes and the values that they must "
        'have, {"optimizer": "sgd"}',
    ),
    "condition of no axis": (
        lambda: cj.axes.when("sgd", [1]),  # type: ignore
        "cj.axes.when: found 'sgd'; expected other axes and the values that they must "
        'have, {"optimizer": "sgd"}',
    ),
}


@pytest.mark.parametrize("case", RANGES)
def test_the_whole_text_of_an_error_of_a_range(case):
    make, text = RANGES[case]
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == text


def test_ranges_are_plain_records():
    assert cj.axes.integers(np.int64(1), 4.0) == Range("integers", 1, 4)  # type: ignore
    assert cj.axes.choice(iter("ab")) == Range("choice", values=("a", "b"))
