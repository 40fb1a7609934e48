"""A cluster of Ray that runs units: each worker is an actor.

An actor, and no task: it is one process from its first unit to the last, so that what
it has compiled is there, and the devices that Ray gives it are those that its JAX began
with. When it dies, that is known at once, and which unit it was at.

The job lies in the object store, once on each machine, where actors read it in place.
"""

import contextlib
import hashlib
import logging
import math
import os
import socket
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from capsjax.graph.errors import brief
from capsjax.sweep.executors.crew import Crew
from capsjax.sweep.job import work_at

_CONNECTS_WITHIN_S = 10.0


class Ray(Crew):
    """A cluster of Ray.

    Workers stay, with the programs that they have compiled, until the sweep is over;
    so long they hold what they have asked of the cluster. A unit whose worker died, or
    its machine, is begun again by another one, five times at most. On all machines the
    same version of capsjax is installed.

    A connection to Ray that this process has already is used, for "local" and "auto";
    what was not started here is left as it is.

    Args:
        address: "local" starts a cluster on this machine; "auto" finds one that runs on
            it; or the address of one, "host:port" or "ray://host:port".
        workers: How many; left out, as many as the cluster has room for when units
            begin. Where there is no room for all, those that there are do the work.
        num_cpus: Processors that Ray counts for each; it has them or a part.
        num_gpus: GPUs for each; with 0, Ray gives it none, and does not hide them.

    Raises:
        ValueError: There are to be no workers, or less than no processors.

    Example:
        >>> import capsjax as cj
        >>> cj.executors.Ray("auto", workers=8)
        Ray('auto', workers=8)
    """

    def __init__(
        self,
        address: str = "local",
        *,
        workers: int | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
    ):
        super().__init__()
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        for name, number in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
            if number < 0:
                raise ValueError(f"{name} is {brief(number)}; expected 0 or more")
        self.address, self.workers = address, workers
        self.num_cpus, self.num_gpus = num_cpus, num_gpus
        self._connected = False

    def __repr__(self) -> str:
        return f"Ray({self.address!r}, workers={self.workers})"

    def start(self, job: bytes) -> None:
        """Connects to the cluster, or starts it, and stores the job there.

        Raises:
            ImportError: Ray is not installed.
            ValueError: The local cluster has no room for a worker.
            ConnectionError: There is no cluster at the address.
        """
        ray = _ray()
        self._connect(ray)
        found = ray.exceptions
        self.died = (
            *(found.RayActorError, found.WorkerCrashedError, found.NodeDiedError),
            *(found.LocalRayletDiedError, found.OutOfMemoryError),
            found.ObjectLostError,  # a result, with the machine that held it
        )
        # As an array: it is read where it lies.
        stored = ray.put(np.frombuffer(job, np.uint8))
        self.job = hashlib.sha256(job).hexdigest(), stored

    def close(self) -> None:
        """Ends the workers, and the cluster, if it was started here."""
        super().close()
        self.job = None
        if self._connected:
            self._connected = False
            _ray().shutdown()

    def size(self) -> int:
        if self.workers is not None:
            return self.workers
        return max(1, self._room(_ray()))

    def hire(self) -> "_Actor":
        ray = _ray()
        options = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus}
        # It is not started again by Ray: a unit's tries are counted here.
        made = ray.remote(max_restarts=0, max_task_retries=0, **options)(_Hand)
        return _Actor(ray, made.remote())

    def own_error(self, error: Exception) -> Exception:
        cause = getattr(error, "cause", None)
        told = isinstance(error, _ray().exceptions.RayTaskError)
        return cause if told and isinstance(cause, Exception) else error

    def _connect(self, ray: Any) -> None:
        if self._connected and ray.is_initialized():
            return
        if ray.is_initialized() and self.address in ("local", "auto"):
            return
        if ":" in self.address:
            self._require_answer()
        options: dict[str, Any] = {"log_to_driver": False}
        options["logging_level"] = logging.ERROR
        if self.address == "local":
            options["include_dashboard"] = False
            if self.workers is not None:
                options["num_cpus"] = math.ceil(self.workers * self.num_cpus)
        with _quietly():
            ray.init(self.address, **options)
        self._connected = True
        if self.address == "local":
            self._require_room(ray)

    def _require_answer(self) -> None:
        """Ray itself would try for minutes."""
        host, _, port = self.address.rpartition("//")[2].rpartition(":")
        try:
            place = host.strip("[]"), int(port)
            socket.create_connection(place, _CONNECTS_WITHIN_S).close()
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"{self!r}: found no answer there ({error}); expected the address of a "
                "cluster of Ray, host:port; cure: `ray start --head` says which it is"
            ) from error

    def _require_room(self, ray: Any) -> None:
        if not self._room(ray):
            found = ray.cluster_resources()
            self.close()
            raise ValueError(
                f"{self!r}: found {found.get('CPU', 0):g} processors and "
                f"{found.get('GPU', 0):g} GPUs on this machine; expected at least "
                f"num_cpus={self.num_cpus:g} and num_gpus={self.num_gpus:g} of a "
                "worker; cure: ask for less, or name the address of a cluster"
            )

    def _room(self, ray: Any) -> int:
        """For how many workers there is room in the whole cluster."""
        found = ray.cluster_resources()
        asked = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        rooms = [found.get(name, 0) / n for name, n in asked.items() if n]
        return int(min(rooms, default=1))


class _Hand:
    """What runs in a worker."""

    def ready(self) -> None:
        """Says that it is there."""

    def run(self, name: str, job: Any, unit: str, carries: bytes | None) -> bytes:
        return work_at(name, job.tobytes).run(unit, carries)


class _Actor:
    """A worker, seen from here."""

    def __init__(self, ray: Any, hand: Any):
        self._ray, self._hand = ray, hand
        self.ready: Future[None] = hand.ready.remote().future()

    def submit(self, job: Any, unit: str, carries: bytes | None) -> Future[bytes]:
        return self._hand.run.remote(*job, unit, carries).future()

    def leave(self) -> None:
        # Of a cluster that is gone there is nothing to end.
        if self._ray.is_initialized():
            self._ray.kill(self._hand)


def _ray() -> Any:
    """The package, which is imported when it is needed.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            f"cj.executors.Ray: found no package ray ({error}); expected one that can "
            'be imported; cure: pip install "capsjax[ray]"'
        ) from error
    return ray


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Ray starts without usage statistics, unless the user has said otherwise, and
    without JAX's warning of forks: what Ray forks becomes another program at once."""
    name = "RAY_USAGE_STATS_ENABLED"
    said = os.environ.setdefault(name, "")
    os.environ[name] = said or "0"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"os\.fork\(\)", RuntimeWarning)
            yield
    finally:
        if not said:
            del os.environ[name]
