"""Scenes: nothing overlaps, lines end on boxes, opening loses nothing; and painters."""

import dataclasses
import itertools
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import capsjax as cj
from capsjax.view import widget
from capsjax.view.kept import kept_bytes
from capsjax.view.painting import DARK, LIGHT, svg_of
from capsjax.view.painting.tikz import tex
from capsjax.view.scene import scene_of

HOSTILE = "<script>alert(1)</script> & a_b \\x $ # % \x07 \" ' λ漢"


@cj.block
def layer(x, *, width):
    h = cj.capsule("h", cj.matmul(x, width), cap="tanh")
    return cj.capsule("out", cj.matmul(h, 4), cj.identity(x))


@cj.block
def tower(x, *, width):
    return layer("layer", x, width=width, repeat=2)


def towers() -> cj.Graph:
    x = cj.input("x", (4,))
    first = tower("a", x, width=3)
    second = tower("b", first, width=5)
    inside = second["layer1/h"]  # read from outside, past two frames
    end = cj.capsule("end", cj.matmul(second, 3), cj.matmul(inside, 3))
    return cj.graph(end, name="towers", losses={"end": "mean_squared_error"})


NET = cj.compile(towers(), check=False)
USES = ["a", "a/layer1", "a/layer2", "b", "b/layer1", "b/layer2"]
OPENED = [c for n in (0, 1, 2, 6) for c in itertools.combinations(USES, n)]
EDGES = {(c.name, edge.key) for c in NET.typed.alone for edge in c.edges}


def apart(a, b) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def inside(a, b) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def on_border(point, corners) -> bool:
    left, top, right, bottom = corners
    x, y = point
    across = min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom))
    near = 0.01
    return (
        across < near
        and left - near <= x <= right + near
        and top - near <= y <= bottom + near
    )


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("opened", OPENED, ids=" ".join)
def test_scene_is_sound(opened, direction):
    scene = scene_of(NET, opened, direction)
    boxes = {box.name: box for box in scene.boxes}
    assert len(boxes) == len(scene.boxes)
    for a, b in itertools.combinations(scene.boxes, 2):
        first, second = a.corners, b.corners
        nested = a.role == "frame" and b.name.startswith(f"{a.name}/")
        assert inside(second, first) if nested else apart(first, second)
    for line in scene.lines:
        assert on_border(line.path[0][-1], boxes[line.source].corners)
        assert on_border(line.path[-1][-1], boxes[line.target].corners)
    assert all(
        0 <= v <= m
        for b in scene.boxes
        for v, m in zip(b.corners, scene.size * 2, strict=True)
    )


@pytest.mark.parametrize("opened", OPENED, ids=" ".join)
def test_opening_loses_no_capsule_and_no_edge(opened):
    scene = scene_of(NET, opened)
    shown = [n for box in scene.boxes if box.role != "frame" for n in box.capsules]
    assert sorted(shown) == sorted(["x", *(c.name for c in NET.typed.alone)])
    drawn = {edge for line in scene.lines for edge in line.edges}
    box_of = {name: box.name for name, box in scene.box_of.items()}
    read = {(c.name, e.key): e.source for c in NET.typed.alone for e in c.edges}
    hidden = {edge for edge in EDGES if box_of[edge[0]] == box_of[read[edge]]}
    assert drawn == EDGES - hidden
    # Each edge is one way, from the box that has its source to the one that reads.
    for edge in drawn:
        legs = [line for line in scene.lines if edge in line.edges]
        ends = [(line.source, line.target) for line in legs]
        assert legs[0].source == box_of[read[edge]] or len(legs) > 1
        starts, stops = (set(part) for part in zip(*ends, strict=True))
        assert starts - stops == {box_of[read[edge]]}
        assert stops - starts == {box_of[edge[0]]}
        symbols = [line.kind for line in legs if line.kind]
        closed = box_of[edge[0]] != edge[0]
        assert len(symbols) == (not closed)


def test_facts_and_equation():
    scene = scene_of(NET, USES)
    out = scene.box_of["b/layer2/out"]
    assert out.equation == "Y = W × b/layer2/h + b/layer1/out + B"
    facts = dict(out.facts)
    assert facts["U"] == facts["Y"] == "4" and facts["W[h]"] == "5 × 4"
    assert facts["parameters"] == "24" and facts["FLOPs"] == "48 an example"
    assert facts["residual"] == "16 bytes an example"
    total = NET.memory(1, "float32").full
    sizes = [dict(box.facts).get("residual", "0") for box in scene.boxes]
    known = [s for s, b in zip(sizes, scene.boxes, strict=True) if b.role != "frame"]
    assert sum(int(s.split()[0].replace(",", "")) for s in known) == total


def test_a_run_says_that_it_is_a_loop():
    net = cj.compile(cj.zoo.graph("resnet-152"), check=False)
    scene = scene_of(net, ["stage3"])
    copies = scene.box_of["stage3/block5/conv2"]
    assert copies.opens == "stage3/block2"
    assert dict(copies.facts)["runs as"] == "a loop of 35 copies"


def with_hostile_text():
    scene = scene_of(cj.compile(towers(), check=False))
    row = dataclasses.replace(scene.boxes[0].rows[0], text=HOSTILE)
    box = dataclasses.replace(
        scene.boxes[0], name=HOSTILE, rows=(row,), facts=((HOSTILE, HOSTILE),)
    )
    return dataclasses.replace(scene, name=HOSTILE, boxes=(box, *scene.boxes[1:]))


@pytest.mark.parametrize("interactive", [False, True])
def test_svg_escapes_and_contains_each_text(interactive):
    from capsjax.view.painting.themes import PAGE, THEMES

    scene = with_hostile_text()
    theme = PAGE if interactive else THEMES["dark"]
    text = svg_of(scene, theme, interactive=interactive)
    root = ElementTree.fromstring(text)
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    written = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert HOSTILE.replace("\x07", "\ufffd") in written
    for each in scene.texts():
        assert each.row.text.replace("\x07", "\ufffd") in written


def test_tikz_has_a_node_for_each_box_and_escapes():
    drawing = cj.view.draw(towers(), expand=True)
    text = drawing.tex
    for i in range(len(drawing.scene.boxes)):
        assert f"(n{i}) at" in text
    for each in drawing.scene.texts():
        assert tex(each.row.text) in text
    assert tex("a_b \\ & {x} 50% #1 $") == (
        r"a\_b \textbackslash{} \& \{x\} 50\% \#1 \$"
    )
    odd = dataclasses.replace(drawing, scene=with_hostile_text()).tex
    assert "\x07" not in odd and "& a_b" not in odd.replace(r"\&", "&").split("%")[0]


def test_tikz_compiles(tmp_path):
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex")
    path = cj.view.draw(towers(), expand=True, theme="dark").save(tmp_path / "t.tex")
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


def test_all_formats(tmp_path):
    drawing = cj.view.draw(cj.zoo.graph("mlp"), theme="dark")
    heads = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "tex": b"% Made"}
    for ending, head in heads.items():
        assert drawing.save(tmp_path / f"d.{ending}").read_bytes().startswith(head)
    assert LIGHT.keys() == DARK.keys()
    with pytest.raises(ValueError) as raised:
        cj.view.draw(cj.zoo.graph("mlp"), theme="blue")  # pyright: ignore
    assert str(raised.value) == "theme 'blue'; expected 'light' or 'dark'"


def test_what_a_notebook_is_given(monkeypatch):
    graph = towers()
    monkeypatch.setattr(widget, "_has_anywidget", lambda: False)
    for shown in (graph, NET):
        static = shown._repr_mimebundle_()
        assert set(static) == {"text/plain", "image/svg+xml"}
        assert static["text/plain"] == repr(shown)
    with pytest.raises(ImportError) as raised:
        cj.view.explore(graph)
    assert "pip install 'capsjax[notebook]'" in str(raised.value)


def test_widget_answers_with_another_scene():
    traitlets = pytest.importorskip("traitlets")
    pytest.importorskip("anywidget")
    shown = cj.view.explore(towers())
    names = {box["name"] for box in shown.scene["boxes"]}
    assert names == {"x", "a", "b", "end"}
    shown.opened = ["b", "b/layer1"]
    names = {box["name"] for box in shown.scene["boxes"]}
    assert {"b", "b/layer1", "b/layer1/h", "b/layer2"} <= names
    with pytest.raises(traitlets.TraitError, match="no use of a block is called 'c'"):
        shown.opened = ["c"]
    assert shown.opened == ["b", "b/layer1"]
    data = towers()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["image/svg+xml"].startswith("<svg")


def test_script_is_sound_and_fetches_nothing(tmp_path):
    text = widget.script() + widget.style()
    for word in ("http:", "https:", "import(", "innerHTML", "@import", "eval("):
        assert word not in text
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to read the script by")
    path = Path(tmp_path) / "widget.mjs"
    path.write_text(widget.script())
    subprocess.run([node, "--check", str(path)], check=True)


def test_residual_bytes_are_those_of_the_table():
    """And so those of `capsjax show` and `cj.explain`."""
    for name in ("lenet-5", "resnet-20-cifar"):
        net = cj.compile(cj.zoo.graph(name), check=False)
        kept, _ = kept_bytes(net)
        for box in scene_of(net, True).boxes:
            told = dict(box.facts).get("residual", "0 bytes").split()[0]
            if box.role in ("hidden", "output"):
                assert int(told.replace(",", "")) == kept.get(box.name, 0), box.name


def test_a_notebook_has_a_graph_laid_out_once(monkeypatch):
    calls = []

    def counted(*given):
        calls.append(given)
        return scene_of(*given)

    monkeypatch.setattr(widget, "scene_of", counted)
    assert "image/svg+xml" in cj.zoo.graph("mlp")._repr_mimebundle_()
    assert len(calls) == 1
