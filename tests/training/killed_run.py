"""Writes checkpoints until it is killed; `test_checkpoint_processes` does so.

The carry of each step is a function of the step: whoever reads it back can tell.
"""

import itertools
import sys

import jax

import capsjax as cj
from capsjax.training.checkpoints import Saved
from tests.training.checkpointing import opened, tiny


def network() -> cj.Network:
    return cj.compile(tiny())


def carry_at(net: cj.Network, step: int):
    """What the run carries after a number of steps."""
    params, state = net.init(jax.random.key(step))
    key = jax.random.key_data(jax.random.key(step))
    padding = jax.random.normal(jax.random.key(step), (20_000,))
    return {"params": params, "state": state, "key": key, "padding": padding}


def main(folder: str) -> None:
    """Says what is saved, a line for each begun checkpoint."""
    net = network()
    with opened(folder, net, keep=2) as checkpointer:
        saved = checkpointer.latest(carry_at(net, 0))
        first = 0 if saved is None else saved.steps
        print("open", first, *checkpointer.warnings, flush=True)
        for step in itertools.count(first + 1):
            checkpointer.save(Saved(step, carry_at(net, step), [], {"step": step}))
            print("begun", step, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
