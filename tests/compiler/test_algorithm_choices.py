"""Which algorithm runs where: the records, the choice, and what `explain` says."""

import pytest

import capsjax as cj
from capsjax import algorithms
from capsjax.algorithms import Algorithm, Role, always
from capsjax.caps import dot_product_attention, pooling_algorithms
from capsjax.compiler.choices import operations
from capsjax.graph import to_document
from capsjax.weightings import convolution_algorithms as convolution

ROLES = [
    convolution.FORWARD,
    convolution.INPUT_GRADIENT,
    convolution.WEIGHT_GRADIENT,
    pooling_algorithms.MAX,
    pooling_algorithms.MAX_GRADIENT,
    pooling_algorithms.AVERAGE,
    pooling_algorithms.AVERAGE_GRADIENT,
    dot_product_attention.HEADS,
]


def small():
    x = cj.input("x", (8, 8, 3))
    a = cj.capsule("a", cj.conv(x, 3, (3, 3), padding="SAME"), cap="relu")
    b = cj.capsule("b", cj.conv(a, 3, (3, 3), padding="SAME"), cap="relu")
    up = cj.conv_transpose(b, 2, (2, 2), stride=(2, 2))
    pool = cj.capsule("pool", up, cap=cj.caps.max_pool((2, 2)))
    depthwise = cj.capsule("depthwise", cj.depthwise_conv(pool, (3, 3)))
    return cj.graph(depthwise, name="small")


def lines(graph):
    text = cj.explain(graph, batch_size=2).text
    table = text[text.index("algorithms on") :].split("\n\n")[0]
    return [" ".join(line.split()) for line in table.split("\n")]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_records_have_names_of_their_own_and_the_first_always_applies(role):
    names = [each.name for each in role.algorithms]
    assert len(set(names)) == len(names) > 1
    assert role.algorithms[0].applies is always


def records(*costs):
    def record(name, cost):
        return Algorithm(name, lambda: name, lambda problem: cost >= 0, lambda p: cost)

    return Role("test", tuple(record(f"{i}", cost) for i, cost in enumerate(costs)))


def test_the_cheapest_that_applies_is_chosen(monkeypatch):
    monkeypatch.setattr(algorithms, "_platform", lambda: "cpu")
    role = records(3, -1, 1, 2)
    assert role.choose(None).name == "2"
    assert role.choose(None, "3").name == "3"
    assert role.choose(None, "1").name == "2"  # does not apply
    assert role.choose(None, "unknown").name == "2"


def test_elsewhere_it_is_the_librarys_own(monkeypatch):
    monkeypatch.setattr(algorithms, "_platform", lambda: "tpu")
    assert records(3, 1).choose(None).name == "0"
    assert records(3, 1).choose(None, "1").name == "1"


def test_explain_shows_what_is_chosen_and_equal_operations_once(monkeypatch):
    monkeypatch.setattr(algorithms, "_platform", lambda: "gpu")
    shape = "padding=SAME) on (8, 8, 3)"
    head, _, *rows = lines(small())
    assert head.endswith("for batches of 2:")
    assert rows == [
        f"a and 1 more conv(features=3, window=(3, 3), {shape} lax jax jax",
        "pool conv_transpose(features=2, window=(2, 2), stride=(2, 2)) on (8, 8, 3) "
        "jax lax jax",
        "pool max_pool(window=(2, 2)) on (16, 16, 2) jax jax",
        "depthwise depthwise_conv(window=(3, 3)) on (8, 8, 2) lax jax jax",
    ]


def test_a_network_without_a_choice_says_nothing():
    x = cj.input("x", (3,))
    graph = cj.graph(cj.capsule("h", cj.matmul(x, 2)))
    assert "algorithms on" not in cj.explain(graph).text
    assert (
        "algorithms on" not in cj.explain(cj.compile(small(), backward="autodiff")).text
    )


def test_what_is_asked_for_is_no_setting_but_tells_records_apart():
    kind = small().capsules[0].edges[0].weighting
    asking = kind.asking([("forward", "patches")])
    assert asking != kind
    assert asking == kind.asking([("forward", "patches")])
    assert asking.settings() == kind.settings()
    assert str(asking) == str(kind)
    assert "algorithms" not in str(to_document(small()))


def test_every_kind_passes_on_what_is_asked_for():
    typed = cj.compile(small()).program.typed
    asked = 0
    for _, operation in operations(typed, 2):
        for role, choice in operation.choices.items():
            last = choice.role.applicable(choice.problem)[-1].name
            kind = operation.kind.asking([(role, last)])
            assert operation._replace(kind=kind).chosen[role] == last
            asked += 1
    assert asked == 4 * 3 + 2
