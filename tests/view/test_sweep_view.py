"""Pictures of a sweep: what stands where, what is said of it, and what is refused."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, to_hex

import capsjax as cj
from capsjax.view.style import DISTINCT, GRAY, RED
from capsjax.view.sweep.values import scale_of, spacing

NAN = math.nan


@dataclasses.dataclass
class Result:
    """What a sweep returns, as far as pictures read it."""

    table: Any
    history: Any
    axes: tuple[str, ...]
    metric: str = "validation_accuracy"
    maximize: bool = True


def result_of(table: Any, axes, score, diverged=(), steps=4, **more) -> Result:
    """A result with these scores, reached along straight lines from 0."""
    count = len(table)
    table = table.assign(status="done", epoch=1, steps=steps)
    if "seed" not in table:
        table["seed"] = 0
    table.loc[list(diverged), "status"] = "diverged"
    score = np.asarray(score, float).copy()
    rows = [
        (member, step / 2, step, value)
        for member, step in itertools.product(range(count), range(1, steps + 1))
        for value in [score[member] * step / steps]
    ]
    score[list(diverged)] = NAN
    name = more.get("metric", "validation_accuracy")
    table[name] = score
    table.index.name = "member"
    history = pd.DataFrame(rows, columns=["member", "epoch", "step", name])
    return Result(table, history, tuple(axes), **more)


def grid(diverged=(), **more) -> Result:
    """3 learning rates, 2 caps, 2 seeds; the score is 0.1, 0.11 ... 0.21."""
    rows = list(itertools.product([1e-3, 1e-2, 1e-1], ["relu", "tanh"], [0, 1]))
    table = pd.DataFrame(rows, columns=["learning_rate", "cap", "seed"])
    score = 0.1 + 0.01 * np.arange(12)
    return result_of(table, ["learning_rate", "cap"], score, diverged, **more)


def drawn(count: int, **more) -> Result:
    """Values by chance."""
    chance = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "learning_rate": 10 ** chance.uniform(-5, 0, count),
            "drop.rate": chance.uniform(0, 0.5, count),
            "cap": chance.choice(["relu", "tanh", "gelu"], count),
        }
    )
    return result_of(table, list(table), chance.random(count), **more)


def panels(picture) -> list[Any]:
    return picture.figure.axes


def crosses(panel) -> list[tuple[float, float]]:
    marks = [line for line in panel.lines if line.get_marker() == "x"]
    return [tuple(point) for line in marks for point in line.get_xydata()]


def points(panel) -> np.ndarray:
    return next(
        line.get_xydata()
        for line in panel.lines
        if line.get_marker() == "o" and line.get_linestyle() == "None"
    )


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def legend_of(picture) -> list[str]:
    (legend,) = picture.figure.legends
    return [text.get_text() for text in legend.get_texts()]


def is_inside(picture) -> bool:
    """Whether nothing written is cut by the edge of the page."""
    FigureCanvasAgg(picture.figure).draw()
    page = picture.figure.bbox
    boxes = [axes.get_tightbbox() for axes in picture.figure.axes]
    boxes += [legend.get_window_extent() for legend in picture.figure.legends]
    return all(
        page.x0 - 1 <= box.x0
        and box.x1 <= page.x1 + 1
        and page.y0 - 1 <= box.y0
        and box.y1 <= page.y1 + 1
        for box in boxes
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1e-4, 1e-3, 1e-2], "log"),
        ([8, 16, 32], "log"),
        ([1e-4, 1.0], "log"),
        ([0.001, 0.003, 0.01], "log"),
        ([1, 2, 3], "linear"),
        ([0.5, 0.9, 0.99], "linear"),
        ([-1, 1, 100], "linear"),
        ([7], "linear"),
        (np.linspace(0.001, 1, 100), "linear"),  # a wide spread, yet even
        ([0, 1e-4, 1e-3, 1e-2], "categories"),
        ([0, 1, 2, 3], "linear"),
        ([1, 5, math.inf], "categories"),
    ],
)
def test_how_values_are_spaced(values, kind):
    assert spacing(np.array(values, float)) == kind


def test_categories_keep_their_order_and_none_comes_last():
    scale = scale_of("cap", pd.Series(["tanh", None, "relu", "tanh"]))
    assert scale.labels == ("tanh", "relu", "none")
    assert scale.at.tolist() == [0, 2, 1, 0]
    flags = scale_of("norm", pd.Series([True, False, True]))
    assert flags.labels == ("False", "True") and flags.at.tolist() == [1, 0, 1]
    decay = scale_of("decay", pd.Series([1e-2, 0, 1e-4, 1e-3]))
    assert decay.labels == ("0", "0.0001", "0.001", "0.01") and decay.ordered
    nothing = scale_of("nothing", pd.Series([None, None]))
    assert nothing.labels == ("none",)


def test_response_of_an_axis():
    picture = cj.view.response(grid(diverged=[10]), "learning_rate")
    (panel,) = panels(picture)
    assert panel.get_xscale() == "log"
    assert panel.get_xlabel() == "learning_rate"
    assert panel.get_ylabel() == "validation accuracy"
    assert labels(panel.xaxis) == ["0.001", "0.01", "0.1"]
    assert len(points(panel)) == 11
    median = next(line for line in panel.lines if line.get_linestyle() == "-")
    assert np.allclose(median.get_xdata(), [1e-3, 1e-2, 1e-1])
    assert np.allclose(median.get_ydata(), [0.115, 0.155, 0.19])
    (band,) = panel.collections
    low, high = band.get_datalim(panel.transData).intervaly
    assert np.isclose(low, 0.1075) and np.isclose(high, 0.2)
    assert crosses(panel) == [(0.1, 0.03)]
    assert panel.get_title("right") == "1 diverged"
    assert panel.yaxis.get_major_formatter()(0.5) == "50.0%"


def test_response_of_a_loss_has_crosses_above():
    picture = cj.view.response(grid([0], metric="loss", maximize=False), "cap")
    (panel,) = panels(picture)
    assert crosses(panel) == [(0, 0.97)]
    assert labels(panel.xaxis) == ["relu", "tanh"]


def test_response_of_all_axes_and_where_one_does_not_apply():
    table = pd.DataFrame({"rate": [0.1, 0.2, 0.3, 0.4], "momentum": [None, 0.9] * 2})
    picture = cj.view.response(result_of(table, ["rate", "momentum"], [0.1] * 4))
    rate, momentum = panels(picture)
    assert (rate.get_xlabel(), momentum.get_xlabel()) == ("rate", "momentum")
    assert rate.get_title("right") == ""
    assert momentum.get_title("right") == "2 without it"
    assert len(points(rate)) == 4 and len(points(momentum)) == 2


def test_response_to_values_by_chance_is_that_of_neighbors():
    result = drawn(200)
    picture = cj.view.response(result)
    rate, drop, cap = panels(picture)
    assert [each.get_xscale() for each in (rate, drop)] == ["log", "linear"]
    median = next(line for line in rate.lines if line.get_linestyle() == "-")
    assert len(median.get_xdata()) == 12
    sorted_by_rate = result.table.sort_values("learning_rate")
    first = sorted_by_rate["validation_accuracy"].iloc[:17]
    assert np.isclose(median.get_ydata()[0], first.median())
    beside = points(cap)[:, 0]
    assert len(set(beside)) > 100 and np.abs(beside - beside.round()).max() <= 0.15


def test_members_without_a_value_are_counted():
    result = grid(diverged=[0])
    result.table.loc[[1, 2], "validation_accuracy"] = [NAN, math.inf]
    (panel,) = panels(cj.view.response(result, "cap"))
    assert panel.get_title("right") == "1 diverged, 2 without a value"
    assert len(points(panel)) == 9


def test_the_last_value_before_divergence_does_not_count():
    result = grid(diverged=[11])
    result.table.loc[11, "validation_accuracy"] = 100.0
    (panel,) = panels(cj.view.response(result, "cap"))
    assert len(points(panel)) == 11 and points(panel)[:, 1].max() < 0.21


def members_and_lost(picture) -> tuple[Any, Any]:
    """The segments of members, from the worst to the best, and of the diverged."""
    panel = panels(picture)[0]
    lost, members = (c for c in panel.collections if isinstance(c, LineCollection))
    return members, lost


def test_parallel():
    picture = cj.view.parallel(grid(diverged=[0, 1]))
    panel, bar = panels(picture)
    members, lost = members_and_lost(picture)
    segments = np.array(members.get_segments())
    assert segments.shape == (10, 3, 2) and len(lost.get_segments()) == 2
    assert np.allclose(segments[-1], [(0, 1), (1, 1), (2, 1)])  # the best on top
    assert np.allclose(segments[0], [(0, 0), (1, 1), (2, 0)])
    assert np.allclose(segments[2, 0], (0, 0.5))  # 0.01 amid 0.001 and 0.1
    widths = np.array(members.get_linewidths())
    assert widths[-1] > widths[0] == widths[-2]
    assert to_hex(members.get_colors()[-1]) == "#440154"  # the dark end of viridis
    assert to_hex(lost.get_colors()[0]) == GRAY
    assert np.allclose(crosses(panel), [(1.3, 0), (1.3, 0)])
    written = [text.get_text() for text in panel.texts]
    for word in ("learning_rate", "cap", "validation accuracy", "0.001", "2 diverged"):
        assert word in written
    assert bar.get_ylabel() == "validation accuracy"


def test_parallel_puts_what_does_not_apply_below_all():
    table = pd.DataFrame({"a": [1, 2, 3, 4], "momentum": [None, 0.5, 0.9, None]})
    picture = cj.view.parallel(result_of(table, ["a", "momentum"], [1, 2, 3, 4]))
    members, _ = members_and_lost(picture)
    heights = np.array(members.get_segments())[:, 1, 1]
    assert np.allclose(heights, [0, 0.12, 1, 0])
    texts = {t.get_text(): t.get_position() for t in panels(picture)[0].texts}
    assert np.allclose(texts["none"], (0.95, 0)) and np.allclose(texts["0.9"][1], 1)


def test_parallel_ranks_by_the_least_loss():
    picture = cj.view.parallel(grid(metric="loss", maximize=False))
    members, _ = members_and_lost(picture)
    assert np.allclose(members.get_segments()[-1][-1], (2, 0))
    assert to_hex(members.get_colors()[-1]) == "#440154"


def test_parallel_of_many_members_and_many_axes():
    chance = np.random.default_rng(0)
    names = [f"block{i}.attention.projection.features" for i in range(10)]
    table = pd.DataFrame(chance.random((1000, 10)), columns=names)
    picture = cj.view.parallel(result_of(table, names, chance.random(1000)))
    panel = panels(picture)[0]
    members, _ = members_and_lost(picture)
    assert len(members.get_segments()) == 1000
    assert is_inside(picture)
    texts = [
        text for text in panel.texts if text.get_text() and not text.get_rotation()
    ]
    boxes = [text.get_window_extent() for text in texts]
    for a, b in itertools.combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        assert wide < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1


def test_heat_map_of_cells():
    result = grid(diverged=[0, 10, 11])
    result.table = result.table.drop(index=[4, 5])  # no relu at 0.01
    picture = cj.view.heat_map(result, "learning_rate", "cap")
    panel, bar = panels(picture)
    (cells,) = panel.collections
    means = np.ma.filled(cells.get_array(), -1.0)
    assert np.allclose(means, [[0.11, -1, 0.185], [0.125, 0.165, -1]])
    assert labels(panel.xaxis) == ["0.001", "0.01", "0.1"]
    assert labels(panel.yaxis) == ["relu", "tanh"]
    texts = {text.get_text(): text for text in panel.texts}
    assert set(texts) == {"11.0%", "18.5%", "12.5%", "16.5%", "1×", "2×"}
    assert texts["2×"].get_position() == (2, 1) and texts["2×"].get_color() == RED
    assert texts["1×"].get_position() == (0.44, 0.42)
    assert panel.patch.get_hatch() == "////"
    assert panel.get_title("right") == "3 diverged"
    assert bar.get_ylabel() == "validation accuracy"


def test_heat_map_of_many_cells_has_no_numbers():
    rows = list(itertools.product(range(11), range(10)))
    table = pd.DataFrame(rows, columns=["a", "b"])
    result = result_of(table, ["a", "b"], np.linspace(0, 1, 110))
    panel, _ = panels(cj.view.heat_map(result, "a", "b"))
    assert not panel.texts
    result.table = result.table[result.table["a"] < 10]
    panel, _ = panels(cj.view.heat_map(result, "a", "b"))
    assert len(panel.texts) == 100


def test_heat_map_has_a_cell_where_an_axis_does_not_apply():
    table = pd.DataFrame({"cap": ["a", "a", "b"], "momentum": [0.5, 0.9, NAN]})
    result = result_of(table, ["cap", "momentum"], [1, 2, 3], metric="loss")
    panel, _ = panels(cj.view.heat_map(result, "cap", "momentum"))
    assert labels(panel.yaxis) == ["0.5", "0.9", "none"]
    (cells,) = panel.collections
    means = np.ma.filled(cells.get_array(), -1.0)
    assert means.tolist() == [[1, -1], [2, -1], [-1, 3]]


def test_heat_map_of_values_by_chance_has_points():
    result = drawn(60, diverged=[3, 7])
    panel, _ = panels(cj.view.heat_map(result, "learning_rate", "drop.rate"))
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "linear")
    (scatter,) = panel.collections
    best = result.table["validation_accuracy"].idxmax()
    place = result.table.loc[best, ["learning_rate", "drop.rate"]].tolist()
    assert len(scatter.get_offsets()) == 58
    assert np.allclose(scatter.get_offsets()[-1], place)
    assert len(crosses(panel)) == 2
    few = drawn(12)  # few values, but hardly two that meet
    panel, _ = panels(cj.view.heat_map(few, "learning_rate", "drop.rate"))
    assert len(panel.collections[0].get_offsets()) == 12


def test_losses_of_very_different_size_have_logarithmic_colors():
    table = pd.DataFrame({"a": [1, 1, 2, 2], "b": [1, 2, 1, 2]})
    more = {"metric": "loss", "maximize": False}
    result = result_of(table, ["a", "b"], [0.01, 0.1, 1, 100], **more)
    panel, _ = panels(cj.view.heat_map(result, "a", "b"))
    assert isinstance(panel.collections[0].norm, LogNorm)
    (panel,) = panels(cj.view.response(result, "a"))
    assert panel.get_yscale() == "log"


def lines_of(picture):
    return [line for line in panels(picture)[0].lines if line.get_marker() != "x"]


def test_curves_are_means_over_seeds():
    result = grid()
    picture = cj.view.sweep_curves(result)
    panel = panels(picture)[0]
    lines = lines_of(picture)
    assert len(lines) == 6 and len(panel.collections) == 6
    assert lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert np.allclose(lines[0].get_ydata(), 0.105 * np.arange(1, 5) / 4)
    low, high = panel.collections[0].get_datalim(panel.transData).intervaly
    assert np.isclose(low, 0.1 / 4) and np.isclose(high, 0.11)
    entries = [text.replace("\u00a0", " ") for text in legend_of(picture)]
    assert entries[0] == "learning_rate 0.001, cap relu" and len(entries) == 6
    assert len({to_hex(line.get_color()) for line in lines}) == 6
    assert panel.get_title("left") == "validation accuracy"
    assert panel.yaxis.get_major_formatter()(0.5) == "50.0%"


def test_curves_by_an_axis():
    picture = cj.view.sweep_curves(grid(), by="cap")
    assert legend_of(picture) == ["relu", "tanh"]
    colors = [to_hex(line.get_color()) for line in lines_of(picture)]
    assert colors == list(DISTINCT[:2]) * 3
    numbers = cj.view.sweep_curves(grid(), by="learning_rate")
    assert legend_of(numbers) == ["0.001", "0.01", "0.1"]
    colors = [to_hex(line.get_color()) for line in lines_of(numbers)]
    assert colors[0] == colors[1] == "#440154" and len(set(colors)) == 3
    members = cj.view.sweep_curves(grid(), by="seed")
    assert legend_of(members) == ["0", "1"] and len(lines_of(members)) == 12


def test_curves_by_the_only_axis_that_varies():
    table = pd.DataFrame({"rate": [0.1, 0.1, 0.2, None], "cap": "relu"})
    result = result_of(table, ["rate", "cap"], [0.1, 0.2, 0.3, 0.4])
    picture = cj.view.sweep_curves(result)
    (legend,) = picture.figure.legends
    assert legend.get_title().get_text() == "rate"
    assert legend_of(picture) == ["0.1", "0.2", "none"]
    assert to_hex(lines_of(picture)[-1].get_color()) == GRAY


def test_curves_of_members_that_diverged():
    result = grid(diverged=[0, 1])
    history = result.history
    history.loc[history["member"] == 0, "validation_accuracy"] = 1e6
    picture = cj.view.sweep_curves(result)
    panel = panels(picture)[0]
    dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
    assert len(dotted) == 2 and len(lines_of(picture)) == 7
    low, high = panel.get_ylim()
    assert high < 0.25  # not pressed flat
    assert np.allclose(crosses(panel), [(4, high), (4, 0.11)])
    assert panel.get_title("right") == "2 diverged"


def test_best_of_many_curves_are_named():
    result = drawn(60, steps=2)
    ranked = result.table["validation_accuracy"].nlargest(5).index.tolist()
    for by, colors in ((None, 0), ("cap", 3), ("learning_rate", 0)):
        picture = cj.view.sweep_curves(result, by)
        panel = panels(picture)[0]
        entries = legend_of(picture)
        assert len(entries) == colors + 5
        names = [text.split(",")[0] for text in entries[colors:]]
        assert names == [f"{i}: member {m}" for i, m in enumerate(ranked, 1)]
        widths = [line.get_linewidth() for line in lines_of(picture)]
        assert widths == [0.6] * 55 + [2.0] * 5
        assert not panel.collections
        numbers = [text for text in panel.texts if text.get_text()]
        heights = {text.get_text(): text.xy[1] for text in numbers}
        assert sorted(heights, key=lambda each: -heights[each]) == list("12345")
        assert np.diff(sorted(heights.values())).min() >= 0.05 - 1e-9
        assert is_inside(picture)
    bar = panels(picture)[1]
    assert bar.get_ylabel() == "learning_rate" and bar.get_yscale() == "log"


def test_legend_has_no_more_than_twelve_entries():
    table = pd.DataFrame({"kind": [f"kind{i}" for i in range(30)]})
    picture = cj.view.sweep_curves(result_of(table, ["kind"], np.arange(30)), "kind")
    entries = legend_of(picture)
    assert len(entries) == 12 and entries[-2:] == ["kind10", "and 19 more"]


def test_long_names_and_single_values_are_legible():
    long = "block3.attention.projection.drop_out_rate"
    other = "block4.attention.projection.initialization"
    table = pd.DataFrame({long: [0.1] * 6, other: ["orthogonal_with_a_scale_of_2"] * 6})
    table["seed"] = range(6)
    result = result_of(table, [long, other], np.linspace(0.2, 0.3, 6))
    for picture in (
        cj.view.response(result),
        cj.view.parallel(result),
        cj.view.heat_map(result, long, other),
        cj.view.sweep_curves(result),
    ):
        assert is_inside(picture)


def test_seeds_alone():
    table = pd.DataFrame({"seed": [3, 4, 5]})
    for axes in ((), ("seed",)):
        result = result_of(table, axes, [0.1, 0.2, 0.3])
        (panel,) = panels(cj.view.response(result))
        assert panel.get_xlabel() == "seed" and panel.get_xscale() == "linear"
        assert legend_of(cj.view.sweep_curves(result)) == ["3 members"]


DRAWN = [
    lambda result: cj.view.response(result),
    lambda result: cj.view.parallel(result),
    lambda result: cj.view.heat_map(result, "learning_rate", "cap"),
    lambda result: cj.view.sweep_curves(result),
]


@pytest.mark.parametrize("draw", DRAWN)
def test_pictures_are_the_same_each_time_and_change_nothing(draw):
    result = drawn(30, diverged=[4])
    table, history = result.table.copy(), result.history.copy()
    assert draw(result).svg == draw(result).svg
    pd.testing.assert_frame_equal(result.table, table)
    pd.testing.assert_frame_equal(result.history, history)


def refusal(draw, *arguments) -> str:
    with pytest.raises(ValueError) as raised:
        draw(*arguments)
    return str(raised.value)


@pytest.mark.parametrize(
    "draw",
    [
        lambda name: cj.view.response(grid(), name),
        lambda name: cj.view.heat_map(grid(), name, "cap"),
        lambda name: cj.view.heat_map(grid(), "cap", name),
        lambda name: cj.view.sweep_curves(grid(), name),
    ],
)
def test_unknown_axis(draw):
    assert refusal(draw, "learning-rate") == (
        "found the axis 'learning-rate'; expected one of 'learning_rate', 'cap', "
        "'seed'; cure: did you mean 'learning_rate'?"
    )
    assert refusal(draw, "status").endswith(
        "cure: name the axis as the sweep's table does"
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda name: cj.view.response(grid(), metric=name),
        lambda name: cj.view.parallel(grid(), name),
        lambda name: cj.view.heat_map(grid(), "learning_rate", "cap", name),
        lambda name: cj.view.sweep_curves(grid(), metric=name),
    ],
)
def test_unknown_metric(draw):
    assert refusal(draw, "validation_acuracy") == (
        "found the metric 'validation_acuracy'; expected one of 'validation_accuracy'; "
        "cure: did you mean 'validation_accuracy'?"
    )
    assert refusal(draw, "steps").startswith("found the metric 'steps'; expected one")


def test_no_metric_at_all():
    result = grid()
    result.table = result.table.drop(columns="validation_accuracy")
    assert "expected one of none, for there is no column of numbers" in refusal(
        cj.view.parallel, result
    )


def test_the_same_axis_twice():
    assert refusal(cj.view.heat_map, grid(), "cap", "cap") == (
        "found the axis 'cap' twice; expected two axes; cure: take for y another axis, "
        "e.g. 'learning_rate'"
    )
    single = result_of(pd.DataFrame({"a": [1, 2]}), ["a"], [1, 2])
    assert refusal(cj.view.heat_map, single, "a", "a").endswith(
        "cure: take for y another axis, or draw response"
    )


@pytest.mark.parametrize("draw", DRAWN)
def test_no_member(draw):
    result = grid()
    result.table = result.table[:0]
    assert refusal(draw, result) == (
        "found a sweep of 0 members; expected one at least; cure: draw what a sweep "
        "has returned, and rows of it that exist"
    )


@pytest.mark.parametrize("draw", DRAWN[:3])
def test_all_diverged(draw):
    assert refusal(draw, grid(diverged=range(12))) == (
        "found no finite validation_accuracy of 12 members, 12 of them diverged; "
        "expected one at least; cure: draw another metric, or sweep where training is "
        "stable, e.g. smaller learning rates"
    )


def test_curves_of_a_sweep_that_diverged_as_a_whole():
    result = grid(diverged=range(12))
    panel = panels(cj.view.sweep_curves(result))[0]
    assert len(crosses(panel)) == 12 and panel.get_title("right") == "12 diverged"
    result.history["validation_accuracy"] = math.inf
    assert refusal(cj.view.sweep_curves, result) == (
        "found no finite validation_accuracy in the history of 12 members; expected "
        "one at least; cure: draw another metric, or sweep where training is stable, "
        "e.g. smaller learning rates"
    )
