"""Training on many devices and machines: where arrays lie, and who takes part."""

from capsjax.training.parallel.placement import Placement as Placement
from capsjax.training.parallel.processes import Process as Process
from capsjax.training.parallel.processes import distributed as distributed
