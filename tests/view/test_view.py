"""Pictures and tables: nothing cut, nothing overlapping, nothing imported too early."""

import io
import itertools
import random
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import rich.console

import capsjax as cj
from capsjax.view.layout import layered


def network_of(count: int, seed: int) -> cj.Graph:
    """A random graph with skips, merges, doubled edges and several outputs."""
    chance = random.Random(seed)
    nodes = [cj.input("x", (16,)), cj.input("z", (16,))]
    kinds = [cj.identity, cj.channel_scale, lambda node: cj.matmul(node, 16)]
    nodes.append(cj.capsule("both", cj.place(nodes[0]), cj.place(nodes[1])))
    nodes.append(cj.capsule("narrow", cj.matmul(nodes[-1], 16)))
    for i in range(count):
        sources = chance.choices([nodes[0], *nodes[3:][-5:]], k=chance.choice([1, 2]))
        edges = [chance.choice(kinds)(source) for source in sources]
        nodes.append(cj.capsule(f"h{i}", *edges, cap="tanh"))
    return cj.graph(*nodes[-3:], name=f"random-{count}")


SHOWN = ["mlp", "figure-12", "lenet-5-1998", "capsnet", "resnet-152", "vit-b-16"]
GRAPHS = [cj.zoo.graph(name) for name in SHOWN]
GRAPHS += [network_of(count, seed) for count, seed in ((2, 0), (12, 1), (40, 2))]


def extents(picture):
    """Bounding boxes, in pixels, of the texts and of the capsules."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import Circle, FancyBboxPatch

    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    (axes,) = picture.figure.axes
    texts = [t.get_window_extent() for t in axes.texts if t.get_text()]
    boxes = [
        p.get_window_extent()
        for p in axes.patches
        if isinstance(p, FancyBboxPatch | Circle) and p.get_zorder() > 1  # no frames
    ]
    return texts, boxes, picture.figure.bbox


def overlap(a, b, tolerance=1.0):
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return wide > tolerance and high > tolerance


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_nothing_is_cut_and_nothing_overlaps(graph, direction):
    texts, boxes, page = extents(cj.view.draw(graph, direction=direction))
    for each in texts + boxes:
        assert page.x0 <= each.x0 and each.x1 <= page.x1
        assert page.y0 <= each.y0 and each.y1 <= page.y1
    assert not any(overlap(a, b, 3.0) for a, b in itertools.combinations(texts, 2))
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    for text, box in itertools.product(texts, boxes):
        inside = box.x0 <= text.x0 and text.x1 <= box.x1
        assert inside or not overlap(text, box)


def test_every_capsule_symbol_and_loss_is_written():
    picture = cj.view.draw(cj.zoo.graph("figure-12"))
    (axes,) = picture.figure.axes
    written = [text.get_text() for text in axes.texts]
    for name in ("x1", "x2", *(f"h{i}" for i in range(1, 10)), "y1", "y2", "y3"):
        assert name in written
    for text in ("16 × 16 × 3", "avg_pool 4×4", "loss: margin", "3×3, SAME", "number"):
        assert text in written
    assert "* conv     ⊙ channel_scale     □ reshape" in " ".join(written)


def test_svg_is_sound_and_the_same_each_time(tmp_path):
    graph = cj.zoo.graph("figure-12")
    first, second = cj.view.draw(graph).svg, cj.view.draw(graph).svg
    assert first == second
    assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    picture = cj.view.draw(cj.compile(graph), tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text() == first
    shown = picture._repr_svg_()  # as wide as it is, or as the page
    assert shown is not None
    assert shown.replace(' style="max-width:100%;height:auto"', "", 1) == first != shown
    assert picture.save(tmp_path / "graph.PNG").read_bytes()[:4] == b"\x89PNG"


def test_same_picture_in_another_process():
    code = (
        "import capsjax as cj, hashlib;"
        "svg = cj.view.draw(cj.zoo.graph('figure-12')).svg;"
        "print(hashlib.sha256(svg.encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    found = {
        subprocess.run(
            command, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    }
    assert len(found) == 1


def test_unknown_ending(tmp_path):
    picture = cj.view.draw(cj.zoo.graph("mlp"))
    with pytest.raises(ValueError) as raised:
        picture.save("graph.jpeg")
    assert str(raised.value) == (
        "graph.jpeg: found the ending '.jpeg'; expected .svg, .png, .pdf or .tex"
    )


def test_unknown_direction():
    with pytest.raises(ValueError) as raised:
        cj.view.draw(cj.zoo.graph("mlp"), direction="up")  # pyright: ignore
    assert str(raised.value) == "direction 'up'; expected 'right' or 'down'"


def test_long_names_are_shortened_in_the_middle():
    x = cj.input("x", (2,))
    name = "the_first_of_" + "very_" * 10 + "many_capsules"
    graph = cj.graph(cj.capsule(name, cj.matmul(x, 2)))
    texts, boxes, page = extents(cj.view.draw(graph))
    assert all(page.x0 <= each.x0 and each.x1 <= page.x1 for each in texts + boxes)
    (axes,) = cj.view.draw(graph).figure.axes
    assert "the_first_of_very…ery_many_capsules" in [t.get_text() for t in axes.texts]


@cj.block
def layer(x, *, width):
    h = cj.capsule("h", cj.matmul(x, width), cap="tanh")
    return cj.capsule("out", cj.matmul(h, 4), cj.identity(x))


@cj.block
def tower(x, *, width, layers):
    return layer("layer", x, width=width, repeat=layers)


def of_blocks():
    """A chain of towers, twins beside each other, a capsule that reads inside."""
    x = cj.input("x", (4,))
    chain = tower("tower", x, width=cj.each([6, 6, 8]), layers=3, repeat=3)
    twins = [layer(f"twin{i}", chain, width=2) for i in (1, 2)]
    deep = chain["1/layer2/h"]
    end = cj.capsule("end", *(cj.matmul(each, 3) for each in (*twins, deep)))
    return cj.graph(
        end, twins[0], name="towers", losses={"twin1": "mean_squared_error"}
    )


def names_drawn(graph, **settings):
    (axes,) = cj.view.draw(graph, **settings).figure.axes
    bold = [text for text in axes.texts if text.get_fontweight() == "bold"]
    return [text.get_text() for text in bold[1:]]


def test_blocks_are_folded():
    graph = of_blocks()
    ends = ["tower3", "twin1", "twin2", "end"]
    assert names_drawn(graph) == ["x", "tower1 … tower2", *ends]
    opened = names_drawn(graph, expand=["tower2"])
    assert opened == ["x", "tower1", "tower2", "layer1 … layer3", *ends]
    inner = ["tower2", "layer1", "h", "out", "layer2 … layer3"]
    deeper = names_drawn(graph, expand=["tower2", "tower2/layer1"])
    assert deeper == ["x", "tower1", *inner, *ends]
    scene = cj.view.draw(graph, expand=True).scene
    everything = [box.name for box in scene.boxes if box.role != "frame"]
    assert everything == ["x", *(capsule.name for capsule in graph.capsules)]
    (axes,) = cj.view.draw(graph).figure.axes
    written = [text.get_text() for text in axes.texts]
    assert "12 capsules, 348 parameters" in written
    assert "tower  × 2" in written and "width 6, layers 3" in written
    assert "loss on out: mean_squared_error" in written


@pytest.mark.parametrize("expand", [False, True, ["tower1"]], ids=str)
def test_blocks_do_not_overlap(expand):
    texts, boxes, page = extents(cj.view.draw(of_blocks(), expand=expand))
    assert all(page.x0 <= each.x0 and each.x1 <= page.x1 for each in texts + boxes)
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert not any(overlap(a, b, 3.0) for a, b in itertools.combinations(texts, 2))


def test_unknown_use_to_expand():
    with pytest.raises(ValueError) as raised:
        cj.view.draw(of_blocks(), expand=["tower4"])
    assert str(raised.value) == (
        "expand: no use of a block is called 'tower4'; did you mean 'tower3'?"
    )


def test_summary_and_explain_show_equal_copies_once():
    console = rich.console.Console(width=100, file=io.StringIO(), record=True)
    console.print(cj.view.summary(of_blocks()))
    found = [line.split("  ")[1:] for line in console.export_text().splitlines()]
    first = ["".join(line[:1]).strip() for line in found if line[:1] != [""]]
    assert "tower1 to tower2" in " ".join(first)
    text = str(cj.explain(of_blocks()))
    assert "  tower1 to tower2 (2 copies): tower(width=6, layers=3)\n" in text
    assert "    layer1 to layer3 (3 copies): layer(width=6)\n      h: U (6,) =" in text
    assert "below a line of copies stands the first one" in text


def test_layout_of_a_capsule_alone():
    layout = layered([(1.0, 0.5)], [], [])
    assert layout.vertices == ((0.5, 0.25),) and layout.size == (1.0, 0.5)


def test_edges_side_by_side_have_labels_of_their_own():
    layout = layered([(1, 1), (1, 1)], [(0, 1), (0, 1)], [(0.3, 0.3), (0.3, 0.3)])
    (_, a), (_, b) = layout.labels
    assert abs(a - b) > 0.3


@pytest.mark.parametrize("name", SHOWN)
def test_summary_fits_a_terminal_of_80_columns(name):
    net = cj.compile(cj.zoo.graph(name))
    console = rich.console.Console(width=80, file=io.StringIO(), record=True)
    console.print(cj.view.summary(net))
    text = console.export_text()
    assert "…" not in text
    assert f"{net.parameter_count:,}" in text
    for capsule in net.shapes:
        if "/" not in capsule:  # those of blocks are shown once for all copies
            assert capsule in text


def test_learning_curves_have_a_panel_a_metric(tmp_path):
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "seconds": [0.1, 0.2, 0.3],
            "loss": [1.0, 0.5, 0.25],
            "accuracy": [0.5, 0.75, 0.875],
            "validation_loss": [1.1, 0.6, 0.3],
            "validation_accuracy": [0.4, 0.7, 0.8],
        }
    )
    picture = cj.view.learning_curves(history)
    loss, accuracy = picture.figure.axes
    assert loss.get_title("left") == "loss"
    legend = accuracy.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "training, last 87.50%",
        "validation, last 80.00%",
    ]
    assert picture.save(tmp_path / "curves.svg").stat().st_size > 1000


def test_learning_curves_of_something_else():
    with pytest.raises(ValueError) as raised:
        cj.view.learning_curves(pd.DataFrame({"epoch": [1]}))
    assert str(raised.value) == (
        "a history has the column 'epoch' and a metric or more; found ['epoch']"
    )


def test_unknown_attribute_of_the_package():
    with pytest.raises(AttributeError) as raised:
        cj.views  # noqa: B018  # pyright: ignore
    assert str(raised.value) == "module 'capsjax' has no attribute 'views'"


def test_import_of_capsjax_imports_no_view():
    code = "import capsjax, sys; print([m for m in ('matplotlib', 'rich', 'pandas', "
    code += "'capsjax.view') if m in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_edges_without_labels_take_no_room():
    level = [range(0, 5), range(5, 12), range(12, 16)]
    edges = [(a, b) for i in (0, 1) for a in level[i] for b in level[i + 1]]
    layout = layered([(10, 10)] * 16, edges, [(0, 0)] * len(edges))
    across = [place for _, place in layout.vertices]
    places = sorted(across[5:12])
    assert max(across) - min(across) == pytest.approx(6 * (places[1] - places[0]))
    assert {len(path) for path in layout.paths} == {2}
    assert len(layout.labels) == len(edges)


def test_a_dark_page_shows_a_light_drawing_in_dark_colors():
    graph = cj.zoo.graph("mlp")
    light, dark = cj.view.draw(graph).svg, cj.view.draw(graph, theme="dark").svg
    assert "prefers-color-scheme:dark" in light and "<style" not in dark
    assert '[fill="#1f2933"]{fill:#e8edf2}' in light and "#1f2933" not in dark


def test_settings_as_usual_are_not_mentioned():
    x = cj.input("x", (4,))
    usual, sharp = (
        cj.graph(cj.capsule("y", cj.matmul(x, 2), cap=cap))
        for cap in ("softmax", cj.caps.softmax(temperature=0.5))
    )
    assert "temperature" not in cj.view.draw(usual).svg
    assert "softmax, temperature 0.5" in cj.view.draw(sharp).svg


def test_a_summary_is_wide_or_narrow():
    graph = cj.zoo.graph("mlp")
    heads = {
        narrow: [str(c.header) for c in cj.view.summary(graph, narrow=narrow).columns]
        for narrow in (False, True)
    }
    assert heads[False][:5] == ["capsule", "reads", "U", "function", "Y"]
    assert heads[True][:3] == ["capsule", "reads, function", "U, Y"]


def test_the_picture_of_the_readme_is_what_draw_makes():
    path = Path(__file__).parents[2] / "notebooks" / "pictures" / "capsnet-digits.svg"
    cure = "draw it anew: cj.view.draw(cj.zoo.graph('capsnet-digits'), path)"
    assert (
        path.read_text("utf-8") == cj.view.draw(cj.zoo.graph("capsnet-digits")).svg
    ), cure
