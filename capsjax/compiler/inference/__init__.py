"""Inference programs: a network with its parameters, transformed together."""

from capsjax.compiler.inference.frozen import Frozen as Frozen
from capsjax.compiler.inference.frozen import frozen_of as frozen_of
