"""One subject's gradient step, ready to be timed."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bench.models.program import program_memory


@dataclasses.dataclass
class Program:
    """A gradient step of JAX.

    Attributes:
      function: `(parameters, x) -> (loss, gradients)`, to be jitted.
      parameters: in the subject's own layout.
      x: the batch, [B, inputs].
      by_edge: brings gradients to `(weights [E], biases [N - inputs])`.
    """

    function: Callable[[Any, Any], tuple[Any, Any]]
    parameters: Any
    x: Any
    by_edge: Callable[[Any], tuple[np.ndarray, np.ndarray]]

    def __post_init__(self):
        self.parameters = jax.block_until_ready(jax.device_put(self.parameters))
        self.x = jax.device_put(self.x)

    def compile(self) -> dict:
        """Compiles the step; returns the seconds and bytes of that."""
        start = time.perf_counter()
        lowered = jax.jit(self.function).lower(self.parameters, self.x)
        traced = time.perf_counter()
        self.function = lowered.compile()
        done = time.perf_counter()
        memory = program_memory(self.function)["program_temp"]
        return {"trace_s": traced - start, "compile_s": done - traced, "temp": memory}

    def step(self) -> tuple[Any, Any]:
        """Returns `(loss, gradients)` when they are there."""
        return jax.block_until_ready(self.function(self.parameters, self.x))


@dataclasses.dataclass
class EagerProgram:
    """A gradient step of a framework that compiles nothing."""

    function: Callable[[], tuple[Any, Any]]
    by_edge: Callable[[Any], tuple[np.ndarray, np.ndarray]]

    def compile(self) -> dict:
        return {}

    def step(self) -> tuple[Any, Any]:
        return self.function()
