"""Weights trained elsewhere: from their names and layouts to ours."""

from capsjax.pretrained.frameworks import from_keras as from_keras
from capsjax.pretrained.frameworks import from_torch as from_torch
