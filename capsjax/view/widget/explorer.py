"""The widget itself; imported only where anywidget is installed."""

from typing import Any

import anywidget
import traitlets

from capsjax.compiler import Network
from capsjax.view.scene import Direction, Scene, scene_of
from capsjax.view.widget import message, script, style, uses_of


class Explorer(anywidget.AnyWidget):
    """A graph to walk through; made by `cj.view.explore`.

    Attributes:
        opened: Names of the uses of blocks that are open.
        chosen: Name of the capsule or block that was clicked, or "".
        scene: What the page paints.
    """

    _esm = script()
    _css = style()
    opened = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)

    def __init__(self, net: Network, opened: list[str], first: Scene):
        self._net = net
        self._direction: Direction = first.direction
        super().__init__(opened=opened, scene=message(first))

    @traitlets.validate("opened")
    def _known(self, proposal: Any) -> list[str]:
        """Names of uses alone; what a page sends is not trusted."""
        known = uses_of(self._net)
        for name in proposal["value"]:
            if name not in known:
                raise traitlets.TraitError(f"no use of a block is called {name!r}")
        return list(dict.fromkeys(proposal["value"]))

    @traitlets.observe("opened")
    def _again(self, change: Any) -> None:
        # Before the widget stands, __init__ gives it its first scene.
        if hasattr(self, "comm") and change["old"] is not traitlets.Undefined:
            scene = scene_of(self._net, change["new"], self._direction)
            self.scene = message(scene)
