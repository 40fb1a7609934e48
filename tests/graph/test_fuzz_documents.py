"""Whatever a document holds, it compiles or is refused with problems in it."""

import random

from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from bench.fuzz_documents import attempt, document, main
from bench.mutations import random_document
from capsjax.graph import from_document, plain
from tests.graph.spoil import SOUND, assert_reachable, changed
from tests.helpers_capsjax import examples

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([2**31, -1, 0, 10**400, "image", "c1", "SAME", "relu"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "source", "shape", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def paths(value, path=""):
    """Every path below a value, as `changed` takes it."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in steps:
        yield f"{path}{step}"
        if isinstance(inner, dict | list):
            yield from paths(inner, f"{path}{step}.")


def test_spoiled_documents():
    for number in range(examples(300).max_examples):
        outcome = attempt(document(1, number))
        assert outcome.result in ("taken", "refused"), (number, outcome)
        assert outcome.seconds < 5, number


@examples(40)
@given(st.lists(st.tuples(st.sampled_from(list(paths(SOUND))), VALUES), max_size=3))
def test_any_value_anywhere(changes):
    given_document = SOUND
    for change in changes:
        try:
            given_document = (
                changed(change)
                if given_document is SOUND
                else {**given_document, **{change[0].split(".")[0]: change[1]}}
            )
        except (LookupError, TypeError):
            continue
    try:
        cj.compile(from_document(given_document))
    except cj.GraphError as error:
        clean, flawed = plain.clean(given_document)
        for problem in error.problems:
            if problem not in flawed:
                assert_reachable(clean, problem)
        assert len(str(error)) < 100_000


@examples(40)
@given(st.binary(max_size=200))
def test_any_bytes(content):
    assert attempt(content).result == "refused"


def test_random_documents_are_sound():
    for seed in range(examples(60).max_examples):
        cj.compile(from_document(random_document(random.Random(seed))))


def test_the_command_sums_up(capsys):
    assert main(["--count", "20", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("20 documents, seed 3") and " 0 other; slowest" in out
