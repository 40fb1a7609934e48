"""Drawings of neurons: all is drawn, nothing is cut, no two nodes overlap."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, PathPatch, Rectangle

from capsjax.neural import (
    enumerate_growth,
    model,
    network,
    orient,
    random_dag,
    variable,
)
from capsjax.view import draw
from capsjax.view.neural import draw_network, draw_networks
from capsjax.view.neural_figures import figure


def marks(picture):
    """Texts, inputs, circles and arrows of a picture, and where they are, in pixels."""
    FigureCanvasAgg(picture.figure).draw()
    (axes,) = picture.figure.axes
    squares = [p for p in axes.patches if isinstance(p, Rectangle)]
    circles = [p for p in axes.patches if isinstance(p, Circle)]
    arrows = [p for p in axes.patches if isinstance(p, PathPatch)]
    return axes.texts, squares, circles, arrows


def words(picture) -> list[str]:
    (axes,) = picture.figure.axes
    return [text.get_text() for text in axes.texts]


def apart(a, b) -> bool:
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return wide < 1 or high < 1


def check(picture, inputs: int, neurons: int, outputs: int, connections: int) -> None:
    """What is drawn, and that it can be read."""
    texts, squares, circles, arrows = marks(picture)
    nodes = squares + [circle for circle in circles if circle.get_fill()]
    assert len(squares) == inputs and len(nodes) == inputs + neurons
    assert len(circles) == neurons + outputs  # an output has two borders
    assert len(arrows) == connections

    page = picture.figure.bbox
    areas = [node.get_window_extent() for node in nodes]
    letters = [text.get_window_extent() for text in texts]
    lines = [arrow.get_window_extent() for arrow in arrows]
    for area in areas + letters + lines:
        assert page.x0 <= area.x0 and area.x1 <= page.x1
        assert page.y0 <= area.y0 and area.y1 <= page.y1
    for a, b in itertools.combinations(areas, 2):
        assert apart(a, b)
    for a, b in itertools.combinations(letters, 2):
        assert apart(a, b)
    inside = 0
    for letter in letters:
        home = [
            area
            for area in areas
            if area.x0 < letter.x0
            and letter.x1 < area.x1
            and area.y0 < letter.y0
            and letter.y1 < area.y1
        ]
        inside += len(home)
        assert home or all(apart(letter, area) for area in areas)
    assert inside == len(nodes)


@pytest.mark.parametrize(
    ("number", "title", "counts"),
    [
        (3, "Figure 3: the four rules", (15, 9, 6, 17)),
        (4, "Figure 4: the network of 1 input and 1 neuron", (1, 1, 1, 1)),
        (5, "Figure 5: the 3 networks of 1 input and 2 neurons", (3, 6, 4, 7)),
        (6, "Figure 6: the 21 networks of 1 input and 3 neurons", (21, 63, 0, 0)),
        (7, "Figure 7: the 7 networks of 2 inputs and 2 neurons", (14, 14, 0, 0)),
        (8, "Figure 8: convergence of 3 networks", (8, 7, 3, 14)),
    ],
)
def test_figures_of_the_paper(number, title, counts):
    picture = figure(number)
    if number in (6, 7):
        nets = list(enumerate_growth(1, 3) if number == 6 else enumerate_growth(2, 2))
        outputs = sum(len(net.output_neurons) for net in nets)
        connections = sum(len(net.sources) for net in nets)
        counts = (*counts[:2], outputs, connections)
        for i in range(1, len(nets) + 1):
            assert words(picture).count(str(i)) == 1
    check(picture, *counts)
    assert title in words(picture)
    assert "square: input     circle: hidden neuron" in " ".join(words(picture))


def test_a_figure_is_the_same_each_time():
    assert figure(5).svg == figure(5).svg


@pytest.mark.parametrize("number", [2, 9, "3", None])
def test_other_figures_are_refused(number):
    with pytest.raises(
        ValueError, match=f"^figure: found number {number!r}; expected 3"
    ):
        figure(number)


NETS = [
    variable("alone"),
    network(["a long name of an input", "b"], ["h"], [0, 1], [2, 2]),
    random_dag("small_world", inputs=3, neurons=12, degree=4, rewiring=0.3, outputs=2),
    random_dag("levels", inputs=5, neurons=40, levels=4, in_degree=2),
]


@pytest.mark.parametrize("net", NETS, ids=str)
def test_a_network_is_drawn_whole(net):
    outputs = [node for node in net.output_neurons if node >= len(net.inputs)]
    sizes = len(net.inputs), len(net.neurons), len(outputs), len(net.sources)
    picture = draw_network(net)
    check(picture, *sizes)
    assert {str(name) for name in net.names} <= set(words(picture))
    counts = [
        f"{n} {noun}{'s' * (n != 1)}"
        for n, noun in zip(
            sizes[:2] + sizes[3:], ("input", "neuron", "connection"), strict=True
        )
    ]
    assert words(picture)[0] == ", ".join(counts)
    assert words(draw_network(net, "by hand"))[0] == "by hand"


def test_lines_lead_from_sources_to_readers():
    net = orient(nx.DiGraph([("a", "b"), ("a", "c"), ("b", "c"), ("a", "d")]))
    scene = draw_network(net).scene
    boxes = {box.name: box for box in scene.boxes}

    def beside(point, side: int) -> str:
        """The node whose border the point is on, left (-1) or right (1)."""
        (name,) = (
            name
            for name, box in boxes.items()
            if math.hypot(
                point[0] - box.center[0] - side * box.size[0] / 2,
                point[1] - box.center[1],
            )
            < 0.01
        )
        return name

    found = {
        (beside(line.path[0][-1], 1), beside(line.path[-1][-1], -1))
        for line in scene.lines
    }
    assert found == {(line.source, line.target) for line in scene.lines}
    assert found == {(a, b) for a, b, _ in net.W}


def test_many_neurons_are_dots_in_columns():
    net = random_dag("window", inputs=6, neurons=300, in_degree=3, window=60, seed=1)
    scene = draw_network(net).scene
    assert not any(box.rows or box.doubled for box in scene.boxes)
    assert len(scene.lines) == len(net.sources) and "306 " not in words_of(scene)
    centers = np.array([box.center for box in scene.boxes])
    columns = [sorted(set(centers[net.levels == at, 0])) for at in set(net.levels)]
    assert all(len(own) == 1 for own in columns) and columns == sorted(columns)
    apart = np.linalg.norm(centers[:, None] - centers, axis=-1)
    dot = scene.boxes[0].size[0]
    assert apart[np.triu_indices(306, 1)].min() > dot
    assert centers.min() > dot / 2 and (centers + dot / 2 < scene.size).all()
    boxes = scene.box_of
    for line in scene.lines:
        ends = boxes[line.source].center, boxes[line.target].center
        assert (line.path[0][0], line.path[-1][-1]) == ends
    # Ordered as they are named, connections would be longer.
    ranks = np.array(
        [np.sum(net.levels[:i] == own) for i, own in enumerate(net.levels)]
    )
    named = ranks * (centers[:, 1].max() - centers[:, 1].min())
    named /= np.bincount(net.levels).max() - 1
    named -= [named[net.levels == own].mean() for own in net.levels]
    assert length(net, centers[:, 1]) < 0.9 * length(net, named)


def length(net, heights):
    return np.abs(heights[net.sources] - heights[net.targets]).sum()


def words_of(scene):
    return " ".join(text.row.text for text in scene.texts())


def test_small_multiples():
    picture = draw_networks(enumerate_growth(1, 3, up_to_isomorphism=True)[:5], "five")
    assert {"five", "1", "5"} <= set(words(picture)) and "6" not in words(picture)
    assert "3 networks" in words(draw_networks(enumerate_growth(1, 2)))


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="^draw_networks: found no network; expected"):
        draw_networks([])
    large = random_dag("window", inputs=16, neurons=2000, in_degree=2, window=50)
    with pytest.raises(
        ValueError, match="^a drawing of 2,016 nodes and 3,.*at most 1,500"
    ):
        draw_network(large)


def test_a_model_is_drawn_as_its_neurons():
    net = random_dag("window", inputs=3, neurons=20, in_degree=2, window=5)
    (axes,) = draw(model(net, name="wired")).figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert "20 neurons" in texts
    assert f"{len(net.sources)} edges" in texts
