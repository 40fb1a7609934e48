"""Several processes as one: each runs the same program on its own devices.

Who takes part is found as JAX finds it: under SLURM (`srun`), Open MPI (`mpirun`),
Kubernetes and on TPUs by itself, and elsewhere in three variables, of which JAX itself
reads the first:

    JAX_COORDINATOR_ADDRESS    host:port of process 0
    JAX_NUM_PROCESSES          how many there are
    JAX_PROCESS_ID             which one this is, from 0
"""

import dataclasses
import os
import socket
import threading

import jax

from capsjax.graph.errors import brief, listing

_ADDRESS, _COUNT, _INDEX = VARIABLES = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
_LONGER = 60.0  # seconds that JAX is given beyond ours


@dataclasses.dataclass(frozen=True)
class Process:
    """A process among those that run one program.

    Attributes:
        index: Its number, from 0.
        count: How many there are.
    """

    index: int
    count: int


def distributed(timeout: float = 300.0) -> Process:
    """Joins the processes that train together: before anything is computed.

    On CPU they speak by gloo, unless `jax_cpu_collectives_implementation` says else.
    JAX's own watch for SIGTERM is left out: `cj.fit` has one, which writes a
    checkpoint.

    Args:
        timeout: Seconds until all must have come. After a failure the process must
            end: JAX goes on trying for a while, and then ends it.

    Returns:
        Which process this is, of how many.

    Raises:
        ValueError: Nothing says who takes part, or what says it is no number.
        RuntimeError: JAX has computed something already, or cannot begin.
        TimeoutError: Not all have come in time; says whether the coordinator was
            reached.

    Example:
        >>> import os
        >>> from capsjax.training.parallel import distributed
        >>> os.environ["JAX_NUM_PROCESSES"] = "two"
        >>> distributed()
        Traceback (most recent call last):
        ValueError: JAX_NUM_PROCESSES: found 'two'; expected a whole number from 1
        >>> del os.environ["JAX_NUM_PROCESSES"]
    """
    if jax.distributed.is_initialized():
        return Process(jax.process_index(), jax.process_count())
    address = os.environ.get(_ADDRESS) or None
    count, index = _whole(_COUNT, 1), _whole(_INDEX, 0)
    _check(address, count, index)
    jax.config.update("jax_enable_preemption_service", False)
    failures: list[Exception] = []

    def join() -> None:
        try:
            jax.distributed.initialize(
                address,
                count,
                index,
                initialization_timeout=int(timeout + _LONGER),
            )
        except Exception as error:
            failures.append(error)

    # A thread, since JAX ends the whole process where its own time runs out.
    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(timeout)
    if failures:
        raise _in_words(failures[0], address) from failures[0]
    if thread.is_alive():
        raise TimeoutError(_late(address, count, index, timeout))
    return Process(jax.process_index(), jax.process_count())


def _whole(variable: str, least: int) -> int | None:
    """A variable's number, if it is set."""
    given = os.environ.get(variable)
    if not given:
        return None
    if not given.isdecimal() or int(given) < least:
        raise ValueError(
            f"{variable}: found {brief(given)}; expected a whole number from {least}"
        )
    return int(given)


def _check(address: str | None, count: int | None, index: int | None) -> None:
    if address is not None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(
                f"{_ADDRESS}: found {brief(address)}; expected host:port of process 0, "
                "such as node1:8476"
            )
    if count is not None and index is not None and index >= count:
        raise ValueError(
            f"{_INDEX}: found {index} with {_COUNT}={count}; expected 0 to {count - 1}"
        )


def _in_words(error: Exception, address: str | None) -> Exception:
    """What JAX raises, with place and cure."""
    if isinstance(error, ValueError):
        missing = [name for name in VARIABLES if not os.environ.get(name)]
        return ValueError(
            "found nothing that says which processes train together (JAX: "
            f"{str(error).rstrip('.')}); expected a cluster that JAX knows (SLURM by "
            f"srun, Open MPI by mpirun, Kubernetes, TPUs) or {listing(VARIABLES)}; "
            f"cure: start with one of these, or set {listing(missing)}"
        )
    if "before any JAX" in str(error):
        return RuntimeError(
            "found JAX in use already; expected distributed() before anything is "
            "computed and before jax.devices(); cure: call it first"
        )
    return RuntimeError(
        f"the processes cannot join at {address or 'the address of the cluster'}: "
        f"found {str(error).strip()}; expected a free port on process 0 and settings "
        f"that fit; cure: another port in {_ADDRESS}, or JAX_COORDINATOR_PORT under a "
        "cluster"
    )


def _late(
    address: str | None, count: int | None, index: int | None, timeout: float
) -> str:
    own = "this process" if index is None else f"process {index}"
    others = "all processes" if count is None else f"all {count} processes"
    where = "the coordinator that the cluster names" if address is None else address
    head = f"{own} waited {timeout:g} s for {others} at {where}: found "
    if address is not None and not _reached(address):
        return (
            f"{head}no coordinator there; expected process 0 on that host and port; "
            f"cure: start process 0, or correct {_ADDRESS}, firewalls, proxies"
        )
    return (
        f"{head}that not all have come; expected each with its own {_INDEX}; cure: "
        "start the others, see how they ended, or wait longer"
    )


def _reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False
