"""What the harness asks of every version."""

from typing import Any


class Program:
    """A compiled training step together with what it carries from step to step.

    Args:
      jitted: `(batch, *carry) -> loss, carry`, compiled by the framework's own `jit`.
      carry: parameters, optimizer state, and whatever else a step gives back.
      declared_s: seconds that a compiler of the framework's own took before JAX saw
        anything; the harness counts them as tracing.
    """

    def __init__(self, jitted: Any, carry: tuple, declared_s: float = 0.0):
        self.jitted = jitted
        self.carry = carry
        self.declared_s = declared_s

    def step(self, batch):
        """Takes one step and returns its loss, not yet waited for."""
        loss, self.carry = self.jitted(batch, *self.carry)
        return loss

    def lower(self, batch):
        """Traces and lowers the step; `.compile()` of the result finishes the job."""
        return self.jitted.lower(batch, *self.carry)
