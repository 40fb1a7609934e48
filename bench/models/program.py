"""What the harness asks of every version."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.extend
import optax

from bench.problems import LEARNING_RATES


def update_rule(optimizer: str) -> optax.GradientTransformation:
    """The optimizer of the versions that use optax."""
    return getattr(optax, optimizer)(LEARNING_RATES[optimizer])


class Program:
    """A compiled training step together with what it carries from step to step.

    Args:
      jitted: `(batch, *carry) -> loss, carry`, compiled by the framework's own `jit`.
      carry: parameters, optimizer state, and whatever else a step gives back.
      declared_s: seconds that a compiler of the framework's own took before JAX saw
        anything; the harness counts them as tracing.
      loss: `(parameters, rest, batch)` -> the loss, and whatever else; its residuals
        are what a step keeps between forward and backward. None: not known.
      split: `carry -> (parameters, rest)` for that loss; by default the first two.
    """

    def __init__(
        self,
        jitted: Any,
        carry: tuple,
        declared_s: float = 0.0,
        loss: Callable | None = None,
        split: Callable[[tuple], tuple] = lambda carry: carry[:2],
    ):
        self.jitted = jitted
        self.carry = carry
        self.declared_s = declared_s
        self.loss = loss
        self.split = split

    def put(self, batch):
        """Moves a batch to where steps read it."""
        return jax.block_until_ready(jax.device_put(batch))

    def step(self, batch):
        """Takes one step and returns its loss, not yet waited for."""
        loss, self.carry = self.jitted(batch, *self.carry)
        return loss

    def compile(self, batch) -> dict:
        """Compiles the step; says how long it took and what memory it plans."""
        start = time.perf_counter()
        lowered = self.jitted.lower(batch, *self.carry)
        traced = time.perf_counter()
        self.jitted = lowered.compile()
        done = time.perf_counter()
        trace_s = traced - start + self.declared_s
        return {
            "trace_s": trace_s,
            "compile_s": done - traced,
            "trace_and_compile_s": trace_s + done - traced,
            **program_memory(self.jitted),
        }

    def residual_bytes(self, batch) -> int | None:
        """Bytes that differentiation keeps, beyond parameters, state and batch."""
        if self.loss is None:
            return None
        loss = self.loss

        def kept(arguments):
            parameters, rest, batch = arguments
            out = jax.vjp(lambda p: loss(p, rest, batch), parameters, has_aux=True)
            return jax.tree.leaves(out[1])

        arguments = (*self.split(self.carry), batch)
        program = jax.make_jaxpr(kept)(arguments).jaxpr
        known = {*program.invars, *program.constvars}
        computed = {
            variable
            for variable in program.outvars
            if not isinstance(variable, jax.extend.core.Literal)
            and variable not in known
        }
        return sum(v.aval.size * v.aval.dtype.itemsize for v in computed)


def program_memory(compiled) -> dict:
    """Bytes that XLA plans for the step beyond its arguments; None where unknown."""
    compiled = getattr(compiled, "compiled", compiled)  # Equinox and Flax wrap it
    try:
        plan = compiled.memory_analysis()
        temp, output = plan.temp_size_in_bytes, plan.output_size_in_bytes
        # A donated argument is an output's memory already.
        new_output = output - plan.alias_size_in_bytes
    except (AttributeError, NotImplementedError, TypeError):
        return {"program_temp": None, "program_output": None, "program_memory": None}
    return {
        "program_temp": temp,
        "program_output": new_output,
        "program_memory": temp + new_output,
    }
