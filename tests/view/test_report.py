"""The report of a run: all of it, nothing from elsewhere, and no name is markup."""

import dataclasses
import html.parser
import re
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest

import capsjax as cj
from capsjax.view.report import judged as judged_part
from capsjax.view.report import pictures, tables

EVIL = (
    "<script>alert(1)</script><img src=\"http://example.org/x\" onerror='x'>&{{ 7*7 }}"
)


class Page(html.parser.HTMLParser):
    """Elements, attributes and text of a page, which must be well-formed."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def network(size=10, metadata=None):
    image = cj.input("image", (8, 8, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, size), cap="softmax")
    losses = {"digit": "cross_entropy"}
    return cj.compile(cj.graph(digit, name="tiny", losses=losses, metadata=metadata))


@pytest.fixture(scope="module")
def data():
    return cj.load_data("digits")


@pytest.fixture(scope="module")
def trained(data):
    """A run, and what watched it."""
    net = network(metadata={"note": EVIL})
    few = {"image": data.train.inputs[:50], "digit": data.train.targets[:50]}
    tracer = cj.trace(net, few, every=20)
    run = cj.fit(net, data, epochs=2, progress=False, trace=tracer)
    return run, tracer


@pytest.fixture(scope="module")
def page(trained, data):
    run, tracer = trained
    configuration = {"seed": 3, "optimizer": {"learning_rate": 0.001}, EVIL: EVIL}
    run = dataclasses.replace(run, configuration=configuration)
    return cj.view.report(run, data, tracer).html


def test_all_sections_are_there(page, trained):
    text = Page(page).text
    for words in (
        "Learning curves",
        "355 examples that the run is judged by",
        "Confusion of digit: ",
        "Examples of the largest loss",
        "Graph",
        "Parameters",
        "Signals and weights of each capsule",
        "optimizer.learning_rate 0.001",
        "digit W flat 64 × 10 640",
        "all 650",
        "History",
    ):
        assert words in text, words
    last = trained[0].history.iloc[-1]
    assert f"validation accuracy {last['validation_accuracy']:.2%}" in text


def test_the_figures_are_those_of_the_run(page, trained, data):
    run, _ = trained
    judged = cj.judge(run, data)
    cells = re.findall(r'<div class="cell [^>]*>(\d+)</div>', page)
    counts = np.array(cells, int).reshape(10, 10)
    np.testing.assert_array_equal(counts, judged.confusion("digit"))
    numbers = [int(n) for n in re.findall(r"no\. (\d+)</span>", page)]
    assert numbers == list(judged.worst(24))
    digit = np.asarray(run.net.named(run.params)["digit"]["W"]["flat"])
    assert f"{np.sqrt(np.mean(digit**2)):.4g}" in page


def test_nothing_comes_from_elsewhere_and_nothing_is_run(page):
    found = Page(page)
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("data:image/", "#")), value
    assert "default-src 'none'" in page
    assert "url(" not in page and "@import" not in page


def test_what_was_written_is_no_markup(page):
    assert EVIL in "".join(Page(page).words)
    assert "<script" not in page and "onerror='" not in page
    assert "{{ 7*7 }}" in page


def test_metrics_of_any_name(trained):
    run, _ = trained
    history = pd.DataFrame({"epoch": [1, 2], EVIL: [0.5, 0.25], r"$\frac$": [1.0, 2.0]})
    text = cj.view.report(dataclasses.replace(run, history=history)).html
    assert EVIL in " ".join(Page(text).words).replace("\n", "")
    assert "<script" not in text


def test_a_page_is_the_same_each_time_and_is_saved(trained, data, tmp_path):
    run, tracer = trained
    first, second = (cj.view.report(run, data, tracer.table) for _ in range(2))
    assert first.html == second.html
    path = first.save(tmp_path / "report.html")
    assert path.read_text() == first.html
    assert re.fullmatch(r"<report, \d+ KiB>", repr(first))


def test_without_data_and_trace(trained):
    text = Page(cj.view.report(trained[0]).html).text
    assert "Confusion" not in text and "Signals and weights" not in text


def test_a_run_that_has_only_begun(trained, data):
    run = dataclasses.replace(trained[0], history=pd.DataFrame())
    tracer = SimpleNamespace(table=pd.DataFrame())
    text = Page(cj.view.report(run, data, tracer).html).text
    assert "Learning curves" not in text and "Parameters" in text


def test_losses_that_are_no_numbers(trained):
    history = pd.DataFrame({"epoch": [1, 2], "loss": [np.nan, np.inf]})
    run = dataclasses.replace(trained[0], history=history)
    assert "nan" in Page(cj.view.report(run).html).text


def test_data_that_does_not_fit(trained):
    with pytest.raises(ValueError, match="data does not fit network 'tiny'"):
        cj.view.report(trained[0], {"image": np.zeros((3, 8, 8, 1))})


def test_outputs_that_tell_no_class():
    x = cj.input("x", (4,))
    net = cj.compile(
        cj.graph(cj.capsule("y", cj.matmul(x, 2)), losses={"y": "mean_squared_error"})
    )
    data = {"x": np.ones((3, 4)), "y": np.ones((3, 2))}
    run = cj.fit(net, data, epochs=1, progress=False)
    text = Page(cj.view.report(run, data).html).text
    assert "No output of this network tells a class." in text


def test_classes_without_images():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    data = {"x": np.eye(4), "y": np.array([0, 1, 2, 2])}
    run = cj.fit(net, data, epochs=1, progress=False)
    found = Page(cj.view.report(run, data).html)
    assert "loss " in found.text
    assert not [a for t, a in found.tags if t == "img" and "example" in a["alt"]]


def test_many_classes_are_an_image(data):
    net = network(40)
    params, state = net.init(jax.random.key(0))
    history = pd.DataFrame({"epoch": [1], "loss": [1.0]})
    run = cj.Run(net, params, state, history)
    found = judged_part.examined(run, data).confusions[0]
    assert found.rows is None and found.image is not None and found.pairs
    assert "is taken for" in Page(cj.view.report(run, data).html).text


def test_the_size_is_bounded():
    graph = cj.zoo.graph("densenet-121")
    net = cj.compile(graph)
    shape = jax.eval_shape(net.init, jax.random.key(0))
    params, state = jax.tree.map(lambda each: np.zeros(each.shape, np.float32), shape)
    epochs = np.arange(1, 20_001)
    history = pd.DataFrame(
        {"epoch": epochs, "loss": 1 / epochs, "accuracy": 1 / epochs}
    )
    page = cj.view.report(cj.Run(net, params, state, history, {"x": "y" * 10**6})).html
    assert len(page) < 2_000_000
    assert "19,800 more rows are not shown" in page


def test_a_large_picture_is_pixels_and_a_huge_one_is_left_out(monkeypatch):
    net = network()
    monkeypatch.setattr(pictures, "_MOST_SVG", 1000)
    shown = pictures.graph(net)
    assert shown is not None and shown.source.startswith("data:image/png;base64,")
    monkeypatch.setattr(pictures, "_MOST_BOXES", 1)
    assert pictures.graph(net) is None


def test_parameters_stand_from_input_to_output():
    node = cj.input("x", (4,))
    names = [f"h{i}" for i in range(12)]
    for name in names:
        node = cj.capsule(name, cj.matmul(node, 4))
    net = cj.compile(cj.graph(node))
    table = tables.parameters(net, net.init(jax.random.key(0))[0])
    assert list(dict.fromkeys(row[0] for row in table.rows)) == names


def test_capsules_of_any_name_in_a_trace():
    rows = [(s, "_h" + "x" * 150, "", "delta", 1.0 + s) for s in (0, 1, 2)]
    columns = ["step", "capsule", "source", "quantity", "value"]
    picture = cj.view.trace(pd.DataFrame(rows, columns=columns))
    (text,) = picture.figure.legends[0].get_texts()
    assert text.get_text().startswith("_hx") and len(text.get_text()) < 40
    assert picture.svg


def test_settings_as_text():
    found = {"a": {"b": [1, "x", None], "c": [{"d": True}], "e": {}}, "f": 1e-3}
    assert list(tables.settings(found)) == [
        ("a.b", "1, x, none"),
        ("a.c[0].d", "true"),
        ("a.e", "{}"),
        ("f", "0.001"),
    ]


def test_compared_curves_take_any_name():
    one = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3, 2, 1], "validation_loss": 1.0})
    other = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.1, 0.2]})
    picture = cj.view.compared_curves({"_hidden": one, r"$\frac$": other})
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert titles == ["loss", "accuracy"]
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["_hidden", r"$\frac$"]
    assert picture.svg
    with pytest.raises(ValueError, match="found no history with the column 'epoch'"):
        cj.view.compared_curves({})
