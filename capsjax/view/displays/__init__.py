"""How results show themselves in notebooks.

parts.py        what each kind of result shows: facts, tables, pictures
displays.py     from that to HTML, by one template and one style
signals.py      a table of what `net.deltas` and `net.activations` give
"""

from capsjax.view.displays.displays import bundle
from capsjax.view.displays.signals import signals

__all__ = ["bundle", "signals"]
