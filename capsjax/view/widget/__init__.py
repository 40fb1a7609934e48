"""explore: a graph to walk through in a notebook. Blocks open and close by a click.

All is laid out here, in Python. The page is sent a scene, painted as SVG, and the facts
of its boxes; it sends back which blocks are open, and is sent another scene.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.graph import Graph
from capsjax.neural import Model, NeuralNetwork
from capsjax.view.painting import DARK, LIGHT, PAGE, Drawing, svg_of, variables
from capsjax.view.scene import Direction, Scene, scene_of

if TYPE_CHECKING:
    from capsjax.view.widget.explorer import Explorer

_HERE = Path(__file__).parent
_WIDEST = 900.0  # points that a page shows side by side


def explore(
    graph: Graph | Model | NeuralNetwork | Network,
    *,
    expand: bool | str | Sequence[str] = False,
    direction: Direction | None = None,
) -> "Explorer":
    """An interactive drawing: pan, zoom, open blocks, read what is known of a capsule.

    A notebook shows a graph or a network like this by itself, where anywidget is
    installed.

    Args:
        graph: A declaration, of capsules or of neurons; or a compiled network.
        expand: Names of the uses of blocks that are open at first; True for all.
        direction: Where data flows, "right" or "down"; left out, as it fits a page.

    Returns:
        The widget. Its `opened` are the names of the open uses of blocks, to read and
        to set; its `chosen` is the capsule that was clicked.

    Raises:
        ImportError: anywidget is not installed.
        ValueError: No such use of a block.

    Example:
        >>> import capsjax as cj
        >>> widget = cj.view.explore(cj.zoo.graph("resnet-50"))  # doctest: +SKIP
        >>> widget.opened = ["stage1"]  # doctest: +SKIP
    """
    if not _has_anywidget():
        raise ImportError(
            "explore needs anywidget, which is not installed; "
            "pip install 'capsjax[notebook]', or take the static cj.view.draw"
        )
    from capsjax.view.widget.explorer import Explorer

    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    opened = [expand] if isinstance(expand, str) else expand
    opened = uses_of(net) if opened is True else list(opened or ())
    return Explorer(net, opened, first_scene(net, opened, direction))


def bundle(graph: Graph | Network) -> dict[str, Any]:
    """What a notebook shows of a graph or a network: the widget, and an SVG for others.

    Args:
        graph: A declaration or a compiled network.

    Returns:
        Contents by media type. Where there is no anywidget, text and SVG alone.
    """
    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    static = {"text/plain": repr(graph)}
    scene = first_scene(net)
    static["image/svg+xml"] = Drawing(scene).svg
    if not _has_anywidget():
        return static
    from capsjax.view.widget.explorer import Explorer

    shown = Explorer(net, [], scene)._repr_mimebundle_()
    data = shown[0] if isinstance(shown, tuple) else shown
    return {**(data or {}), **static}


def first_scene(
    net: Network, opened: Sequence[str] = (), direction: Direction | None = None
) -> Scene:
    """A scene for a narrow page: data flows down where it would be too wide."""
    scene = scene_of(net, opened, direction)
    if direction is None and scene.size[0] > _WIDEST and scene.direction == "right":
        return scene_of(net, opened, "down")
    return scene


def uses_of(net: Network) -> list[str]:
    """The names of all uses of blocks: of what can be opened."""
    return [use.name for use in getattr(net.typed.graph, "uses", ())]


def style() -> str:
    """The widget's style sheet, with the colors of both themes."""
    text = (_HERE / "widget.css").read_text()
    light, dark = variables(LIGHT), variables(DARK)
    return text.replace("/* LIGHT */", light).replace("/* DARK */", dark)


def script() -> str:
    """The widget's module of JavaScript."""
    return (_HERE / "widget.js").read_text()


def message(scene: Scene) -> dict[str, Any]:
    """A scene as the page is sent it: painted, with the facts of its boxes."""
    boxes = [
        {
            "name": box.name,
            "role": box.role,
            "capsules": list(box.capsules) if box.role != "frame" else [],
            "opens": box.opens,
            "equation": box.equation,
            "facts": [list(fact) for fact in box.facts],
            "corners": list(box.corners),
        }
        for box in scene.boxes
    ]
    return {"svg": svg_of(scene, PAGE, interactive=True), "boxes": boxes}


def _has_anywidget() -> bool:
    return importlib.util.find_spec("anywidget") is not None
