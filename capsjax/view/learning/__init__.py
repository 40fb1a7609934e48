"""Learning as a picture: what error signals and gradients do in the graph, over steps.

frames.py      what is shown: boxes, lines, and their sizes at each step
learning.py    the picture: the first, a middle and the last step
widget.py      the same with a slider, in notebooks
"""

from capsjax.view.learning.learning import Learning, learning

__all__ = ["Learning", "learning"]
