"""Pictures of the result of a sweep.

values.py, scores.py      what is read: axes and metrics, as numbers
panels.py                 what all panels share
response.py, heat.py      the metric over one axis, and over two
parallel.py               each member across all axes
lines.py, colors.py       what learning curves show, and in which colors
curves.py                 the learning curves
"""

from capsjax.view.sweep.curves import sweep_curves
from capsjax.view.sweep.heat import heat_map
from capsjax.view.sweep.parallel import parallel
from capsjax.view.sweep.response import response
from capsjax.view.sweep.values import Swept

__all__ = ["Swept", "heat_map", "parallel", "response", "sweep_curves"]
