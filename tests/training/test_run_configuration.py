"""Run configurations: what each key means, what is said of faults, the round trip."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from bench.fuzz_documents import attempt, document, main
from bench.mutated_runs import SOUND, TOML
from capsjax.training.checkpoints import Checkpoints
from capsjax.training.configuration import (
    RunConfiguration,
    RunConfigurationError,
    __main__,
    load_run_configuration,
    parse_run_configuration,
    schema_text,
)
from capsjax.training.configuration.form import KEYS
from capsjax.training.documents.reading import MOST_BYTES
from capsjax.training.early_stopping import EarlyStopping

SHIPPED = files("capsjax.training.configuration").joinpath("schema.json")


def run(**keys: Any) -> dict[str, Any]:
    """A sound document with some keys more."""
    return {"format_version": 1, **keys}


def read(document: Any) -> RunConfiguration:
    return parse_run_configuration(json.dumps(document))


def refused(document: Any) -> list[str]:
    """The problems of a document, as text without their numbers."""
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    with pytest.raises(RunConfigurationError) as caught:
        parse_run_configuration(text)
    head = r"run configuration has \d+ problems?:\n1\. "
    assert re.match(head, str(caught.value))
    return [
        re.sub(r"\n +(found|expected|cure): +", "|", str(problem))
        for problem in caught.value.problems
    ]


def test_every_key_stands_in_a_sample():
    assert set().union(*SOUND) == set(KEYS)


@pytest.mark.parametrize("sound", SOUND, ids=["least", "all", "other", "names"])
def test_what_is_declared_is_given_and_no_more(sound):
    configuration = read(sound)
    assert configuration.document == sound
    found = configuration.arguments()
    same = ("epochs", "steps", "batch_size", "seed", "average", "initial_scale")
    for key in (*same, "short_batch", "augment", "guard"):
        assert found.pop(key, None) == sound.get(key)
    parts = {"optimizer", "class_weights", "early_stopping", "checkpoints", "mesh"}
    rules = {"rules"} if "mesh" in sound else set()
    assert set(found) == (parts & set(sound)) | rules


def test_each_table_is_what_python_takes():
    found = read(SOUND[1]).arguments()
    assert found["optimizer"] == {**SOUND[1]["optimizer"], "accumulate": 4}
    assert found["class_weights"] == {0: 1.0, 3: 10.0, 7: 0.0}
    assert found["early_stopping"] == EarlyStopping("loss", 3, 0.01)
    assert found["checkpoints"] == Checkpoints(50, None, 2)
    assert found["mesh"] == {"data": 4, "model": -1}
    assert found["rules"] == SOUND[1]["mesh"]["rules"]
    assert read(SOUND[1]).precision == cj.Precision("bfloat16")
    found = read(SOUND[2]).arguments()
    assert found["class_weights"] == {"digit": "balanced", "other": {0: 2.0}}
    policy = Checkpoints(best="validation_accuracy", maximize=True)
    assert found["checkpoints"] == policy and read(SOUND[2]).precision is None
    found = read(SOUND[3]).arguments()
    assert found == {"optimizer": "lamb", "class_weights": "balanced"}


@pytest.mark.parametrize("metric", ["validation_accuracy", "loss"])
def test_accuracies_are_the_better_the_larger(metric):
    best = read(run(checkpoints={"best": metric})).arguments()["checkpoints"]
    assert best.maximize == (metric != "loss")


@pytest.mark.parametrize("given", [None, "sgd", {"kind": "sgd", "momentum": 0.5}])
def test_accumulation_is_a_setting_of_the_optimizer(given):
    keys = {} if given is None else {"optimizer": given}
    found = read(run(accumulate=3, **keys)).arguments()["optimizer"]
    own = given if isinstance(given, dict) else {"kind": given or "adam"}
    assert found == {**own, "accumulate": 3}


def test_a_network_is_trained_by_it():
    text = """
        format_version = 1
        steps = 4
        batch_size = 8
        seed = 5
        accumulate = 2
        [optimizer]
        kind = "sgd"
        clip_value = 0.1
        learning_rate = { kind = "one_cycle", peak = 0.5, steps = 2 }
    """
    x = cj.input("x", (64,))
    y = cj.capsule("y", cj.matmul(x, 10), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    data = cj.load_data("digits").train
    arrays = {"x": data.inputs[:32].reshape(32, 64), "y": data.targets[:32]}
    arguments = parse_run_configuration(text).arguments()
    found = cj.fit(net, arrays, progress=False, **arguments)
    optimizer = {
        "kind": "sgd",
        "clip_value": 0.1,
        "learning_rate": {"kind": "one_cycle", "peak": 0.5, "steps": 2},
        "accumulate": 2,
    }
    given = {"optimizer": optimizer, "steps": 4, "batch_size": 8, "seed": 5}
    expected = cj.fit(net, arrays, progress=False, **given)
    same = jax.tree.map(
        lambda a, b: bool((a == b).all()), found.params, expected.params
    )
    assert jax.tree.all(same)


def test_toml_and_json_are_read_by_ending_and_by_content(tmp_path):
    text = "format_version = 1\nepochs = 3\n"
    texts = {"a.toml": text, "a.json": json.dumps(run(epochs=3)), "a.txt": text}
    texts["b"] = texts["a.json"]
    for name, content in texts.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
        found = load_run_configuration(tmp_path / name)
        assert found.document == run(epochs=3)
        assert found.source == str(tmp_path / name) and found == read(run(epochs=3))
    with pytest.raises(FileNotFoundError):
        load_run_configuration(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("x = 1\n")
    text = r"run configuration '.*bad.toml' has 2 problems:"
    with pytest.raises(RunConfigurationError, match=text):
        load_run_configuration(tmp_path / "bad.toml")


def test_the_sample_in_toml_is_sound():
    assert parse_run_configuration(TOML).document["metadata"] == {"when": "2026"}


def test_other_values_of_some_keys():
    first = read(run(steps=90, seed=1))
    found = first.having(steps=None, epochs=3, optimizer={"kind": "sgd"})
    assert found.document == run(seed=1, epochs=3, optimizer={"kind": "sgd"})
    assert RunConfiguration.of(found.document) == found != first
    with pytest.raises(RunConfigurationError, match="epochs = 3 and steps = 90"):
        first.having(epochs=3)


NO_TEXT = {
    "toml": ("a = 1\nb = [1,\nc = 3", r".*\(at line 3, column 1\)\|TOML"),
    "json": ('{"a": 1', r"Expecting ',' delimiter: line 1 column 8 .*\|JSON"),
    "empty": (" \n", r"nothing: the document is empty\|TOML"),
    "utf-8": (b"a\xff", r"byte 0xff at position 1, which is not UTF-8\|TOML or JSON"),
    "deep": ("a = " + "[" * 9999, r".*nested.*\|TOML"),
    "json-deep": ('{"a":' * 9999, r"lists or objects nested too deeply\|JSON"),
    "large": ("#" * (MOST_BYTES + 1), r"more than 16 MiB\|TOML or JSON"),
    "deep-key": ("a" + ".a" * 300_000 + " = 1", r"a key of more than 150 parts\|TOML"),
    "deep-quoted": ('["a"' + " . 'a'" * 200 + "]", r"a key of more than 150.*\|TOML"),
    "digits": ("seed = " + "9" * 5000, r"Exceeds the limit \(4300 digits\).*\|TOML"),
}


@pytest.mark.parametrize(("text", "found"), NO_TEXT.values(), ids=NO_TEXT)
def test_what_is_no_document_says_where(text, found):
    (problem,) = refused(text)
    cure = "correct the document at this place"
    assert re.fullmatch(rf"the document\|{found}\|{cure}", problem)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    path = tmp_path / "run.toml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunConfigurationError, match="more than 16 MiB"):
        load_run_configuration(path)


def test_a_table_that_is_too_deep_is_refused():
    deep: Any = 1
    for _ in range(400):
        deep = {"a": deep}
    (problem,) = refused(run(metadata=deep))
    assert "nested at most 150 deep" in problem


KNOWN = ", ".join(KEYS)
CORRECT = "correct the value"
ABOVE = "write it above all tables: in TOML, what stands below one belongs to it"
FAULTS = {
    "no-version": (
        {"epochs": 1},
        "key 'format_version' (format_version)|no key 'format_version'|the key "
        "'format_version'|add it, at the head: format_version = 1",
    ),
    "newer": (
        {"format_version": 2},
        "key 'format_version' (format_version)|2|1, the version known|use a newer "
        "capsjax",
    ),
    "unknown-key": (
        run(epoch=3),
        f"key 'epoch' (epoch)|unknown key 'epoch'|one of {KNOWN}|did you mean "
        "'epochs'?",
    ),
    "both-lengths": (
        run(epochs=2, steps=3),
        "key 'steps' (steps)|epochs = 2 and steps = 3|one of them|remove one of them",
    ),
    "epochs": (
        run(epochs=0),
        f"key 'epochs' (epochs)|0|a number of at least 1|{CORRECT}",
    ),
    "text": (
        run(batch_size="32"),
        "key 'batch_size' (batch_size)|'32'|an integer|write 32, without quotes",
    ),
    "seed": (
        run(seed=2**31),
        f"key 'seed' (seed)|2147483648|a number of at most 2147483647|{CORRECT}",
    ),
    "optimizer": (
        run(optimizer=3),
        f"key 'optimizer' (optimizer)|3|text or an object|{CORRECT}",
    ),
    "optimizer-setting": (
        run(optimizer={"kind": "sgd", "momentm": 0.9}),
        "key 'optimizer', momentm (optimizer.momentm)|unknown setting 'momentm'|some "
        "of momentum, nesterov, clip_norm, clip_value, accumulate, learning_rate|did "
        "you mean 'momentum'?",
    ),
    "optimizer-misplaced": (
        run(optimizer={"kind": "sgd", "epochs": 9}),
        "key 'optimizer', epochs (optimizer.epochs)|unknown setting 'epochs'|some of "
        f"momentum, nesterov, clip_norm, clip_value, accumulate, learning_rate|{ABOVE}",
    ),
    "accumulate-twice": (
        run(accumulate=2, optimizer={"kind": "sgd", "accumulate": 4}),
        "key 'accumulate' (accumulate)|accumulate = 2 beside 4 of the optimizer|one of "
        "them|remove one of them",
    ),
    "boundaries": (
        run(
            optimizer={
                "kind": "sgd",
                "learning_rate": {
                    "kind": "piecewise",
                    "value": 1,
                    "boundaries": [1, "2"],
                    "factors": 0.1,
                },
            }
        ),
        "key 'optimizer', learning_rate.boundaries (optimizer.learning_rate.boundaries)"
        f"|[1, '2']|a number, or a list of some|{CORRECT}",
    ),
    "factors": (
        run(
            optimizer={
                "kind": "sgd",
                "learning_rate": {
                    "kind": "piecewise",
                    "value": 1,
                    "boundaries": [1, 2],
                    "factors": [0.1],
                },
            }
        ),
        "key 'optimizer', learning_rate (optimizer.learning_rate)|{'boundaries': [1, "
        "2], 'factors': [0.1], 'kind': 'piecewise', 'value': 1}|as many of both, or "
        f"one factor for all|{CORRECT}",
    ),
    "average": (
        run(average=1),
        f"key 'average' (average)|1|a number below 1.0|{CORRECT}",
    ),
    "short-batch": (
        run(short_batch="pad"),
        f"key 'short_batch' (short_batch)|'pad'|'drop' or 'mask'|{CORRECT}",
    ),
    "guard": (
        run(guard="rol back"),
        "key 'guard' (guard)|'rol back'|'off', 'stop', 'skip' or 'roll back'|did you "
        "mean 'roll back'?",
    ),
    "dtype": (
        run(dtype="float"),
        "key 'dtype' (dtype)|'float'|'bfloat16', 'float16', 'float32' or 'float64'|did "
        "you mean 'float64'?",
    ),
    "classes": (
        run(class_weights="balance"),
        "key 'class_weights' (class_weights)|'balance'|'balanced' or an object|did you "
        "mean 'balanced'?",
    ),
    "class": (
        run(class_weights={"one": 1.0}),
        "key 'class_weights', one (class_weights.one)|'one'|the number of a class|"
        "write the number, from 0 on; for an output, a table or 'balanced'",
    ),
    "class-weight": (
        run(class_weights={"1": -1}),
        "key 'class_weights', 1 (class_weights.1)|-1|a number of at least 0.0 or "
        f"'balanced' or an object|{CORRECT}",
    ),
    "class-of-output": (
        run(class_weights={"digit": {"1": "x"}}),
        f"key 'class_weights', digit.1 (class_weights.digit.1)|'x'|a number|{CORRECT}",
    ),
    "class-zeros": (
        run(class_weights={"1": 0, "2": 0.0}),
        "key 'class_weights' (class_weights)|only zeros|a weight above zero|correct "
        "them, or leave them out",
    ),
    "no-class": (
        run(class_weights={}),
        "key 'class_weights' (class_weights)|no weight|a weight above zero|correct "
        "them, or leave them out",
    ),
    "augment": (
        run(augment={"kind": "flip"}),
        f"key 'augment' (augment)|{{'kind': 'flip'}}|a list|{CORRECT}",
    ),
    "augment-kind": (
        run(augment=[{"kind": "flip"}, {"pixels": 2}]),
        "augmentation number 2, kind (augment[1].kind)|no key 'kind'|the name of an "
        'augmentation|name the kind, { kind = "shift", pixels = 2 }',
    ),
    "augment-misplaced": (
        run(augment=[{"kind": "flip", "epochs": 3}]),
        "augmentation number 1, epochs (augment[0].epochs)|unknown setting 'epochs'|"
        f"settings of the augmentation|{ABOVE}",
    ),
    "patience": (
        run(early_stopping={"patience": 0}),
        "key 'early_stopping', patience (early_stopping.patience)|0|a number of at "
        f"least 1|{CORRECT}",
    ),
    "early-stopping-key": (
        run(early_stopping={"patiense": 1}),
        "key 'early_stopping', patiense (early_stopping.patiense)|unknown key "
        "'patiense'|one of monitor, patience, min_delta, maximize|did you mean "
        "'patience'?",
    ),
    "table-misplaced": (
        run(early_stopping={"epochs": 1}),
        "key 'early_stopping', epochs (early_stopping.epochs)|unknown key 'epochs'|one "
        f"of monitor, patience, min_delta, maximize|{ABOVE}",
    ),
    "checkpoints": (
        run(checkpoints={"every_seconds": 0}),
        "key 'checkpoints', every_seconds (checkpoints.every_seconds)|0|a number above "
        f"0.0|{CORRECT}",
    ),
    "no-best": (
        run(checkpoints={"maximize": True}),
        "key 'checkpoints', maximize (checkpoints.maximize)|maximize = True without "
        'best|the metric that is meant, best = "validation_accuracy"|add it, or remove '
        "this",
    ),
    "no-axes": (
        run(mesh={}),
        "key 'mesh', axes (mesh.axes)|no key 'axes'|the key 'axes'|add it, such as "
        "axes = { data = -1 }",
    ),
    "no-axis": (
        run(mesh={"axes": {}}),
        "key 'mesh', axes (mesh.axes)|no axis|one axis at least|add data = -1",
    ),
    "size": (
        run(mesh={"axes": {"data": 0}}),
        "key 'mesh', axes.data (mesh.axes.data)|0|a number of at least 1 or -1|"
        f"{CORRECT}",
    ),
    "sizes": (
        run(mesh={"axes": {"data": -1, "model": -1}}),
        "key 'mesh', axes (mesh.axes)|-1 for 'data', 'model'|-1 for one at most|write "
        "the others",
    ),
    "rule": (
        run(mesh={"axes": {"data": 2, "model": 2}, "rules": {"out": "modell"}}),
        "key 'mesh', rules.out (mesh.rules.out)|'modell'|an axis of the mesh: 'data', "
        "'model'|did you mean 'model'?",
    ),
    "rule-of-several": (
        run(mesh={"axes": {"data": 2}, "rules": {"out": ["data", 3]}}),
        f"key 'mesh', rules.out[1] (mesh.rules.out[1])|3|text|{CORRECT}",
    ),
    "metadata": (
        run(metadata=[1]),
        f"key 'metadata' (metadata)|[1]|an object|{CORRECT}",
    ),
    "twice-in-json": (
        '{"format_version": 1, "epochs": 1, "epochs": 2}',
        "key 'epochs' (epochs)|it stands 2 times in one object|each key once|remove "
        "all but one: the others would be lost silently",
    ),
    "date": (
        "format_version = 1\nmetadata.when = 2024-01-01",
        "key 'metadata', when (metadata.when)|datetime.date(2024, 1, 1)|JSON data: an "
        "object, a list, text, a number, true, false or null|replace the value",
    ),
    "nan": (
        "format_version = 1\noptimizer = { kind = 'sgd', learning_rate = nan }",
        "key 'optimizer', learning_rate (optimizer.learning_rate)|nan|a finite number|"
        "replace the value",
    ),
}


@pytest.mark.parametrize(("document", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_said_with_its_place_and_its_cure(document, problem):
    assert refused(document) == [problem]


@pytest.mark.parametrize(
    "declared", [{"kind": "shft"}, {"kind": "shift", "pixel": 2}], ids=str
)
def test_augmentations_are_judged_by_their_registry(declared):
    (problem,) = refused(run(augment=[declared]))
    assert problem.startswith("augmentation number 1 (augment[0])|the ")
    assert "|did you mean '" in problem


def test_all_faults_are_said_at_once_in_the_order_of_the_document():
    document = {
        "epoch": 3,
        "mesh": {"axes": {"data": 0}, "rules": {"a": 1, "b": "c"}, "x": 1},
        "class_weights": {"1": "x", "digit": {"2": None}},
        "optimizer": {"kind": "sgd", "momentum": "x", "learning_rate": {"kind": "c"}},
        "steps": 0.5,
        "epochs": 1,
    }
    heads = [problem.partition("|")[0] for problem in refused(document)]
    assert [head.partition(" (")[2] for head in heads] == [
        *("epoch)", "mesh.axes.data)", "mesh.rules.a)", "mesh.rules.b)", "mesh.x)"),
        *("class_weights.1)", "class_weights.digit.2)", "optimizer.momentum)"),
        *("optimizer.learning_rate.kind)", "steps)", "format_version)"),
    ]


def test_float64_needs_64_bits():
    configuration = read(run(dtype="float64"))
    assert configuration.precision == cj.Precision("float64")
    assert configuration.arguments() == {}
    with jax.enable_x64(False), pytest.raises(ValueError, match="64-bit mode"):
        print(configuration.precision)


def test_the_schema_is_shipped_and_holds():
    assert SHIPPED.read_text("utf-8") == schema_text(), "run `make schema`"
    schema = json.loads(SHIPPED.read_text("utf-8"))
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    for sound in SOUND:
        validator.validate(sound)
    # What types can't say, no schema says.
    names = ("newer", "unknown-key", "epochs", "text", "seed", "optimizer", "average")
    names += ("short-batch", "guard", "dtype", "classes", "class-weight", "augment")
    names += ("patience", "early-stopping-key", "checkpoints", "no-axes", "no-axis")
    for name in (*names, "size", "rule-of-several", "metadata"):
        assert not validator.is_valid(FAULTS[name][0]), name


def test_the_command_writes_the_schema(tmp_path, capsys):
    assert __main__.main([str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text("utf-8") == schema_text()
    assert __main__.main([]) == 2
    assert "usage: python -m capsjax.training.config" in capsys.readouterr().err


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
REALS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | REALS | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=6,
)
COUNTS = st.integers(1, 2**20)
ABOVE_ZERO = st.floats(1e-300, 1e300)
CLASSES = st.dictionaries(st.integers(0, 999).map(str), ABOVE_ZERO, min_size=1)
RUNS = st.fixed_dictionaries(
    {"format_version": st.just(1)},
    optional={
        "epochs": COUNTS,
        "batch_size": COUNTS,
        "seed": st.integers(0, 2**31 - 1),
        "accumulate": COUNTS | st.none(),
        "average": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "initial_scale": ABOVE_ZERO | st.integers(1, 9),
        "optimizer": st.sampled_from(["sgd", SOUND[2]["optimizer"], None])
        | REALS.map(lambda rate: {"kind": "adam", "learning_rate": rate}),
        "dtype": st.sampled_from(["bfloat16", "float64"]),
        "short_batch": st.sampled_from(["drop", "mask"]),
        "guard": st.sampled_from(["off", "stop", "skip", "roll back"]),
        "class_weights": st.just("balanced")
        | CLASSES
        | st.dictionaries(NAMES, st.just("balanced") | CLASSES, min_size=1),
        "early_stopping": st.fixed_dictionaries(
            {},
            optional={
                "monitor": NAMES,
                "patience": COUNTS,
                "min_delta": ABOVE_ZERO,
                "maximize": st.booleans() | st.none(),
            },
        ),
        "checkpoints": st.fixed_dictionaries(
            {"best": NAMES},
            optional={
                "every_steps": COUNTS | st.none(),
                "every_seconds": ABOVE_ZERO | st.none(),
                "keep": COUNTS,
                "maximize": st.booleans(),
            },
        ),
        "mesh": st.builds(
            lambda axes, onto: {"axes": axes, "rules": dict.fromkeys(onto, [*axes])},
            st.dictionaries(NAMES, COUNTS, min_size=1, max_size=3),
            st.lists(NAMES, max_size=3),
        ),
        "metadata": st.dictionaries(NAMES, PLAIN, max_size=3),
    },
)


@given(RUNS)
def test_what_is_saved_is_read_again(declared):
    configuration = read(declared)
    again = read(configuration.document)
    assert again == configuration and again.document == configuration.document
    given = {key: value for key, value in declared.items() if value is not None}
    assert configuration.document == given


@pytest.mark.parametrize("block", range(4))
def test_spoiled_configurations_are_taken_or_refused(block):
    for number in range(500 * block, 500 * (block + 1)):
        outcome = attempt(document(1, number, "run"), "run")
        assert outcome.result in ("taken", "refused"), (number, outcome)
        assert outcome.seconds < 5, number


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content):
    assert attempt(content, "run").result == "refused"


def test_the_command_sums_up(capsys):
    assert main(["--kind", "run", "--count", "20", "--seed", "3"]) == 0
    assert " 0 other; slowest" in capsys.readouterr().out


def test_the_example_in_the_documentation_is_sound():
    text = Path(str(SHIPPED)).with_name("__init__.py").read_text("utf-8")
    example = text.split("plain data.\n\n")[1].split("form      the types")[0]
    lines = [line.removeprefix("    ") for line in example.splitlines()]
    found = parse_run_configuration("\n".join(lines)).arguments()
    assert found["augment"] == [{"kind": "shift", "pixels": 2}]
