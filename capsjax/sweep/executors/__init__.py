"""Who runs units: this process, other processes, a cluster; one file each.

base         what an executor is; this process
crew         what executors with processes of their own have in common
processes    processes of this machine
ray          a cluster of Ray
"""

from capsjax.sweep.executors.base import Executor as Executor
from capsjax.sweep.executors.base import Local as Local
from capsjax.sweep.executors.processes import Processes as Processes
from capsjax.sweep.executors.ray import Ray as Ray
