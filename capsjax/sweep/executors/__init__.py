"""Who runs units: this process, other processes, a cluster; one file each."""

from capsjax.sweep.executors.base import Executor as Executor
from capsjax.sweep.executors.base import Local as Local
from capsjax.sweep.executors.processes import Processes as Processes
