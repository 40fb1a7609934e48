"""Schedules, without JAX: each edge once, sources before readers, padding harmless."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsjax.compiler.groups import GroupProgram
from capsjax.compiler.groups import schedule as constants
from capsjax.compiler.groups.layout import schedule
from capsjax.compiler.groups.schedule import Dense, Schedule, Sweep, TileKind
from capsjax.neural import NeuralNetwork, network
from tests.compiler.random_networks import (
    LIMITS,
    PRODUCTS,
    TREES,
    limits,
    networks,
    of_shape,
)
from tests.helpers_capsjax import examples
from tests.neural.helpers_layers import perceptron

every_limit = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)


def program_of(net: NeuralNetwork) -> GroupProgram:
    return GroupProgram.of(net.typed().groups[0])


def run(found: Schedule, inputs: np.ndarray, weights: np.ndarray, ends: Any):
    """Executes a schedule by plain loops: `ends(which, sums, labels)` ends rows.

    What has not been computed yet is NaN, so a row that reads it is NaN, too.
    """
    buffer = np.full(found.rows, np.nan)
    buffer[0] = 0
    buffer[1 : 1 + len(inputs)] = inputs
    weights = np.append(weights, 0.0)
    for stage, tables in zip(found.stages, found.tables, strict=True):
        if isinstance(stage, Dense):
            sums = weights[tables["block"]] @ buffer[tables["reads"]]
            rows = slice(stage.start, stage.start + stage.rows)
            assert np.isnan(buffer[rows]).all()
            buffer[rows] = ends(stage.finish, sums, tables["label"])
            continue
        steps = zip(tables["kind"], tables["index"], tables["start"], strict=True)
        for kind, index, start in steps:
            reads, weighted, finish = stage.kinds[kind]
            sources = tables[f"sources{kind}"][index]
            assert sources.shape == (reads, stage.rows)
            terms = buffer[sources]
            if weighted:
                terms = terms * weights[tables[f"weights{kind}"][index]]
            labels = tables[f"label{kind}"][index] if finish >= 0 else None
            rows = slice(start, start + stage.rows)
            assert np.isnan(buffer[rows]).all()
            buffer[rows] = ends(finish, terms.sum(axis=0), labels)
    return buffer


def entries(found: Schedule) -> np.ndarray:
    """Which weights stand in the tables, padding among them."""
    tables = [
        table[name].ravel()
        for table in found.tables
        for name in table
        if name.startswith(("weights", "block"))
    ]
    return np.concatenate(tables)


def kinds_of(found: Schedule) -> set[TileKind]:
    tiles = [stage for stage in found.stages if not isinstance(stage, Dense)]
    return {kind for stage in tiles for kind in stage.kinds}


@every_limit
@examples(20)
@given(net=networks(most=60))
def test_forward_is_the_sum_of_weighted_sources(limit, net):
    """Executed, a schedule gives what the network's definition does."""
    with limits(**limit):
        found = program_of(net).forward_sweep
    size = len(net.inputs)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=size)
    assert net.weights is not None and net.biases is not None
    biases = np.append(net.biases, 0.0)

    def ends(which, sums, labels):
        return sums if which < 0 else np.sin(sums + biases[labels] + which)

    buffer = run(found, inputs, net.weights, ends)
    expected = np.append(inputs, np.zeros(len(net.neurons)))
    for node in size + np.argsort(net.levels[size:], kind="stable"):
        into = net.targets == node
        u = net.weights[into] @ expected[net.sources[into]] + net.biases[node - size]
        expected[node] = np.sin(u + net.activation_of[node - size])
    np.testing.assert_allclose(buffer[found.row_of], expected, atol=1e-12)
    assert len(set(found.row_of.tolist())) == len(found.row_of)


@every_limit
@examples(20)
@given(net=networks(most=60))
def test_backward_is_the_transpose(limit, net):
    """Linear ends: `<forward(x), d> = <x, backward(d)>`, for the same weights."""
    with limits(**limit):
        program = program_of(net)
    forward, backward = program.forward_sweep, program.backward_sweep
    size, outputs = len(net.inputs), net.output_neurons
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=size), rng.normal(size=len(outputs))
    assert net.weights is not None

    def plain(which, sums, labels):
        return sums

    y = run(forward, x, net.weights, plain)[forward.row_of]
    signals = run(backward, d, net.weights, plain)[backward.row_of]
    dx = signals[len(outputs) + len(net.neurons) :]
    assert dx.shape == x.shape
    np.testing.assert_allclose(y[outputs] @ d, x @ dx, atol=1e-10)


@every_limit
@examples(20)
@given(net=networks(most=60))
def test_each_edge_once_and_padding_of_nothing(limit, net):
    with limits(**limit):
        program = program_of(net)
    edges = len(net.sources)
    for sweep in (program.forward_sweep, program.backward_sweep):
        weights = entries(sweep)
        counts = np.bincount(weights, minlength=edges + 1)
        np.testing.assert_array_equal(counts[:edges], 1)
        assert sweep.slots >= sweep.edges
        for stage, table in zip(sweep.stages, sweep.tables, strict=True):
            if isinstance(stage, Dense):
                assert table["reads"].min() > 0
                continue
            for number, kind in enumerate(stage.kinds):
                sources = table[f"sources{number}"]
                assert 0 <= sources.min() and sources.max() < sweep.rows
                if kind.weighted:
                    padding = table[f"weights{number}"] == edges
                    np.testing.assert_array_equal(padding, sources == 0)
                if kind.finish >= 0:
                    labels = table[f"label{number}"]
                    assert 0 <= labels.min()
        for table in sweep.tables:
            assert {array.dtype for array in table.values()} == {np.dtype(np.int32)}


@every_limit
@examples(20)
@given(net=networks(most=60))
def test_the_program_is_bounded(limit, net):
    """`MOST_KINDS` of tiles, or one for each way that rows are unlike in."""
    with limits(**limit):
        program = program_of(net)
    values = vars(constants) | limit
    for sweep in (program.forward_sweep, program.backward_sweep):
        kinds = kinds_of(sweep)
        alike = {kind[1:] for kind in kinds}
        assert len(kinds) <= max(values["MOST_KINDS"], len(alike))
        assert all(kind.reads <= values["MOST_READS"] for kind in kinds)
        products = [stage for stage in sweep.stages if isinstance(stage, Dense)]
        assert len(products) <= values["MOST_DENSE"]
        assert len(sweep.stages) <= 2 * len(products) + 2


def test_the_limits_of_tests_meet_every_path():
    """Rows, partial sums, sums of sums, complete and incomplete products."""
    with limits(**TREES):
        program = program_of(of_shape("funnel", 3, 60, ["tanh", "silu"]))
    found = kinds_of(program.forward_sweep) | kinds_of(program.backward_sweep)
    ways = {(kind.weighted, kind.finish < 0) for kind in found}
    assert ways == {(True, False), (True, True), (False, True), (False, False)}
    for shape, gaps in (("layers", {False}), ("nearly layers", {False, True})):
        with limits(**PRODUCTS):
            program = program_of(of_shape(shape, 4, 80, ["tanh"]))
        missing = len(program.group.edge_sources)
        for sweep in (program.forward_sweep, program.backward_sweep):
            blocks = [table["block"] for table in sweep.tables if "block" in table]
            assert len(blocks) == PRODUCTS["MOST_DENSE"]
            assert {bool((block == missing).any()) for block in blocks} <= gaps
            assert any((block == missing).any() for block in blocks) == (True in gaps)


@pytest.mark.parametrize("reads, depth", [(16, 1), (17, 2), (256, 2), (257, 3)])
def test_many_sources_make_a_tree_of_sums(reads, depth):
    net = network(reads, 1, np.arange(reads), np.full(reads, reads))
    forward = program_of(net).forward_sweep
    assert _depth(forward) == depth


@pytest.mark.parametrize("sizes", [(50, 50), (300, 10), (3, 1000), (50, 50, 50)])
def test_layers_of_a_perceptron_are_matrix_products(sizes):
    """Nothing else is left to a sweep of outputs."""
    forward = program_of(perceptron(list(sizes))).forward_sweep
    products = [stage for stage in forward.stages if isinstance(stage, Dense)]
    assert (len(products) == len(forward.stages)) == (min(sizes[:-1]) >= 16)


def _depth(found: Schedule) -> int:
    """The longest path through rows, inputs not counted."""
    depth = np.zeros(found.rows, int)
    for stage, table in zip(found.stages, found.tables, strict=True):
        assert not isinstance(stage, Dense)
        for kind, index, start in zip(
            table["kind"], table["index"], table["start"], strict=True
        ):
            sources = table[f"sources{kind}"][index]
            depth[start : start + stage.rows] = 1 + depth[sources].max(axis=0)
    return int(depth[found.row_of].max())


@examples(20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(LIMITS.values())))
def test_edges_that_come_twice(seed, limit):
    """Capsules may read a source twice: both weights count, in products, too."""
    rng = np.random.default_rng(seed)
    given, computed = int(rng.integers(1, 4)), int(rng.integers(1, 8))
    targets = np.repeat(np.arange(computed), rng.integers(1, 9, computed))
    sources = np.array([rng.integers(0, given + t) for t in targets])
    level = np.zeros(computed, int)
    for t, z in sorted(zip(targets.tolist(), sources.tolist(), strict=True)):
        level[t] = max(level[t], 1 + (level[z - given] if z >= given else 0))
    sweep = Sweep(
        given=given,
        level=level,
        sources=sources,
        targets=targets,
        weights=np.arange(len(sources)),
        seeds=np.zeros(0, np.int64),
        seeded=np.zeros(0, np.int64),
        finish=np.zeros(computed, np.int64),
        label=np.arange(computed),
        no_label=computed,
        no_weight=len(sources),
        last=int(level.max()) + 1,
        tile_rows=(1, 2),
        dense=True,
    )
    with limits(**limit):
        found = schedule(sweep)
    x, w = rng.normal(size=given), rng.normal(size=len(sources))
    expected = np.append(x, np.zeros(computed))
    for t in np.argsort(level, kind="stable"):
        into = targets == t
        expected[given + t] = w[into] @ expected[sources[into]]
    buffer = run(found, x, w, lambda which, sums, labels: sums)
    np.testing.assert_allclose(buffer[found.row_of], expected, atol=1e-12)


def test_schedules_are_the_same_every_time():
    """The state of one compilation serves another."""
    net = of_shape("any", 5, 200, ["tanh", "silu", "relu"])
    one, other = program_of(net), program_of(net)
    assert one.forward_sweep.stages == other.forward_sweep.stages
    for mine, theirs in zip(
        (*one.forward_sweep.tables, *one.backward_sweep.tables),
        (*other.forward_sweep.tables, *other.backward_sweep.tables),
        strict=True,
    ):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])
