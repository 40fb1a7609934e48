"""Sweeps as documents: what each form means, and what is said of faults."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.sweep.document.form import KEYS
from capsjax.sweep.space import space_of
from capsjax.training.optimizers import optimizer_of

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"


def sweep(**keys: Any) -> dict[str, Any]:
    """A sound document with some keys changed."""
    return {"format_version": 1, "over": {"learning_rate": [0.1, 0.2]}, **keys}


def read(document: Any, source: str = "") -> cj.SweepDocument:
    """A document from plain data."""
    return cj.parse_sweep(json.dumps(document), source)


def refused(document: Any) -> list[str]:
    """The problems of a document, as text without their numbers."""
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    with pytest.raises(cj.SweepError) as caught:
        cj.parse_sweep(text)
    assert re.match(r"sweep has \d+ problems?:\n1\. ", str(caught.value))
    return [
        re.sub(r"\n +(found|expected|cure): +", "|", str(problem))
        for problem in caught.value.problems
    ]


AXES = {
    "list": ([8, "a", 1.5, True, None], [8, "a", 1.5, True, None]),
    "values": ({"values": [[1, 2], {"kind": "relu"}]}, [[1, 2], {"kind": "relu"}]),
    "linear": ({"linear": [0, 0.5], "count": 3}, cj.axes.linear(0, 0.5, 3)),
    "log": ({"log": [1e-4, 1e-1], "count": 4}, cj.axes.log(1e-4, 1e-1, 4)),
    "uniform": ({"uniform": [0, 0.5]}, cj.axes.uniform(0, 0.5)),
    "log-uniform": ({"log_uniform": [1e-4, 1]}, cj.axes.log_uniform(1e-4, 1)),
    "integers": ({"integers": [1, 9]}, cj.axes.integers(1, 9)),
    "log-integers": ({"log_integers": [1, 9]}, cj.axes.integers(1, 9, log=True)),
    "choice": ({"choice": ["a", "b"]}, cj.axes.choice(["a", "b"])),
    "when": (
        {"uniform": [0, 1], "when": {"learning_rate": 0.1}},
        cj.axes.when({"learning_rate": 0.1}, cj.axes.uniform(0, 1)),
    ),
    "when-several": (
        {"values": [1, 2], "when": {"learning_rate": [0.1, 0.2]}},
        cj.axes.when({"learning_rate": [0.1, 0.2]}, [1, 2]),
    ),
}


@pytest.mark.parametrize(("form", "axis"), AXES.values(), ids=AXES)
def test_each_form_of_an_axis_is_one_of_python(form, axis):
    drawn = {"samples": 4} if "cj" not in str(form) and _is_drawn(form) else {}
    document = sweep(**drawn)
    document["over"]["drop.rate"] = form
    over = read(document).over
    assert list(over) == ["learning_rate", "drop.rate"]
    assert over["drop.rate"] == axis
    assert over["learning_rate"] == [0.1, 0.2]


def _is_drawn(form: Any) -> bool:
    keys = ("uniform", "log_uniform", "integers", "log_integers", "choice")
    return isinstance(form, dict) and any(key in form for key in keys)


def test_axes_zipped_are_tuples():
    columns = {"initial_scale": [1, 2], "c1.features": [8, 16]}
    other = {"a": [1], "b": [2], "when": {"learning_rate": 0.1}}
    over = read(sweep(zip=[columns, other])).over
    assert over["initial_scale", "c1.features"] == [(1, 8), (2, 16)]
    assert over["a", "b"] == cj.axes.when({"learning_rate": 0.1}, [(1, 2)])
    assert len(list(cj.sweep_members(over))) == 2 * (1 + 1)


def test_what_is_declared_is_given_and_no_more():
    assert read(sweep()).arguments() == {"over": {"learning_rate": [0.1, 0.2]}}
    keys = {
        "optimizer": {"kind": "sgd", "learning_rate": {"kind": "constant", "value": 1}},
        "steps": 90,
        "every": 30,
        "batch_size": 16,
        "seeds": [3, 1],
        "initial_scale": 2,
        "sampler": "halton",
        "sample_seed": 3,
        "metric": "loss",
        "maximize": False,
        "keep": 4,
        "strategy": "vmap",
        "memory_limit": "2 GiB",
        "samples": 2,
    }
    document = sweep(**keys, dtype="bfloat16", search={"kind": "halving", "eta": 4})
    document["over"]["b1"] = {"uniform": [0, 1]}
    found = read(document).arguments()
    assert {key: found[key] for key in keys} == keys
    assert found["precision"] == cj.Precision("bfloat16")
    assert found["search"] == cj.halving(4)
    assert set(KEYS) - {"format_version", "zip", "epochs", "dtype"} | {
        "precision"
    } == set(found)
    nothing = dict.fromkeys(set(KEYS) - set(sweep()) - {"zip"})
    assert read(sweep(**nothing)).arguments() == read(sweep()).arguments()


SEARCHES = {
    "halving": ("halving", cj.halving()),
    "rungs": ({"kind": "halving", "rungs": 2}, cj.halving(rungs=2)),
    "population": ("population", cj.population()),
    "factors": (
        {"kind": "population", "every": 2, "share": 0.5, "factors": [2], "seed": 1},
        cj.population(every=2, share=0.5, factors=(2.0,), seed=1),
    ),
    "bayesian": ("bayesian", cj.bayesian()),
    "trials": (
        {"kind": "bayesian", "trials": 8, "batch": 4, "seed": 2},
        cj.bayesian(8, batch=4, seed=2),
    ),
}


@pytest.mark.parametrize(("form", "search"), SEARCHES.values(), ids=SEARCHES)
def test_each_search_is_one_of_python(form, search):
    assert read(sweep(search=form)).arguments()["search"] == search


def test_toml_and_json_are_read_by_ending_and_by_content(tmp_path):
    text = 'format_version = 1\n[over]\n"learning_rate" = [0.1, 0.2]\n'
    texts = {"a.toml": text, "a.json": json.dumps(sweep()), "a.txt": text, "b": "\n{"}
    texts["b"] += json.dumps(sweep())[1:]
    for name, content in texts.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
        found = cj.load_sweep(tmp_path / name)
        assert found.over == {"learning_rate": [0.1, 0.2]}
        assert found.source == str(tmp_path / name) and found.text == content
    with pytest.raises(FileNotFoundError):
        cj.load_sweep(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("x = 1\n")
    with pytest.raises(cj.SweepError, match=r"sweep '.*bad.toml' has 3 problems:"):
        cj.load_sweep(tmp_path / "bad.toml")


NO_TEXT = {
    "toml": ("a = 1\nb = [1,\nc = 3", r".*\(at line 3, column 1\)\|TOML"),
    "json": ('{"a": 1', r"Expecting ',' delimiter: line 1 column 8 .*\|JSON"),
    "empty": (" \n", r"nothing: the document is empty\|TOML"),
    "utf-8": (b"a\xff", r"byte 0xff at position 1, which is not UTF-8\|TOML or JSON"),
    "twice": ("a = 1\na = 2\nb = 3", r".*\(at line 2, column .*\)\|TOML"),
    "deep": ("a = " + "[" * 9999, r".*nested.*\|TOML"),
    "json-deep": ('{"a":' * 9999, r"lists or objects nested too deeply\|JSON"),
}


@pytest.mark.parametrize(("text", "found"), NO_TEXT.values(), ids=NO_TEXT)
def test_what_is_no_document_says_where(text, found):
    (problem,) = refused(text)
    cure = "correct the document at this place"
    assert re.fullmatch(rf"the document\|{found}\|{cure}", problem)


KNOWN = ", ".join(KEYS)
FORMS = (
    "a list of values, or an object with one of values, linear, log, uniform, "
    "log_uniform, integers, log_integers, choice"
)
ABOVE = "write it above all tables: in TOML, what stands below one belongs to it"
CORRECT = "correct the value"
FAULTS = {
    "no-version": (
        {"over": {"b1": [1]}},
        "key 'format_version' (format_version)|no key 'format_version'|the key "
        "'format_version'|add it, at the head: format_version = 1",
    ),
    "version": (
        sweep(format_version="1"),
        "key 'format_version' (format_version)|'1'|1, the version known|write 1, "
        "without quotes",
    ),
    "newer": (
        sweep(format_version=2),
        "key 'format_version' (format_version)|2|1, the version known|use a newer "
        "capsjax",
    ),
    "unknown-key": (
        sweep(epoch=3),
        f"key 'epoch' (epoch)|unknown key 'epoch'|one of {KNOWN}|did you mean "
        "'epochs'?",
    ),
    "no-axis": (
        {"format_version": 1},
        "key 'over' (over)|no key 'over'|one axis at least|add one, such as "
        "learning_rate = { log = [1e-4, 1e-1], count = 8 }",
    ),
    "empty-over": (
        sweep(over={}),
        "key 'over' (over)|no axis|one axis at least|add one, such as learning_rate = "
        "{ log = [1e-4, 1e-1], count = 8 }",
    ),
    "over": (sweep(over=[1]), f"key 'over' (over)|[1]|an object|{CORRECT}"),
    "no-values": (
        sweep(over={"b1": []}),
        "axis 'b1' (over.b1)|[]|a list of at least 1|add what is missing",
    ),
    "single": (
        sweep(over={"drop.rate": 0.5}),
        f"axis 'drop.rate' (over['drop.rate'])|0.5|{FORMS}|write a list, also of a "
        "single value",
    ),
    "misplaced": (
        sweep(over={"b1": [1], "epochs": 3}),
        f"axis 'epochs' (over.epochs)|3|{FORMS}|{ABOVE}",
    ),
    "no-quotes": (
        sweep(over={"drop": {"rate": {"linear": [0, 1], "count": 2}}}),
        f"axis 'drop' (over.drop)|an object with 'rate'|{FORMS}|a name with dots is "
        'written in quotes: "drop.rate"',
    ),
    "near-form": (
        sweep(over={"b1": {"lgo": [1, 2], "count": 2}}),
        f"axis 'b1' (over.b1)|an object with 'lgo', 'count'|{FORMS}|did you mean "
        "'log'?",
    ),
    "no-form": (
        sweep(over={"b1": {}}),
        f"axis 'b1' (over.b1)|an object with nothing|{FORMS}|name one of them",
    ),
    "two-forms": (
        sweep(over={"b1": {"values": [1], "uniform": [0, 1]}}, samples=2),
        "axis 'b1', uniform (over.b1.uniform)|unknown key 'uniform'|one of values, "
        "when|leave one of them: an axis has one form",
    ),
    "axis-key": (
        sweep(over={"b1": {"log": [1, 2], "count": 2, "coutn": 2}}),
        "axis 'b1', coutn (over.b1.coutn)|unknown key 'coutn'|one of log, count, when|"
        "did you mean 'count'?",
    ),
    "no-count": (
        sweep(over={"b1": {"log": [1, 2]}}),
        "axis 'b1', count (over.b1.count)|no key 'count'|the key 'count'|add it: how "
        "many values, both ends among them",
    ),
    "real-count": (
        sweep(over={"b1": {"log": [1, 2], "count": 2.0}}),
        "axis 'b1', count (over.b1.count)|2.0|an integer|write 2",
    ),
    "text-count": (
        sweep(over={"b1": {"log": [1, 2], "count": "2"}}),
        "axis 'b1', count (over.b1.count)|'2'|an integer|write 2, without quotes",
    ),
    "no-pair": (
        sweep(over={"b1": {"linear": [1], "count": 2}}),
        "axis 'b1', linear (over.b1.linear)|[1]|the least and the largest value, [low, "
        "high]|write two numbers",
    ),
    "text-end": (
        sweep(over={"b1": {"uniform": [0, "x"]}}, samples=2),
        f"axis 'b1', uniform[1] (over.b1.uniform[1])|'x'|a number|{CORRECT}",
    ),
    "downward": (
        sweep(over={"b1": {"uniform": [1, 0]}}, samples=2),
        "axis 'b1', uniform (over.b1.uniform)|[1, 0]|the least value, then a larger|"
        "write [0, 1]",
    ),
    "point": (
        sweep(over={"b1": {"integers": [1, 1]}}, samples=2),
        "axis 'b1', integers (over.b1.integers)|[1, 1]|the least value, then a larger|"
        "for this value alone, write the list [1]",
    ),
    "logarithm": (
        sweep(over={"b1": {"log": [0, 1], "count": 2}}),
        "axis 'b1', log (over.b1.log)|[0, 1]|numbers above zero, which have logarithms|"
        "correct the ends",
    ),
    "unequal": (
        sweep(zip=[{"b1": [1, 2], "b2": [1]}]),
        "zip number 1 (zip[0])|2 of b1, 1 of b2|as many values of each: the first "
        "belongs to the first, ...|add what is missing, or leave some out",
    ),
    "one-column": (
        sweep(zip=[{"b1": [1, 2]}]),
        "zip number 1 (zip[0])|'b1'|two axes at least, swept together|add another, or "
        "move it to [over]",
    ),
    "column": (
        sweep(zip=[{"b1": [1], "b2": 3}]),
        f"zip number 1, b2 (zip[0].b2)|3|a list|{CORRECT}",
    ),
    "column-misplaced": (
        sweep(zip=[{"b1": [1], "b2": [3], "epochs": 3}]),
        f"zip number 1, epochs (zip[0].epochs)|3|a list|{ABOVE}",
    ),
    "axis-twice": (
        sweep(zip=[{"learning_rate": [1], "b2": [3]}]),
        "zip number 1, learning_rate (zip[0].learning_rate)|the axis 'learning_rate' a "
        "second time|each axis once|leave one of them",
    ),
    "condition": (
        sweep(over={"b1": [1], "b2": {"values": [1], "when": {"b": 1}}}),
        "axis 'b2', when.b (over.b2.when.b)|'b'|the name of another axis|did you mean "
        "'b1'?",
    ),
    "condition-itself": (
        sweep(zip=[{"b1": [1], "b2": [3], "when": {"b1": 1}}]),
        "zip number 1, when.b1 (zip[0].when.b1)|'b1'|the name of another axis|name "
        "another axis",
    ),
    "condition-value": (
        sweep(
            over={
                "optimizer": ["sgd", "adam"],
                "momentum": {"values": [1], "when": {"optimizer": "sdg"}},
            }
        ),
        "axis 'momentum', when.optimizer (over.momentum.when.optimizer)|'sdg'|a value "
        "of this axis: 'sgd', 'adam'|did you mean 'sgd'?",
    ),
    "circle": (
        sweep(
            over={
                "b1": {"values": [1], "when": {"b2": 1}},
                "b2": {"values": [1], "when": {"b1": 1}},
            }
        ),
        "key 'over' (over)|the conditions of 'b1', 'b2' ask for each other|an order "
        "among them|leave out one of the conditions",
    ),
    "both-lengths": (
        sweep(epochs=2, steps=3),
        "key 'steps' (steps)|epochs = 2 and steps = 3|one of them|remove one of them",
    ),
    "no-samples": (
        sweep(over={"b1": {"uniform": [0, 1]}}),
        "key 'samples' (samples)|no key 'samples', with 'b1' to draw from|how many "
        "points to draw|add samples = 64",
    ),
    "samples": (
        sweep(samples=4),
        "key 'samples' (samples)|samples = 4 without one|an axis to draw from, with "
        "one of uniform, log_uniform, integers, log_integers, choice|remove it, or add "
        "one",
    ),
    "proposed": (
        sweep(samples=4, search="bayesian"),
        "key 'samples' (samples)|samples = 4 beside a Bayesian search|no samples: the "
        "search proposes|remove it; search.trials says how many settings are tried",
    ),
    "said-twice": (
        sweep(over={"batch_size": [8]}, batch_size=8),
        "key 'batch_size' (batch_size)|batch_size = 8 beside the axis 'batch_size'|one "
        "of them|remove one of them",
    ),
    "seeds-twice": (
        sweep(over={"seed": [8]}, seeds=2),
        "key 'seeds' (seeds)|seeds = 2 beside the axis 'seed'|one of them|remove one "
        "of them",
    ),
    "seed-twice": (
        sweep(seeds=[1, 0, 1]),
        "key 'seeds' (seeds)|1 twice|each seed once|leave one of them",
    ),
    "seeds": (
        sweep(seeds=0.5),
        f"key 'seeds' (seeds)|0.5|an integer or a list|{CORRECT}",
    ),
    "seed": (
        sweep(seeds=[0, "1"]),
        "key 'seeds', [1] (seeds[1])|'1'|an integer|write 1, without quotes",
    ),
    "strategy": (
        sweep(strategy="vmpa"),
        "key 'strategy' (strategy)|'vmpa'|an integer or 'loop' or 'vmap'|did you mean "
        "'vmap'?",
    ),
    "keep": (
        sweep(keep=-1),
        "key 'keep' (keep)|-1|a number of at least 0 or 'all'|correct the value",
    ),
    "memory": (
        sweep(memory_limit="2 gigs"),
        "key 'memory_limit' (memory_limit)|'2 gigs'|an integer or a number of bytes, "
        'or text such as "2GiB"|correct the value',
    ),
    "dtype": (
        sweep(dtype="bfloat"),
        "key 'dtype' (dtype)|'bfloat'|'bfloat16', 'float16', 'float32' or 'float64'|"
        "did you mean 'bfloat16'?",
    ),
    "metric": (sweep(metric=3), f"key 'metric' (metric)|3|text|{CORRECT}"),
    "search-name": (
        sweep(search="halvin"),
        "key 'search' (search)|'halvin'|'halving', 'population' or 'bayesian'|did you "
        "mean 'halving'?",
    ),
    "search-kind": (
        sweep(search={"kind": "bayes"}),
        "key 'search', kind (search.kind)|unknown kind 'bayes'|one of halving, "
        "population, bayesian|did you mean 'bayesian'?",
    ),
    "no-search-kind": (
        sweep(search={"eta": 3}),
        "key 'search', kind (search.kind)|no kind, in {'eta': 3}|one of halving, "
        "population, bayesian|name the kind",
    ),
    "search": (
        sweep(search=3),
        "key 'search' (search)|3|one of halving, population, bayesian|name it, or "
        "leave it out",
    ),
    "search-key": (
        sweep(search={"kind": "halving", "eat": 3}),
        "key 'search', eat (search.eat)|unknown key 'eat'|one of kind, eta, rungs|did "
        "you mean 'eta'?",
    ),
    "search-misplaced": (
        sweep(search={"kind": "halving", "epochs": 3}),
        "key 'search', epochs (search.epochs)|unknown key 'epochs'|one of kind, eta, "
        f"rungs|{ABOVE}",
    ),
    "search-range": (
        sweep(search={"kind": "population", "share": 0.6}),
        "key 'search', share (search.share)|0.6|a number of at most 0.5|correct the "
        "value",
    ),
    "optimizer": (
        sweep(optimizer=3),
        f"key 'optimizer' (optimizer)|3|text or an object|{CORRECT}",
    ),
    "optimizer-setting": (
        sweep(optimizer={"kind": "sgd", "momentm": 0.9}),
        "key 'optimizer', momentm (optimizer.momentm)|unknown setting 'momentm'|some "
        "of momentum, nesterov, clip_norm, clip_value, accumulate, learning_rate|did "
        "you mean 'momentum'?",
    ),
    "optimizer-value": (
        sweep(over={"optimizer": {"values": [{"kind": "sgd", "momentum": "x"}]}}),
        "axis 'optimizer', values[0].momentum (over.optimizer.values[0].momentum)|'x'|"
        f"a number, or null|{CORRECT}",
    ),
    "optimizer-list": (
        sweep(over={"optimizer": ["sgd", 3]}),
        "axis 'optimizer', [1] (over.optimizer[1])|3|the name of an optimizer, or an "
        'object, { kind = "adamw" }|name one',
    ),
    "optimizer-misplaced": (
        sweep(optimizer={"kind": "sgd", "epochs": 9}),
        "key 'optimizer', epochs (optimizer.epochs)|unknown setting 'epochs'|some of "
        f"momentum, nesterov, clip_norm, clip_value, accumulate, learning_rate|{ABOVE}",
    ),
    "no-rate": (
        sweep(optimizer={"kind": "sgd", "learning_rate": None}),
        "key 'optimizer', learning_rate (optimizer.learning_rate)|None|a number or a "
        'schedule, such as {"kind": "cosine", "peak": 0.1, "steps": 500}|correct the '
        "value",
    ),
    "schedule": (
        sweep(optimizer={"kind": "sgd", "learning_rate": {"kind": "cosin"}}),
        "key 'optimizer', learning_rate.kind (optimizer.learning_rate.kind)|unknown "
        "kind 'cosin'|one of constant, cosine, exponential, linear, one_cycle, "
        "piecewise, staircase, warmup_linear|did you mean 'cosine'?",
    ),
    "schedule-setting": (
        sweep(optimizer={"kind": "sgd", "learning_rate": {"kind": "constant"}}),
        "key 'optimizer', learning_rate.value (optimizer.learning_rate.value)|no key "
        "'value'|the key 'value'|add it",
    ),
    "twice-in-json": (
        '{"format_version": 1, "over": {"b1": [1], "b1": [2]}}',
        "key 'b1' (over.b1)|it stands 2 times in one object|each key once|remove all "
        "but one: the others would be lost silently",
    ),
    "date": (
        "format_version = 1\nover.b1 = [1, 2024-01-01]",
        "axis 'b1', [1] (over.b1[1])|datetime.date(2024, 1, 1)|JSON data: an object, a "
        "list, text, a number, true, false or null|replace the value",
    ),
    "nan": (
        "format_version = 1\nover.b1 = [nan]",
        "axis 'b1', [0] (over.b1[0])|nan|a finite number|replace the value",
    ),
}


@pytest.mark.parametrize(("document", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_said_with_its_place_and_its_cure(document, problem):
    assert refused(document) == [problem]


def test_an_unknown_optimizer_offers_the_nearest():
    (problem,) = refused(sweep(optimizer="adamm"))
    assert problem.startswith("key 'optimizer' (optimizer)|unknown kind 'adamm'|one of")
    assert problem.endswith("|did you mean 'adam'?")
    (problem,) = refused(sweep(over={"optimizer": [{"kin": "sgd"}]}))
    assert problem.startswith(
        "axis 'optimizer', [0].kind (over.optimizer[0].kind)|no key 'kind'|one of adab"
    )


def test_all_faults_are_said_at_once_in_the_order_of_the_document():
    document = {
        "epoch": 3,
        "zip": [{"b1": [1, 2], "b2": [1]}, {"a": 3}],
        "seeds": [0, "a", 0],
        "over": {"b3": {"log": [0, 1]}, "b4": 3, "drop.rate": {"uniform": [1, 0]}},
        "search": {"kind": "halving", "eta": 1},
    }
    heads = [problem.partition("|")[0] for problem in refused(document)]
    places = [head.partition(" (")[2] for head in heads]
    assert places == [
        *("epoch)", "zip[0])", "zip[1])", "zip[1].a)", "seeds)", "seeds[1])"),
        *("over.b3.log)", "over.b3.count)", "over.b4)", "over['drop.rate'].uniform)"),
        *("search.eta)", "format_version)", "samples)"),
    ]


def test_float64_needs_64_bits(x64):
    import jax

    document = read(sweep(dtype="float64"))
    assert document.arguments()["precision"].compute == "float64"
    with jax.enable_x64(False), pytest.raises(ValueError, match="64-bit mode"):
        document.arguments()


SOUND = [
    sweep(),
    sweep(zip=[{"b1": [1, 2], "b2": [1, 2]}], seeds=[0, 1], keep="all"),
    sweep(
        over={
            "optimizer": ["sgd", {"kind": "adam", "learning_rate": 0.1}],
            "momentum": {"values": [0.5], "when": {"optimizer": "sgd"}},
            "b1": {"log_uniform": [0.1, 0.9]},
            "h.features": {"log_integers": [1, 64]},
            "h.cap": {"choice": ["relu", "tanh"]},
            "digit.loss.weight": {"linear": [0, 1], "count": 4},
        },
        samples=3,
        epochs=2,
        search={"kind": "population", "factors": [0.5, 2]},
        memory_limit="2GiB",
    ),
    sweep(
        optimizer={
            "kind": "adamw",
            "learning_rate": {"kind": "cosine", "peak": 0.1, "steps": 500},
        },
        steps=90,
        strategy=8,
        search={"kind": "bayesian", "trials": 4},
    ),
]


def test_the_schema_holds_for_what_is_sound_and_not_for_what_is_not():
    schema = cj.SweepDocument.json_schema()
    validator = jsonschema_rs.validator_for(schema)
    for document in SOUND:
        read(document)
        assert validator.is_valid(document)
    # What types can't say, no schema says.
    names = ("version", "unknown-key", "over", "no-values", "single", "no-form")
    names += ("two-forms", "no-count", "no-pair", "text-end", "column", "search-name")
    names += ("search-key", "search-range", "memory", "dtype", "metric", "strategy")
    for name in names:
        assert not validator.is_valid(FAULTS[name][0]), name


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(enumerate(value)) if isinstance(value, list) else []
    inner = list(value.items()) if isinstance(value, dict) else inner
    found = [path]
    for step, each in inner:
        found += _places(each, (*path, step))
    return found


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
WORDS = st.sampled_from([*KEYS, "log", "count", "when", "kind", "values", "sgd", "all"])
ANYTHING = st.recursive(
    SCALARS | WORDS | st.sampled_from([10**400, -1, 0, 0.5, 1e300]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(data=st.data())
def test_changed_documents_load_or_are_refused(data):
    document = copy.deepcopy(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(1, 3))):
        if len(_places(document)) < 2:
            break
        path = data.draw(st.sampled_from(_places(document)[1:]))
        there: Any = document
        for step in path[:-1]:
            there = there[step]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del there[path[-1]]
        elif action == "add" and isinstance(there, dict):
            there[data.draw(WORDS | st.text(max_size=3))] = data.draw(ANYTHING)
        else:
            there[path[-1]] = data.draw(ANYTHING)
    text = json.dumps(document)
    try:
        arguments = cj.parse_sweep(text).arguments()
    except cj.SweepError as error:
        assert str(error) and all(each.cure for each in error.problems)
        return
    # What was loaded, a sweep can begin with.
    for axis in space_of(arguments["over"]).ranges.values():
        axis.at(0.5)
    optimizer_of(arguments.get("optimizer"))


def test_the_example_of_the_documentation_is_sound():
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        assert cj.parse_sweep(block).arguments()["over"]
