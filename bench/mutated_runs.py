"""Spoiled run configurations, in JSON and in TOML."""

import copy
import random
from typing import Any

from bench.mutations import spoil_bytes, spoiled
from capsjax.training.configuration.form import KEYS as HEADS

KEYS = (
    *HEADS,
    *(
        "kind",
        "learning_rate",
        "momentum",
        "clip_norm",
        "peak",
        "boundaries",
        "factors",
    ),
    *("monitor", "patience", "min_delta", "maximize", "best", "keep", "every_seconds"),
    *("axes", "rules", "data", "model", "out", "pixels", "0", "1", "digit", "zzz"),
)

SOUND: tuple[dict[str, Any], ...] = (
    {"format_version": 1},
    {
        "format_version": 1,
        "epochs": 20,
        "batch_size": 128,
        "seed": 3,
        "optimizer": {
            "kind": "adamw",
            "weight_decay": 1e-4,
            "clip_norm": 1.0,
            "clip_value": 0.5,
            "learning_rate": {"kind": "cosine", "peak": 0.1, "steps": 500, "warmup": 9},
        },
        "accumulate": 4,
        "average": 0.999,
        "initial_scale": 0.5,
        "dtype": "bfloat16",
        "short_batch": "mask",
        "class_weights": {"0": 1.0, "3": 10, "7": 0},
        "augment": [{"kind": "shift", "pixels": 2}, {"kind": "flip"}],
        "guard": "roll back",
        "early_stopping": {"monitor": "loss", "patience": 3, "min_delta": 0.01},
        "checkpoints": {"every_steps": 50, "every_seconds": None, "keep": 2},
        "mesh": {
            "axes": {"data": 4, "model": -1},
            "rules": {"out": "model", "in": ["data", "model"], "digit:out": None},
        },
        "metadata": {"why": ["because", None, {"n": 1.5}], "who": ""},
    },
    {
        "format_version": 1,
        "steps": 900,
        "optimizer": {
            "kind": "sgd",
            "nesterov": True,
            "momentum": None,
            "learning_rate": {
                "kind": "piecewise",
                "value": 0.1,
                "boundaries": [300, 600],
                "factors": [0.1, 0.5],
            },
        },
        "class_weights": {"digit": "balanced", "other": {"0": 2.0}},
        "checkpoints": {"best": "validation_accuracy", "maximize": True},
        "guard": "off",
    },
    {"format_version": 1, "optimizer": "lamb", "class_weights": "balanced"},
)
"""Documents that are sound; every key of all stands in one."""

TOML = """
format_version = 1
epochs = 20
average = 0.999
class_weights = { 0 = 1.0, 3 = 10.0 }
optimizer.kind = "adamw"
optimizer.learning_rate = { kind = "one_cycle", peak = 1e-3, steps = 9_000 }

[[augment]]
kind = "shift"
pixels = 2

[early_stopping]
patience = 5  # epochs

[mesh]
axes = { data = 4, "model" = 2 }
rules.out = "model"

[metadata]
when = '2026'
"""


def mutated(rng: random.Random) -> bytes:
    """A run configuration that is spoiled, in JSON or in TOML."""
    if rng.random() < 0.7:
        return spoiled(rng, copy.deepcopy(rng.choice(SOUND)), KEYS)
    content = TOML.encode()
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = spoil_bytes(rng, content)
    return content
